"""`doctor`: checks what a campaign needs, one by one; nothing is sent."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import AsyncIterator, Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from promomsg import open_file_limit
from promomsg.channels.base import CompiledMessage, has_account_token
from promomsg.cli.campaign.campaign_file import load_campaign
from promomsg.cli.campaign.campaign_values import FROM_ENVIRONMENT, STANDARD_INPUT, CampaignFile
from promomsg.cli.interrupts import Interrupts, run_async
from promomsg.cli.journal_place import FleetPlace
from promomsg.cli.language.terminal_language import _, translated
from promomsg.cli.output.printing import (
    command_line,
    finish_output,
    print_json,
    print_line,
    print_table,
)
from promomsg.cli.output.terminal_page import Page
from promomsg.errors import JournalError, PromoError, UsageError
from promomsg.plural import counted
from promomsg.suggest import quoted
from promomsg.transport.connections import most_connections
from promomsg.transport.proxies import choose_proxy
from promomsg.transport.urls import check_base_url
from promomsg.url_origins import origin
from promomsg.wechat.message import WeChatMessage

if TYPE_CHECKING:
    from promomsg.intake.sources import Source
from promomsg.cli.shared_options import base_url_option, file_secrets_option, json_option

__all__ = ["CheckResult", "doctor", "examine"]

_SKEW_WARN: Final = 5.0
_SKEW_FAIL: Final = 60.0
"""Seconds that the clock may be off: signed requests carry its time, and days end by it."""
_ROOM: Final = 200 * 1024 * 1024
"""Bytes that should be free for a journal: about half a million recipients."""


class CheckResult(NamedTuple):
    """One thing looked at: `level` is ok, warn or fail; `detail` says how to mend it."""

    level: str
    what: str
    detail: str


@click.command(short_help="Check a campaign file, its account, the clock and the disk.")
@click.argument("file", type=click.Path(path_type=Path))
@base_url_option
@file_secrets_option
@json_option
def doctor(file: Path, base_url: str | None, allow_file_secrets: bool, as_json: bool) -> int:
    """Check what sending the campaign in FILE needs. Nothing is sent.

    Exit status: 0 nothing failed, 1 something did.
    """
    asked = {"base_url": base_url, "file_secrets": allow_file_secrets}
    return run_async(lambda interrupts: _doctor(file, asked, as_json, interrupts))


async def _doctor(file: Path, asked: dict[str, Any], as_json: bool, interrupts: Interrupts) -> int:
    from promomsg.cli.exit_status import WRONG

    async def all_of_them() -> list[CheckResult]:
        return [finding async for finding in examine(file, **asked)]

    findings = await interrupts.unless(all_of_them())
    if as_json:
        print_json({"findings": [finding._asdict() for finding in findings]})
    else:
        print_table(
            ("", "what", "detail"),
            ((_(f.level), _(f.what), translated(f.detail)) for f in findings),
        )
        _say_what_next(findings, file)
    return WRONG if any(f.level == "fail" for f in findings) else finish_output()


def _say_what_next(findings: Sequence[CheckResult], file: Path) -> None:
    """On a terminal: how many things are to be mended, or the command that comes next."""
    page = Page()
    if page.columns is None:
        return
    failed = sum(finding.level == "fail" for finding in findings)
    if failed:
        print_line(f"{failed} to be mended; then look again")
    else:
        print_line(f"nothing stands in the way; look at it with: {command_line('plan', str(file))}")


async def examine(
    path: Path, base_url: str | None = None, *, file_secrets: bool = False
) -> AsyncIterator[CheckResult]:
    """Every finding, in the order in which sending would run into it."""
    from promomsg.cli.campaign.to_engine import open_channel

    try:
        file = load_campaign(path, base_url=base_url, file_secrets=file_secrets)
    except UsageError as error:
        yield CheckResult("fail", "campaign file", str(error))
        return
    yield CheckResult("ok", "campaign file", f"{file.name}, {file.channel}, {file.account_id}")
    for notice in file.notices:
        yield CheckResult("warn", "campaign file", notice)
    for finding in _journal(file):
        yield finding
    yield _descriptors(file)
    try:
        yield _proxy(file)
        async with open_channel(file) as channel:
            for notice in channel.notices:
                yield CheckResult("warn", "account", notice)
            yield await _shared_quota(file, channel)
            compiled = channel.compile(file.message)
            yield CheckResult("ok", "message", "its placeholders and lengths are right")
            if unchecked := _unchecked(file):
                yield CheckResult("warn", "message", unchecked)
            for notice in compiled.notices:
                yield CheckResult("warn", "message", notice)
            source, findings = _recipients(file, compiled)
            for finding in findings:
                yield finding
            async for finding in _suppression(file, channel, compiled, source):
                yield finding
            async for finding in _provider(file, channel):
                yield finding
    except UsageError as error:
        yield CheckResult("fail", "campaign file", str(error))


def _unchecked(file: CampaignFile) -> str:
    """What could not be checked of the message; empty when all of it was."""
    if not isinstance(file.message, WeChatMessage):
        return ""
    missing = sorted(set(file.message.content) - set(file.message.templates or ()))
    if not missing:
        return ""
    return (
        f"[templates.{file.message.msg_type}] declares no kind for {quoted(missing)}: their lengths "
        "and forms were not checked"
    )


def _descriptors(file: CampaignFile) -> CheckResult:
    """Each call in flight has a connection: do they fit into `ulimit -n`?"""
    allowed, wanted = open_file_limit.limit(), file.concurrency
    most = most_connections(wanted)
    if most < wanted:
        return CheckResult(
            "warn",
            "descriptors",
            f"concurrency = {wanted} is more than the {most} connections that half of ulimit -n "
            f"({allowed}) allows; raise it, or lower the concurrency",
        )
    limit = "no limit" if allowed is None else f"{allowed:,}, half of them for connections"
    return CheckResult("ok", "descriptors", f"concurrency {wanted}; ulimit -n: {limit}")


def _proxy(file: CampaignFile) -> CheckResult:
    """The proxy that calls go through, without its password."""
    base = check_base_url(file.account.base_url)
    proxy = choose_proxy(file.account.proxy.reveal(), base)
    if proxy is None:
        return CheckResult("ok", "proxy", f"none: {base.host} is called directly")
    by = " (of the environment)" if file.account.proxy == FROM_ENVIRONMENT else ""
    return CheckResult("ok", "proxy", f"{proxy.host}:{proxy.port}{by}")


def _recipients(
    file: CampaignFile, compiled: CompiledMessage
) -> tuple[Source | None, list[CheckResult]]:
    """The list of recipients, when there is one that can be read, and what was found of it."""
    from promomsg.cli.campaign.to_engine import recipients_of

    if file.audience is not None:
        return None, [CheckResult("ok", "recipients", "an audience: counted when it is planned")]
    if file.recipients == STANDARD_INPUT:
        detail = "standard input: checked when it is sent to"
        return None, [CheckResult("warn", "recipients", detail)]
    try:
        source = recipients_of(file)
        source.check(compiled.names, compiled.optional)
        notices = source.notices
    except UsageError as error:
        return None, [CheckResult("fail", "recipients", str(error))]
    files = file.recipients if isinstance(file.recipients, tuple) else (file.recipients,)
    found = [CheckResult("ok", "recipients", ", ".join(map(str, files)))]
    return source, [*found, *(CheckResult("warn", "recipients", notice) for notice in notices)]


async def _suppression(
    file: CampaignFile, channel: Any, compiled: CompiledMessage, source: Source | None
) -> AsyncIterator[CheckResult]:
    """Compared with the recipients: a wrong list is often one that leaves nobody out."""
    if file.suppress is None:
        return
    from promomsg.argument_checks import SUPPRESS_NEEDS_EXPAND
    from promomsg.clock import SYSTEM_CLOCK
    from promomsg.engine.prepare.suppression_list import preview_suppression

    if file.audience is not None and not file.expand:
        yield CheckResult("fail", "suppression", SUPPRESS_NEEDS_EXPAND)
        return
    try:
        summary, *notices = await preview_suppression(
            file.suppress,
            channel,
            compiled,
            source,
            clock=SYSTEM_CLOCK,
            run_id=secrets.token_hex(16),
        )
    except (UsageError, JournalError) as error:
        yield CheckResult("fail", "suppression", str(error))
        return
    yield CheckResult("ok", "suppression", summary)
    for notice in notices:
        yield CheckResult("warn", "suppression", notice)


def _journal(file: CampaignFile) -> list[CheckResult]:
    if not isinstance(file.journal, Path):
        return [_in_fleet(file.journal)]
    folder = file.journal.parent
    if not folder.is_dir():
        return [CheckResult("fail", "journal", f"the folder {folder} is not there; make it")]
    if not os.access(folder, os.W_OK | os.X_OK):
        return [CheckResult("fail", "journal", f"the folder {folder} cannot be written by you")]
    found = []
    free = shutil.disk_usage(folder).free
    if free < _ROOM:
        found.append(
            CheckResult("warn", "journal", f"only {free // 2**20} MiB are free in {folder}")
        )
    if os.path.lexists(file.journal):
        found.append(
            CheckResult(
                "warn", "journal", f"{file.journal} holds a campaign; resume it, or use another"
            )
        )
    return found or [CheckResult("ok", "journal", str(file.journal))]


def _in_fleet(journal: FleetPlace) -> CheckResult:
    try:
        taken = journal.journal().exists()
    except (UsageError, JournalError) as error:
        return CheckResult("fail", "journal", str(error))
    if taken:
        return CheckResult(
            "warn", "journal", f"{journal} holds a campaign; resume it, or use another name"
        )
    return CheckResult("ok", "journal", str(journal))


async def _shared_quota(file: CampaignFile, channel: Any) -> CheckResult:
    """Whether others who send for the account can be told what this process sends."""
    pacer = channel.pacer
    if not pacer.shares:
        return CheckResult("ok", "shared quota", "off: each process has the quota for itself")
    who = "with every process of yours on this machine"
    try:
        store = None
        if isinstance(file.journal, FleetPlace):
            of = (channel.name, origin(channel.base_url), channel.account)
            store = file.journal.journal().quota_store(*of)
            who = "with everybody who sends from that database, on every machine"
        async with pacer.shared_through(store) as trouble:
            if trouble or pacer.away:
                return CheckResult("warn", "shared quota", trouble or pacer.away)
    except (UsageError, JournalError) as error:
        return CheckResult("fail", "shared quota", str(error))
    return CheckResult("ok", "shared quota", who)


async def _provider(file: CampaignFile, channel: Any) -> AsyncIterator[CheckResult]:
    reached = True
    async for finding in _clock(file):
        reached = finding.what != "provider" or finding.level != "fail"
        yield finding
    if not reached:
        return
    if file.channel == "alipay":
        yield CheckResult(
            "ok", "keys", "both keys load; the wallet checks the signature with a send"
        )
        return
    try:
        await channel.prepare()
    except PromoError as error:
        yield CheckResult("fail", "token", f"{error}; check appid and secret at the platform")
        return
    if has_account_token(channel):
        yield CheckResult("ok", "token", "the account gets an access token")
    advice = await channel.advise()
    if advice is None:
        yield CheckResult("warn", "quota", "the quota cannot be read; set [pace] to yours")
        return
    left = (
        ""
        if advice.daily_remaining is None
        else f"{counted(advice.daily_remaining, 'call')} left today"
    )
    level = "warn" if advice.daily_remaining is not None and advice.daily_remaining <= 0 else "ok"
    yield CheckResult(level, "quota", left or "the provider says no daily limit")


async def _clock(file: CampaignFile) -> AsyncIterator[CheckResult]:
    from promomsg.clock import SYSTEM_CLOCK
    from promomsg.errors import TransportError
    from promomsg.transport.session import HttpSession

    proxy = file.account.proxy.reveal()
    async with HttpSession(file.account.base_url, timeout=10.0, proxy=proxy) as http:
        before = SYSTEM_CLOCK.time()
        try:
            answer = await http.get(http.url("/"))
        except TransportError as error:
            yield CheckResult(
                "fail", "provider", f"{file.account.base_url} is not reached: {error}"
            )
            return
        now = (before + SYSTEM_CLOCK.time()) / 2
    yield CheckResult("ok", "provider", f"{file.account.base_url} answers")
    date = {name.lower(): value for name, value in answer.headers.items()}.get("date")
    try:
        there = None if date is None else parsedate_to_datetime(date).timestamp()
    except ValueError:
        there = None
    if there is None:
        yield CheckResult(
            "warn", "clock", "the provider's answer has no Date; keep your clock set by NTP"
        )
        return
    # The header has whole seconds: half a second is the best guess of what it leaves out.
    off = now - (there + 0.5)
    level = "fail" if abs(off) > _SKEW_FAIL else "warn" if abs(off) > _SKEW_WARN else "ok"
    mend = "" if level == "ok" else "; set it by NTP"
    by = f"{abs(off):.1f} s ahead" if off > 0 else f"{abs(off):.1f} s behind"
    yield CheckResult(level, "clock", f"{by}{mend}")
