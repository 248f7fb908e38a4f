"""What a campaign file says, as frozen values: nothing here reads a file or opens a channel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from promomsg.model import Audience, Secret
from promomsg.url_origins import origin
from promomsg.wechat.endpoints import BASE_URL

if TYPE_CHECKING:
    from promomsg.channels.base import Message
    from promomsg.cli.journal_place import JournalPlace
    from promomsg.delivery import PollPolicy
    from promomsg.intake.suppression.journal_since import JournalSince
    from promomsg.journal.contract import Journal
    from promomsg.journal.locate import Durability
    from promomsg.transport.pace import Pace

    Suppressed: TypeAlias = Path | Journal | JournalSince
    """What one entry of `suppress` names."""

__all__ = [
    "FROM_ENVIRONMENT",
    "STANDARD_INPUT",
    "AccountFile",
    "AlipaySection",
    "AnySection",
    "CampaignFile",
    "OnEnd",
    "OwnSection",
    "WeChatSection",
]

FROM_ENVIRONMENT: Final = Secret("env")
"""No `proxy` in the file: HTTPS_PROXY and NO_PROXY decide."""


STANDARD_INPUT: Final = Path("-")
"""Where the recipients come from, when they are piped in."""


class WeChatSection(msgspec.Struct, frozen=True, kw_only=True):
    """`[wechat]`: either `secret`, or `token_command`, the words of a program that prints a token."""

    appid: str
    secret: Secret | None
    base_url: str = BASE_URL
    token_command: tuple[str, ...] = ()
    proxy: Secret = FROM_ENVIRONMENT
    timeout: float = 30.0

    @property
    def account_id(self) -> str:
        """As `Channel.account` has it."""
        return self.appid


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

    @property
    def account_id(self) -> str:
        """As `Channel.account` has it."""
        return f"{self.client_id}/{self.app_id}"


class OwnSection(msgspec.Struct, frozen=True, kw_only=True):
    """The account of a channel that another package brings.

    Attributes:
        kind: the channel's class, a `FromCampaignFile`.
        arguments: what the class made of its section; secrets in it hide themselves.
        account_id: as `Channel.account` has it.
    """

    kind: Any
    arguments: dict[str, Any]
    account_id: str
    base_url: str
    proxy: Secret = FROM_ENVIRONMENT
    timeout: float = 30.0


AnySection = WeChatSection | AlipaySection | OwnSection


class AccountFile(msgspec.Struct, frozen=True, kw_only=True):
    """What a campaign file says of its account, for the commands that only ask the provider.

    Attributes:
        path: the file itself.
        channel: `"wechat"`, `"alipay"`, or the name of an installed one.
        pace: None when the file says nothing of how fast to send.
        msg_type: `[message]`'s, when the file has one.
    """

    path: Path
    channel: str
    account: AnySection
    pace: Pace | None
    poll: PollPolicy
    msg_type: int | None = None


class OnEnd(msgspec.Struct, frozen=True):
    """Who is told when a run is over: a `url`, or a program by its `words`, run in `folder`."""

    folder: Path
    url: str = ""
    words: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """For a message: of a URL the host alone, since a key may stand in the rest."""
        return origin(self.url) if self.url else self.words[0]


class CampaignFile(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign as its file says; every path is absolute, every secret hides itself.

    Attributes:
        path: the file itself.
        name: the campaign's; the file's stem by default.
        channel: `"wechat"`, `"alipay"`, or the name of an installed one.
        recipients, audience: one of them is there (see `failed_in`); recipients may be `STANDARD_INPUT`. An
            audience of `Everyone` is only what the file asks for: it needs `--everyone` besides.
        failed_in: a report, of whose recipients those are sent to again who can be; `recipients` or `audience`
            then says of which list, and may be None where the keys are addresses.
        own_journals: where the campaign file itself has its journal, whatever `journal` is.
        expand: whether every member of the audience becomes a recipient.
        columns: our name → the recipients file's heading.
        sheet: of an Excel list: its name, or its number from 1.
        suppress: a suppression list or journal, or several of them.
        first: of the options `first`, `first_stop_above`, `first_wait` and `first_ask` those it gives.
        times: of the options `start_at`, `finish_by`, `zone`, `between` and `zone_column` those it gives.
        pace: None when the file says nothing of how fast to send.
        notices: what the plan should say of the file.
        on_end: who is told when a run is over.
    """

    path: Path
    name: str
    channel: str
    account: AnySection
    message: Message
    recipients: Path | tuple[Path, ...] | None
    audience: Audience | None
    expand: bool
    journal: JournalPlace
    columns: dict[str, str]
    encoding: str
    suppress: Suppressed | tuple[Suppressed, ...] | None
    durability: Durability
    max_group_size: int
    max_error_rate: float | None
    on_daily_quota: str
    route: str | None
    resolve: bool
    pace: Pace | None
    concurrency: int
    groups_in_flight: int
    poll: PollPolicy
    first: dict[str, Any] = msgspec.field(default_factory=dict)
    max_per_person: str | None = None
    times: dict[str, Any] = msgspec.field(default_factory=dict)
    notices: tuple[str, ...] = ()
    sheet: str | int | None = None
    on_end: OnEnd | None = None
    failed_in: Path | None = None
    own_journals: tuple[JournalPlace, ...] = ()

    @property
    def account_id(self) -> str:
        """The appid, or the client id and app id, as `Channel.account` has it."""
        return self.account.account_id
