"""The campaign file: TOML, read whole into frozen values before anything else is done."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promomsg.cli.campaign.account_sections import AccountSections
from promomsg.cli.campaign.campaign_values import (
    STANDARD_INPUT,
    AccountFile,
    AnySection,
    CampaignFile,
)
from promomsg.cli.campaign.channel_key import (
    belonging,
    channel_of,
    channel_of_account,
    sections_of,
)
from promomsg.cli.campaign.first_section import FIRST_KEYS, read_first
from promomsg.cli.campaign.max_per_person_key import read_max_per_person
from promomsg.cli.campaign.message_sections import read_message
from promomsg.cli.campaign.on_end import read_on_end
from promomsg.cli.campaign.pace_section import QUOTAS, read_pace
from promomsg.cli.campaign.suppress_key import read_suppress
from promomsg.cli.campaign.table_reader import TableReader
from promomsg.cli.campaign.time_section import CAMPAIGN_TIMES, PACE_TIMES, read_times
from promomsg.cli.journal_place import FleetPlace, JournalPlace, fleet_name
from promomsg.clock import SYSTEM_CLOCK, china_day
from promomsg.delivery import PollPolicy
from promomsg.errors import UsageError
from promomsg.model import Audience, Everyone, Retailers, Roles
from promomsg.suggest import did_you_mean, quoted

if TYPE_CHECKING:
    from promomsg.transport.pace import Pace

__all__ = ["AccountFile", "CampaignFile", "load_account", "load_campaign"]


def load_campaign(
    path: str | os.PathLike[str],
    *,
    recipients: str | os.PathLike[str] | None = None,
    journal: str | os.PathLike[str] | FleetPlace | None = None,
    fleet: str | None = None,
    base_url: str | None = None,
    environ: Mapping[str, str] | None = None,
    now: float | None = None,
    file_secrets: bool = False,
) -> CampaignFile:
    """Reads and checks a campaign file.

    Args:
        path: the TOML file; its paths are relative to it.
        recipients, journal, base_url: from the command line, instead of the file's own.
        fleet: the URL of the database to keep the campaign in, also from there; None: what the file says.
        environ: where `env:NAME` is looked up; the process's environment by default.
        now: Unix seconds, for `{date}`; the machine's clock by default.
        file_secrets: whether `file:` secrets may lie outside of the file's folder.

    Raises:
        UsageError: one line with the file, the key and how to mend it. A secret is never in it.
    """
    file = Path(path).absolute()
    top = _parse(file, str(path))
    environ = os.environ if environ is None else environ
    if journal is not None and not isinstance(journal, FleetPlace):
        journal = Path(journal).absolute()
    return _Reader(file, str(path), top, environ, file_secrets, fleet).read(
        None if recipients is None else _list_path(Path(recipients)),
        journal,
        base_url,
        china_day(SYSTEM_CLOCK.time() if now is None else now),
    )


def load_account(
    path: str | os.PathLike[str],
    *,
    base_url: str | None = None,
    environ: Mapping[str, str] | None = None,
    file_secrets: bool = False,
) -> AccountFile:
    """Reads the account of a campaign file; recipients and a message need not be there yet.

    Args: as `load_campaign` has them.

    Raises:
        UsageError: as `load_campaign`, of what it reads.
    """
    file = Path(path).absolute()
    top = _parse(file, str(path))
    environ = os.environ if environ is None else environ
    reader = _Reader(file, str(path), top, environ, file_secrets)
    return reader.read_account(base_url)


def _parse(file: Path, shown: str) -> dict[str, Any]:
    try:
        data = file.read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{shown} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        _refuse_other_kind(data, file, shown)
        line = error.object[: error.start].count(b"\n") + 1
        raise UsageError(f"{shown} is not UTF-8 (line {line}); save it as UTF-8") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        _refuse_other_kind(data, file, shown)
        raise UsageError(f"{shown} is not valid TOML: {error}") from None
    except RecursionError:
        raise UsageError(f"{shown} is not valid TOML: nested too deep") from None


def _refuse_other_kind(data: bytes, file: Path, shown: str) -> None:
    """Raises UsageError when a file that is no TOML is a journal, a list, or another known kind."""
    from promomsg.intake.file_kinds import looks_like_list, other_kind
    from promomsg.sqlite_header import is_sqlite

    start = data[:4096]
    if is_sqlite(start):
        raise UsageError(
            f"{shown} is a journal, not a campaign file: promomsg resume goes on with it, promomsg "
            "report tells of it"
        )
    kind = other_kind(start, file)
    if kind is None and looks_like_list(start):
        kind = "a list of recipients"
    if kind is not None:
        raise UsageError(
            f"{shown} is {kind.partition(';')[0]}, not a campaign file; name a list in one, as in "
            f'[campaign] recipients = "{file.name}"'
        )


class _Reader:
    """Turns the parsed file into a `CampaignFile`, section by section."""

    def __init__(
        self,
        file: Path,
        shown: str,
        top: dict[str, Any],
        environ: Mapping[str, str],
        file_secrets: bool,
        fleet: str | None = None,
    ) -> None:
        self.file = file
        self.fleet = fleet
        self.folder = file.parent
        self.shown = shown
        self.top = top
        self.environ = environ
        self.file_secrets = file_secrets
        sections = sections_of(top, shown)
        for name, value in top.items():
            if name not in sections:
                what = "section" if isinstance(value, dict) else "place at the top for"
                hint = did_you_mean(name, sections) or f"; there are {quoted(sections)}"
                raise UsageError(f"{shown}: there is no {what} {name!r}{hint}")

    def section(self, name: str, *known: str, table: Any = None) -> TableReader:
        if table is None:
            table = self.top.get(name, {})
        return TableReader(table, self.shown, name, known or None)

    def read_account(self, base_url: str | None) -> AccountFile:
        channel = channel_of_account(self._campaign(), self.top, self.shown)
        msg_type = None
        if channel == "wechat" and "message" in self.top:
            msg_type = TableReader(self.top["message"], self.shown, "message", None).whole(
                "msg_type", 0
            )
        return AccountFile(
            path=self.file,
            channel=channel,
            account=self._account(channel, base_url),
            pace=self._pace()[0],
            poll=self._poll(),
            msg_type=msg_type,
        )

    def _campaign(self) -> TableReader:
        return self.section(
            "campaign",
            "name", "channel", "recipients", "sheet", "encoding", "suppress", "journal", "durability",
            "max_group_size", "max_error_rate", "on_daily_quota", "route", "resolve", "columns",
            "on_end", "max_per_person", *FIRST_KEYS, *CAMPAIGN_TIMES,
        )  # fmt: skip

    def read(
        self, recipients: Path | None, journal: JournalPlace | None, base_url: str | None, day: str
    ) -> CampaignFile:
        campaign = _dated(self._campaign(), day)
        campaign.need("channel", '"wechat"')
        channel = channel_of(campaign) or ""
        belonging(channel, self.top, self.shown)
        name = campaign.text("name", self.file.stem)
        if not name.isprintable() or "/" in name or "\\" in name or name in (".", ".."):
            raise UsageError(f"{campaign.where('name')}: {name!r} cannot be a file's name")
        audience, expand = self._audience()
        source = self._recipients(campaign)
        failed_in = None if recipients is None else _report(recipients)
        if recipients is not None and failed_in is None:
            source, audience, expand = recipients, None, False
        if source is not None and audience is not None:
            raise UsageError(
                f"{self.shown}: [campaign] recipients and [audience] are both there; keep one"
            )
        if source is None and audience is None and failed_in is None:
            raise UsageError(
                f'{self.shown}: nobody to send to; add [campaign] recipients = "promoters.csv"'
                + (" or an [audience]" if channel == "wechat" else "")
            )
        account = self._account(channel, base_url)
        message, notices = read_message(self.top, self.shown, channel, self._sections())
        pace, concurrency, groups_in_flight = self._pace()
        synced = campaign.choice("durability", ("power", "process"), "power")
        return CampaignFile(
            path=self.file,
            name=name,
            channel=channel,
            account=account,
            message=message,
            recipients=source,
            audience=audience,
            expand=expand,
            journal=journal or self._journal(campaign, name),
            columns=self._columns(campaign),
            encoding=campaign.text("encoding", "auto"),
            sheet=_sheet(campaign),
            suppress=read_suppress(campaign, self.folder, self.fleet),
            durability="power" if synced == "power" else "process",
            max_group_size=campaign.whole("max_group_size", 99) or 10_000,
            max_error_rate=campaign.number("max_error_rate", 1),
            failed_in=failed_in,
            own_journals=self._own_journals(campaign, name),
            on_end=read_on_end(campaign, self.folder),
            on_daily_quota=campaign.choice("on_daily_quota", ("stop", "wait"), "stop") or "",
            route=campaign.choice("route", ("single", "group")),
            resolve=campaign.flag("resolve", False),
            first=read_first(campaign),
            max_per_person=read_max_per_person(campaign),
            times=read_times(campaign, self._pace_section()),
            pace=pace,
            concurrency=concurrency,
            groups_in_flight=groups_in_flight,
            poll=self._poll(),
            notices=notices,
        )

    def _journal(self, campaign: TableReader, name: str) -> JournalPlace:
        """The file's journal; with `--fleet` a campaign there: of the name that the file gives as
        `fleet:NAME`, or of its own."""
        named = fleet_name(campaign.text("journal", ""))
        if named is not None or self.fleet is not None:
            return FleetPlace(name if named is None else named, self.fleet)
        return campaign.path("journal", self.folder) or self.folder / f"{name}.db"

    def _own_journals(self, campaign: TableReader, name: str) -> tuple[JournalPlace, ...]:
        """Where the file itself has its campaign: with `--fleet` in the database, or in a file as before."""
        first = self._journal(campaign, name)
        if isinstance(first, Path) or fleet_name(campaign.text("journal", "")) is not None:
            return (first,)
        return first, campaign.path("journal", self.folder) or self.folder / f"{name}.db"

    def _recipients(self, campaign: TableReader) -> Path | tuple[Path, ...] | None:
        """The list's file or files; `-`, standard input, is no file of the folder."""
        found = campaign.paths("recipients", self.folder)
        if isinstance(found, tuple):
            return tuple(STANDARD_INPUT if one == self.folder / "-" else one for one in found)
        return STANDARD_INPUT if found == self.folder / "-" else found

    def _account(self, channel: str, base_url: str | None) -> AnySection:
        return self._sections().read(channel, self.top[channel], self.shown, base_url)

    def _sections(self) -> AccountSections:
        return AccountSections(self.folder, self.environ, file_secrets=self.file_secrets)

    def _columns(self, campaign: TableReader) -> dict[str, str]:
        if "columns" not in campaign:
            return {}
        section = self.section("campaign.columns", table=campaign.table["columns"])
        columns = section.strings()
        for key in columns:
            section.text(key)
        headings = list(columns.values())
        for heading in headings:
            if headings.count(heading) > 1:
                raise UsageError(f"{self.shown}: [campaign.columns] uses {heading!r} twice")
        return columns

    def _audience(self) -> tuple[Audience | None, bool]:
        """`[audience]`, and whether each of its members becomes a recipient."""
        if "audience" not in self.top:
            return None, False
        section = self.section("audience", "roles", "retailers", "everyone", "expand")
        roles, retailers = section.wholes("roles"), section.texts("retailers")
        everyone = section.flag("everyone", False)
        if (roles is not None) + (retailers is not None) + everyone != 1:
            raise UsageError(
                f"{self.shown}: [audience] needs exactly one of roles = [1, 2], "
                'retailers = ["…"] and everyone = true'
            )
        audience: Audience
        if roles is not None:
            audience = section.build(Roles, roles)
        elif retailers is not None:
            audience = section.build(Retailers, retailers)
        else:
            audience = Everyone(confirm=True)
        return audience, section.flag("expand", False)

    def _pace(self) -> tuple[Pace | None, int, int]:
        """`[pace]`, its concurrency and its groups in flight."""
        section = self._pace_section()
        return (
            read_pace(section),
            section.whole("concurrency", 1, 1000) or 64,
            section.whole("groups_in_flight", 1, 1000) or 1,
        )

    def _pace_section(self) -> TableReader:
        return self.section("pace", *QUOTAS, "concurrency", "groups_in_flight", *PACE_TIMES)

    def _poll(self) -> PollPolicy:
        section = self.section("poll", "first_after", "every", "give_up_after")
        default = PollPolicy()
        every = section.duration("every", default.every)
        if every <= 0:
            raise UsageError(f"{section.where('every')} is 0; expected more, such as '120s'")
        return section.build(
            PollPolicy,
            first_after=section.duration("first_after", 0.0) if "first_after" in section else None,
            every=every,
            give_up_after=section.duration("give_up_after", default.give_up_after),
        )


def _dated(campaign: TableReader, day: str) -> TableReader:
    """`{date}` in name and journal, filled in."""
    for key in ("name", "journal"):
        text = campaign.table.get(key)
        if not isinstance(text, str) or "{" not in text:
            continue
        dated = text.replace("{date}", day)
        if "{" in dated or "}" in dated:
            raise UsageError(
                f"{campaign.where(key)} is {text!r}: only {{date}} can stand in braces, "
                "the China-time day"
            )
        campaign.table[key] = dated
    return campaign


def _report(path: Path) -> Path | None:
    """The file, when it is a report of promomsg; None: it is a list."""
    # A campaign file without it needs no reader of lists yet.
    from promomsg.intake.reported.report_file import is_report

    return path if is_report(path) else None


def _list_path(path: Path) -> Path:
    return path if path == STANDARD_INPUT else path.absolute()


def _sheet(campaign: TableReader) -> str | int | None:
    """An Excel list's sheet, by its name or its number from 1."""
    value = campaign.table.get("sheet")
    if isinstance(value, int) and not isinstance(value, bool):
        return campaign.whole("sheet", 1)
    return campaign.text("sheet") or None
