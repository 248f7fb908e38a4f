"""How the sandbox behaves: one settings object, each field with its unit and its default.

Where the providers' pages are silent, the behaviour is the sandbox's own choice, and its field
says so.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from promomsg.errors import UsageError
from promomsg.suggest import did_you_mean

__all__ = ["SandboxPromoter", "SandboxSettings", "SandboxUser"]

_FAILURE_FORMATS = ("csv", "tsv", "json", "jsonl")
_FIELD_KINDS = ("first", "thing", "time", "amount", "number", "any")
_ENCODINGS = ("any", "percent", "base64", "base64url")
_SIGNATURES = ("good", "unsigned", "bad")


@dataclass(frozen=True, kw_only=True)
class SandboxPromoter:
    """One promoter as getpromoter lists it (docs/facts/wechat.md, "Sibling endpoints").

    `auth_status` is 0 not authorised, 1 authorised, 2 cancelled; `update_time` is Unix seconds.
    """

    id: str
    openid: str = ""
    unionid: str = ""
    role_id: int = 1
    retail_id: str = ""
    auth_status: int = 1
    decl_status: int = 1
    update_time: int = 1_668_667_349
    name: str = ""
    phone: str = ""
    extra_info: str = ""


@dataclass(frozen=True, kw_only=True)
class SandboxUser:
    """One wallet user; `expired` says that the access token's life is over already."""

    access_token: str
    refresh_token: str | None = None
    customer_id: str | None = None
    expired: bool = False


@dataclass(kw_only=True)
class SandboxSettings:
    """Everything that can be set; assigning to a field works while it runs.

    Attributes:
        strict: oddities that the real servers may well ignore (an unknown request field,
            `\\uXXXX` in the body, …) are refused with 103001 or PARAM_ILLEGAL; by default they
            only land in `box.complaints`.
        content_type: of WeChat's answers; text/plain by default, as it may be
            (docs/facts/wechat.md, "Wire oddities").
        max_body: bytes a request may have; more is 45002.
        body_seconds: a body that takes longer to come in is answered with 408.
        keep_requests: how many of the last requests `box.calls.requests` keeps.

        accounts: appid → secret; None accepts any. A wrong appid is 40013, a wrong secret 40125.
        check_tokens: False takes any access token.
        token_life: seconds of an access token's life.
        token_early, token_overlap: stable_token rotates so many seconds early (at most half the
            life), and the token before lives on for so many seconds.

        promoters: the promoters there are, or how many to make up; getpromoter lists them, and
            the audiences of list_type 0, 1 and 2 are taken from the authorised ones.
        only_listed: nobody else is a promoter: 40003 (openid) or 103001 (id) for a single send,
            103010 in a group. By default any id or openid is one.
        roles: role_id → name.
        page_size: of getpromoter.
        refuse_single: address → errcode (43101, 40003, …).
        subscribed_once: a second subscribe message to a user is 43101
            (docs/facts/wechat-subscribe.md, "Subscribe send"); by default they are all delivered, so
            that the ledger shows who got two.
        refuse_group: id → errcode in fail_info.
        group_fail_fraction: this share of a group fails too, chosen by seed and id, with
            `group_fail_code`.
        unnamed_failures: the last so many failures of each group are counted, but not named.
        missing_from_group: the last so many ids of each group are silently left out: not
            delivered, not counted in send_cnt.
        group_minimum, group_minimum_code: a list_type 3 group of fewer distinct ids is refused
            with that errcode (the sandbox's choice of code).

        poll_steps: the percent that one getmsg after another says, the last one for ever; None
            leaves percent out of that answer.
        poll_step_seconds: when set, a step takes so long by `box.clock`, however often one polls.
        failure_threshold: over so many failures, the details are in the file only.
        failure_format: csv, tsv, json (an array) or jsonl.
        failure_url_field: "fail_openid_url" is the older page's name.
        failure_url: what is answered as the file's address instead of the sandbox's own.
        templates: msg_type → field → kind (first, thing, time, amount, number, any), checked
            when given: a wrong field is 47003, which names it.
        daily_quota: endpoint → calls a China-time day (45009 beyond).
        rate_quota: endpoint → calls a minute, or (calls, seconds), sliding (45011 beyond).
        click_rate: this share of a message's receivers has clicked by the seventh day.

        alipay_prefix: the path before /v2/…; None takes any prefix.
        client_public_key: PEM (or bare base64) that requests must verify with; None checks only
            the header's form.
        signature_encoding: "percent", "base64" or "base64url" insists on one; "any" takes all.
        key_versions: keyVersion values that have a key (KEY_NOT_FOUND otherwise); None is any.
        client_ids, app_ids, template_codes: None is any; else INVALID_CLIENT, INVALID_AUTH_CLIENT
            and TEMPLATE_NOT_EXIST for others.
        users: wallet users known by name.
        only_users: no other access or refresh token is accepted.
        auth_codes: authCode → customerId; None takes any, each once.
        user_token_life, refresh_token_life: seconds, of tokens that applyToken hands out.
        user_results: access token or customerId → the resultCode its sends get.
        unsigned_f: answers that are not S carry no signature.
        success_signature: of S answers: "good", "unsigned" or "bad".
    """

    strict: bool = False
    content_type: str = "text/plain"
    max_body: int = 64 * 1024 * 1024
    body_seconds: float = 30.0
    keep_requests: int = 1000

    accounts: Mapping[str, str] | None = None
    check_tokens: bool = True
    token_life: float = 7200
    token_early: float = 300
    token_overlap: float = 300

    promoters: int | Sequence[SandboxPromoter] = 300
    only_listed: bool = False
    roles: Mapping[int, str] = field(
        default_factory=lambda: {1: "assistant", 2: "manager", 3: "partner"}
    )
    page_size: int = 2000
    refuse_single: Mapping[str, int] = field(default_factory=dict)
    subscribed_once: bool = False
    refuse_group: Mapping[str, int] = field(default_factory=dict)
    group_fail_fraction: float = 0.0
    group_fail_code: int = 103010
    unnamed_failures: int = 0
    missing_from_group: int = 0
    group_minimum: int = 50
    group_minimum_code: int = 103001

    poll_steps: Sequence[int | None] = (30, 70, 100)
    poll_step_seconds: float | None = None
    failure_threshold: int = 1000
    failure_format: str = "csv"
    failure_url_field: str = "fail_info_url"
    failure_url: str | None = None
    templates: Mapping[int, Mapping[str, str]] | None = None
    daily_quota: Mapping[str, int] = field(default_factory=dict)
    rate_quota: Mapping[str, int | tuple[int, float]] = field(default_factory=dict)
    click_rate: float = 0.1

    alipay_prefix: str | None = None
    client_public_key: str | bytes | None = None
    signature_encoding: str = "any"
    key_versions: Collection[int] | None = None
    client_ids: Collection[str] | None = None
    app_ids: Collection[str] | None = None
    template_codes: Collection[str] | None = None
    users: Sequence[SandboxUser] = ()
    only_users: bool = False
    auth_codes: Mapping[str, str] | None = None
    user_token_life: float = 3600
    refresh_token_life: float = 30 * 86_400
    user_results: Mapping[str, str] = field(default_factory=dict)
    unsigned_f: bool = False
    success_signature: str = "good"

    def __post_init__(self) -> None:
        _one_of("failure_format", self.failure_format, _FAILURE_FORMATS)
        _one_of("signature_encoding", self.signature_encoding, _ENCODINGS)
        _one_of("success_signature", self.success_signature, _SIGNATURES)
        for kinds in (self.templates or {}).values():
            for name, kind in kinds.items():
                _one_of(f"templates: {name}", kind, _FIELD_KINDS)
        if not self.poll_steps:
            raise UsageError("sandbox settings: poll_steps is empty; give at least one percent")

    def updated(self, table: Mapping[str, Any], where: str) -> SandboxSettings:
        """A copy with the values of a TOML table (`[settings]` of a fault file).

        Raises:
            UsageError: a key that is no setting, or that TOML cannot carry.
        """
        known = [f.name for f in fields(self)]
        values = dict(table)
        for key in values:
            if key not in known:
                hint = did_you_mean(key, known) or "; remove it"
                raise UsageError(f"{where}: [settings] has no {key!r}{hint}")
        try:
            for key in ("templates", "roles"):
                if key in values:
                    values[key] = {int(k): v for k, v in values[key].items()}
            if isinstance(values.get("promoters"), list):
                values["promoters"] = [SandboxPromoter(**p) for p in values["promoters"]]
            if "users" in values:
                values["users"] = [SandboxUser(**u) for u in values["users"]]
            return replace(self, **values)
        except (TypeError, ValueError, AttributeError) as exc:
            raise UsageError(f"{where}: [settings] cannot be used: {exc}") from None


def _one_of(name: str, value: object, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise UsageError(
            f"sandbox settings: {name} is {value!r}; it is one of {', '.join(allowed)}"
        )
