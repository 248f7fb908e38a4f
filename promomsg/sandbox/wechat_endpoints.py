"""WeChat's endpoints: what each call must bring, and its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from promomsg.sandbox.access_tokens import AccessTokens, Quotas
from promomsg.sandbox.calls_and_replies import (
    Call,
    Complaints,
    SandboxReply,
    WeChatRefusedError,
    refusal_reply,
    wechat_reply,
)
from promomsg.sandbox.group_sends import GroupSends
from promomsg.sandbox.known_promoters import FILTERS, KnownPromoters
from promomsg.sandbox.ledger import Ledger
from promomsg.sandbox.movable_clock import SandboxClock
from promomsg.sandbox.sandbox_settings import SandboxSettings
from promomsg.sandbox.subscribe_messages import SUBSCRIBE_FIELDS, serve_subscribe_send
from promomsg.sandbox.wechat_requests import check_fields, decode_body, message_of, missing, text

__all__ = ["ROUTES", "WeChatEndpoints"]

ROUTES: Final[Mapping[str, str]] = {
    "/promoter/sendmsg": "sendmsg",
    "/promoter/singlesendmsg": "singlesendmsg",
    "/promoter/getmsg": "getmsg",
    "/promoter/getmsgclickdata": "getmsgclickdata",
    "/promoter/getpromoter": "getpromoter",
    "/promoter/getrole": "getrole",
    "/cgi-bin/message/subscribe/send": "subscribe_send",
    "/cgi-bin/stable_token": "stable_token",
    "/cgi-bin/token": "token",
    "/cgi-bin/openapi/quota/get": "quota_get",
    "/cgi-bin/clear_quota": "clear_quota",
}
_MESSAGE: Final = frozenset({"msg_type", "content", "appid", "path"})
_KNOWN: Final[Mapping[str, frozenset[str]]] = {
    "sendmsg": _MESSAGE | {"list_type", "role_id", "retail_id", "id"},
    "singlesendmsg": _MESSAGE | {"openid", "id"},
    "subscribe_send": SUBSCRIBE_FIELDS,
    "getmsg": frozenset({"msg_id"}),
    "getmsgclickdata": frozenset(
        {"send_date", "dimonsion", "msg_type", "msg_id", "begin_send_time", "end_send_time"}
    ),
    "getpromoter": FILTERS,
    "getrole": frozenset(),
    "quota_get": frozenset({"cgi_path"}),
    "clear_quota": frozenset({"appid"}),
    "stable_token": frozenset({"grant_type", "appid", "secret", "force_refresh"}),
}
_TEXTS: Final[Mapping[int, str]] = {
    -1: "system error",
    40001: "invalid credential, access_token is invalid or not latest",
    40003: "invalid openid",
    40014: "invalid access_token",
    42001: "access_token expired",
    43101: "user refuse to accept the msg",
    45009: "reach max api daily quota limit",
    45011: "api minute-quota reach limit, must slower, retry next minute",
    47003: "argument invalid!",
    103001: "promoter parameter invalid",
    103010: "deliver failed",
}


class WeChatEndpoints:
    """Serves WeChat's endpoints.

    Attributes:
        tokens, quotas, groups, promoters: the parts, for tests that look inside.
    """

    def __init__(
        self,
        settings: Callable[[], SandboxSettings],
        clock: SandboxClock,
        ledger: Ledger,
        complaints: Complaints,
        *,
        seed: int,
        url: Callable[[], str],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._ledger = ledger
        self._complaints = complaints
        self.tokens = AccessTokens(settings, clock)
        self.quotas = Quotas(settings, clock)
        self.promoters = KnownPromoters()
        self.groups = GroupSends(settings, clock, ledger, self.promoters, seed=seed, url=url)

    def serve(self, call: Call) -> SandboxReply:
        """Answers one call; a refusal is an answer too."""
        settings = self._settings()
        try:
            return wechat_reply(self._answer(call, settings), settings.content_type)
        except WeChatRefusedError as refusal:
            return refusal_reply(refusal.errcode, refusal.errmsg, settings.content_type)

    def refuse(self, errcode: int, errmsg: str | None = None) -> SandboxReply:
        """The answer that a fault asks for."""
        words = _TEXTS.get(errcode, "sandbox fault") if errmsg is None else errmsg
        return refusal_reply(errcode, words, self._settings().content_type)

    def failure_file(self, call: Call) -> SandboxReply:
        """The file behind fail_info_url; credentials sent along are complained about."""
        sent = [n for n in ("Authorization", "Cookie") if n in call.headers]
        if sent or call.query:
            self._complaints.append(f"failure_file: came with {sent or 'a query'}")
        found = self.groups.failure_file(call.path.rpartition("/")[2])
        if found is None or call.method != "GET":
            return SandboxReply(b"not found", status=404)
        return SandboxReply(*found)

    def _complain(self, endpoint: str, line: str) -> None:
        if self._settings().strict:
            raise missing(line)
        self._complaints.append(f"{endpoint}: {line}")

    def _answer(self, call: Call, settings: SandboxSettings) -> dict[str, Any]:
        endpoint = call.endpoint
        if endpoint == "token":
            return self._plain_token(call)
        if endpoint == "other":
            raise WeChatRefusedError(40066, "invalid url")
        if call.method != "POST":
            raise WeChatRefusedError(43002, "require POST method")
        if endpoint == "stable_token":
            data = self._decode(call)
            return self._stable_token(data)
        appid = self.tokens.check(call.query.get("access_token", ""))
        data = self._decode(call) if call.body or endpoint != "getrole" else {}
        if endpoint == "quota_get":
            return self._quota(appid, data)
        if endpoint == "clear_quota":
            return self._clear(appid, data)
        self.quotas.take(appid, endpoint)
        if endpoint == "singlesendmsg":
            return self._single(data, settings)
        if endpoint == "subscribe_send":
            return serve_subscribe_send(data, settings, self._ledger, self._clock.time())
        if endpoint == "sendmsg":
            message = message_of(data, settings)
            return self.groups.send(data, message, lambda line: self._complain(endpoint, line))
        if endpoint == "getmsg":
            return self.groups.get(data)
        if endpoint == "getmsgclickdata":
            return self.groups.clicks(data)
        if endpoint == "getpromoter":
            return self.promoters.page(data, settings)
        return self.promoters.roles(settings)

    def _decode(self, call: Call) -> dict[str, Any]:
        endpoint = call.endpoint

        def complain(line: str) -> None:
            self._complain(endpoint, line)

        data = decode_body(call.body, complain)
        check_fields(data, _KNOWN[endpoint], complain)
        return data

    def _single(self, data: Mapping[str, Any], settings: SandboxSettings) -> dict[str, Any]:
        message = message_of(data, settings)
        openid, promoter_id = text(data, "openid"), text(data, "id")
        if (openid is None) == (promoter_id is None):
            raise missing("exactly one of openid and id")
        field, to = ("openid", openid) if openid is not None else ("id", promoter_id or "")
        refused = settings.refuse_single.get(to or "")
        if (
            refused is None
            and settings.only_listed
            and not self.promoters.knows(to or "", settings)
        ):
            refused = 40003 if field == "openid" else 103001
        if refused is not None:
            raise WeChatRefusedError(refused, _TEXTS.get(refused, "refused"))
        self._ledger.single(
            to or "",
            field=field,
            msg_type=message.msg_type,
            content=message.content,
            path=message.path,
            at=self._clock.time(),
        )
        self.groups.count_single(message.msg_type)
        return {"errcode": 0, "errmsg": "OK"}

    def _plain_token(self, call: Call) -> dict[str, Any]:
        if call.method != "GET":
            raise WeChatRefusedError(43001, "require GET method")
        if call.query.get("grant_type") != "client_credential":
            raise WeChatRefusedError(40002, "invalid grant_type")
        appid = self.tokens.authenticate(call.query.get("appid"), call.query.get("secret"))
        return self.tokens.plain_token(appid)

    def _stable_token(self, data: Mapping[str, Any]) -> dict[str, Any]:
        if data.get("grant_type") != "client_credential":
            raise WeChatRefusedError(40002, "invalid grant_type")
        force = data.get("force_refresh", False)
        if not isinstance(force, bool):
            raise WeChatRefusedError(47001, "data format error")
        appid = self.tokens.authenticate(data.get("appid"), data.get("secret"))
        return self.tokens.stable_token(appid, force=force)

    def _quota(self, appid: str, data: Mapping[str, Any]) -> dict[str, Any]:
        endpoint = ROUTES.get(text(data, "cgi_path", required=True) or "")
        if endpoint is None:
            raise WeChatRefusedError(76021, "cgi_path not found, please check")
        return self.quotas.show(appid, endpoint)

    def _clear(self, appid: str, data: Mapping[str, Any]) -> dict[str, Any]:
        named = text(data, "appid", required=True)
        if appid and named != appid:
            raise WeChatRefusedError(40013, "invalid appid")
        self.quotas.clear(appid)
        return {"errcode": 0, "errmsg": "ok"}
