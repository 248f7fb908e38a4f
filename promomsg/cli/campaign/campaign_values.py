"""What a campaign file says, as plain frozen values: nothing here reads a file or opens a channel."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

from promomsg.model import Secret

__all__ = [
    "FROM_ENVIRONMENT",
    "STANDARD_INPUT",
    "WECHAT_BASE_URL",
    "AccountFile",
    "AlipaySection",
    "AlipayText",
    "AudienceChoice",
    "CampaignFile",
    "LocalizedText",
    "PaceChoice",
    "PollChoice",
    "WeChatSection",
    "WeChatText",
]

WECHAT_BASE_URL: Final = "https://api.weixin.qq.com"
FROM_ENVIRONMENT: Final = Secret("env")
"""No `proxy` in the file: HTTPS_PROXY and NO_PROXY decide."""


STANDARD_INPUT: Final = Path("-")
"""Where the recipients come from, when they are piped in."""


class WeChatSection(msgspec.Struct, frozen=True, kw_only=True):
    """`[wechat]`: either `secret`, or `token_command`, the words of a program that prints a token."""

    appid: str
    secret: Secret | None
    base_url: str = WECHAT_BASE_URL
    token_command: tuple[str, ...] = ()
    proxy: Secret = FROM_ENVIRONMENT
    timeout: float = 30.0


class AlipaySection(msgspec.Struct, frozen=True, kw_only=True):
    """`[alipay]`. `public_key` is the wallet's; None only with `verify` off. `tokens` is a path."""

    client_id: str
    app_id: str
    private_key: Secret
    public_key: str | None
    verify: bool
    base_url: str
    key_version: int
    signature_encoding: str
    tokens: Path | None
    proxy: Secret = FROM_ENVIRONMENT
    timeout: float = 30.0
    extra: dict[str, Any] | None = None


class WeChatText(msgspec.Struct, frozen=True, kw_only=True):
    """`[message]` of a WeChat campaign."""

    msg_type: int
    content: dict[str, str]
    path: str
    jump_appid: str | None = None


class LocalizedText(msgspec.Struct, frozen=True, kw_only=True):
    """One of `[[message.templates]]`."""

    parameters: dict[str, str]
    language: str | None = None


class AlipayText(msgspec.Struct, frozen=True, kw_only=True):
    """`[message]` of a wallet campaign. `extend_info` is text, or a table."""

    template_code: str
    templates: tuple[LocalizedText, ...]
    redirect_url: str | None = None
    extend_info: str | dict[str, Any] | None = None
    extra: dict[str, Any] | None = None


class AudienceChoice(msgspec.Struct, frozen=True, kw_only=True):
    """`[audience]`: exactly one of roles, retailers and everyone.

    `everyone` says only what the file asks for: it needs `--everyone` besides (DESIGN §2.8).
    """

    roles: tuple[int, ...] | None = None
    retailers: tuple[str, ...] | None = None
    everyone: bool = False
    expand: bool = False


class PaceChoice(msgspec.Struct, frozen=True, kw_only=True):
    """`[pace]`: None where the file says nothing."""

    singles_per_second: float | None = None
    singles_per_minute: float | None = None
    singles_per_day: int | None = None
    groups_per_minute: float | None = None
    unlimited: bool = False
    concurrency: int = 64
    groups_in_flight: int = 1


class PollChoice(msgspec.Struct, frozen=True, kw_only=True):
    """`[poll]`, in seconds; `first_after` None: by where the provider is."""

    first_after: float | None = None
    every: float = 120.0
    give_up_after: float = 7200.0


class AccountFile(msgspec.Struct, frozen=True, kw_only=True):
    """What a campaign file says of its account: all that a look at the provider needs.

    Attributes:
        path: the file itself.
        channel: `"wechat"` or `"alipay"`.
        msg_type: `[message]`'s, when the file has one.
    """

    path: Path
    channel: str
    account: WeChatSection | AlipaySection
    pace: PaceChoice
    poll: PollChoice
    msg_type: int | None = None


class CampaignFile(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign as its file says; every path is absolute, every secret hides itself.

    Attributes:
        path: the file itself.
        name: the campaign's; the file's stem by default.
        channel: `"wechat"` or `"alipay"`.
        recipients, audience: exactly one of them is there; recipients may be `STANDARD_INPUT`.
        columns: our name → the recipients file's heading.
        sheet: of an Excel list: its name, or its number from 1.
        suppress: a suppression list or journal, or several of them.
        templates: msg_type → field name → kind; see `template` for this message's.
        notices: what the plan should say of the file.
    """

    path: Path
    name: str
    channel: str
    account: WeChatSection | AlipaySection
    message: WeChatText | AlipayText
    recipients: Path | tuple[Path, ...] | None
    audience: AudienceChoice | None
    journal: Path
    columns: dict[str, str]
    encoding: str
    suppress: Path | tuple[Path, ...] | None
    durability: str
    max_group_size: int
    max_error_rate: float | None
    on_daily_quota: str
    route: str | None
    resolve: bool
    templates: dict[int, dict[str, str]]
    pace: PaceChoice
    poll: PollChoice
    notices: tuple[str, ...] = ()
    sheet: str | int | None = None

    @property
    def template(self) -> dict[str, str] | None:
        """The kinds of this message's fields, when the file declares them for its msg_type."""
        if isinstance(self.message, WeChatText):
            return self.templates.get(self.message.msg_type)
        return None

    @property
    def account_id(self) -> str:
        """The appid, or the client id and app id, as `Channel.account` has it."""
        account = self.account
        if isinstance(account, WeChatSection):
            return account.appid
        return f"{account.client_id}/{account.app_id}"

    def fingerprint(self) -> dict[str, Any]:
        """What must be the same when the campaign is resumed, without secrets."""
        return {
            "channel": self.channel,
            "account": self.account_id,
            "message": msgspec.to_builtins(self.message),
            "recipients": None if self.recipients is None else str(self.recipients),
            "columns": dict(self.columns),
            "audience": msgspec.to_builtins(self.audience),
            "route": self.route,
            "resolve": self.resolve,
            "max_group_size": self.max_group_size,
        }
