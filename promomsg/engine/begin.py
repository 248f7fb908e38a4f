"""The three ways in which a campaign begins: a new plan, a journal gone on with, a retry of a set.

Each ends in a `Started`: an open journal whose plan is complete, and what the run needs beside it.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable
from typing import Any, Protocol

import msgspec

from promomsg.channels.base import Advice, Channel, Letter
from promomsg.clock import Clock, china_day
from promomsg.engine.audience import Routed, decide_audience, resolve_ids
from promomsg.engine.checks import check_account, check_message, same_file, suppressed_batches
from promomsg.engine.pacing import ask_advice, day_notices, quota_notices, settle_pace
from promomsg.engine.plan import Plan, Planner, chunk_size, fill_vault, route
from promomsg.engine.report import Report
from promomsg.engine.settings import Settings
from promomsg.engine.vault import TokenVault
from promomsg.errors import UsageError
from promomsg.intake import as_source
from promomsg.journal.base import CampaignRecord, Control, GroupRow, Handle, Journal, Rows, Tally
from promomsg.journal.sqlite import Durability, SqliteJournal
from promomsg.model import Audience, Outcome, Promoters, State

__all__ = ["Begun", "NewPlan", "Reopened", "Resumed", "Started"]

_RECENT = 10_000
"""Intents of an earlier process that the pace begins with, at the most."""
_READ = 1_000


class Started(msgspec.Struct):
    """What a run needs.

    Attributes:
        handle, channel, letter, settings: of the campaign.
        vault: the user tokens; None for channels without them.
        tally, groups: the counts at the start.
        sent_today: singles that the journal has for this China-time day.
        stream_from: the cursor from which outcomes are streamed.
        kept_path: the journal's path when it stays; None in memory and for a temporary one.
        journal: the journal itself; temporary: it is removed on a clean close.
    """

    handle: Handle
    channel: Channel
    letter: Letter
    settings: Settings
    vault: TokenVault | None
    tally: Tally
    groups: list[GroupRow]
    sent_today: int
    stream_from: tuple[int, int]
    kept_path: str | None
    journal: Journal
    rows: Rows
    temporary: bool = False

    async def close(self, *, clean: bool, report: Report) -> None:
        """Closes the journal; a temporary one goes when the campaign came to its end."""
        if self.vault is not None:
            self.vault.close()
        if self.temporary and not clean:
            report.journal = self.handle.path
            report.warnings.append(
                f"the campaign did not come to its end; its journal is kept: {self.handle.path} "
                "(Campaign.resume goes on with it)"
            )
        await self.handle.close()
        if self.temporary and clean:
            self.journal.discard()


class Begun(Protocol):
    """A way to begin."""

    @property
    def path(self) -> str | None: ...
    async def plan(self, *, shown: bool) -> Plan: ...
    async def start(self) -> Started: ...
    def not_sent(self) -> AsyncIterator[Outcome]: ...
    async def discard(self) -> None: ...


class NewPlan:
    """A campaign that has not begun: planned into a new journal.

    Args: as `Campaign` has them; `run_id` is 32 random hex digits.
    """

    def __init__(
        self,
        channel: Channel,
        message: Any,
        recipients: Any,
        *,
        name: str,
        journal: str | os.PathLike[str] | Journal | None,
        suppress: str | os.PathLike[str] | Iterable[str] | None,
        campaign_file: str | None,
        base_url: str | None,
        settings: Settings,
        clock: Clock,
        run_id: str,
    ) -> None:
        self._channel = channel
        self._letter = channel.compile(message)
        self._source = as_source(recipients)
        self._name = name
        self._settings = settings
        self._suppress = suppress
        self._clock = clock
        self._record = CampaignRecord(
            name=name,
            channel=channel.name,
            account=channel.account,
            run_id=run_id,
            message=self._letter.snapshot(),
            settings=settings.snapshot(),
            # From the start: half a plan must not be sent to another place either.
            source={} if base_url is None else {"base_url": base_url},
            campaign_file=campaign_file,
            created_at=clock.time(),
        )
        self._temporary = journal is None
        self._journal = journal_of(journal, settings.durability)
        self._handle: Handle | None = None
        self._vault: TokenVault | None = None
        self._plan: Plan | None = None

    @property
    def path(self) -> str | None:
        """Where the journal is; None in memory."""
        return self._journal.path

    async def plan(self, *, shown: bool) -> Plan:
        """Reads, checks and writes the whole list, once; nothing is sent and nothing appears.

        Args:
            shown: a person will look at it: the provider is asked for the quota that is left.
        """
        if self._plan is not None:
            return self._plan
        channel, settings = self._channel, self._settings
        source = self._source
        routed: Routed | None = None
        notices = [*channel.notices, *self._letter.warnings]
        if isinstance(source, Audience):
            if self._letter.personal and not isinstance(source, Promoters) and not settings.expand:
                raise UsageError(
                    "an audience gets one text, and the message has placeholders: "
                    "say expand=true to make every promoter a recipient, or take them out"
                )
            routed = await decide_audience(channel, source, settings)
            if routed.rows is None and settings.only is not None:
                raise UsageError(
                    "an audience that is sent to as one group has no keys to choose from: "
                    "say expand=true, or give a list of recipients"
                )
            notices += routed.notices
        else:
            source.check(self._letter.names, self._letter.spare)
        advice: Advice | None = None
        if shown or not channel.pacer.configured:
            advice = await ask_advice(channel)
        notices += settle_pace(channel, advice)
        self._handle = handle = await self._journal.create(self._record)
        if channel.needs_tokens:
            self._vault = TokenVault()
        planner = Planner(handle, channel, self._letter, settings, self._vault)
        if routed is not None and routed.rows is None:
            await handle.add_audience_group(routed.record, routed.planned)
            described: dict[str, Any] = {"kind": "audience", "audience": routed.record}
        else:
            read_from = routed.rows if routed is not None else source
            assert read_from is not None
            assert not isinstance(read_from, Audience)
            await planner.read(read_from.batches(self._letter.names, _READ))
            if settings.resolve:
                notices += await resolve_ids(handle, channel)
            await planner.exclude(suppressed_batches(self._suppress))
            await planner.route()
            notices += read_from.notices
            described = {**read_from.describe(), "digest": planner.digest, "rows": planner.rows}
        self._record.source = {**self._record.source, **described}
        self._record.warnings = list(dict.fromkeys([*channel.notices, *self._letter.warnings]))
        singles, _ = await handle.plan_counts()
        notices += quota_notices(advice, singles)
        notices += day_notices(channel.pacer.day_limit, singles)
        self._plan = plan = await planner.describe(name=self._name, notices=notices)
        if settings.max_recipients is not None and plan.to_send > settings.max_recipients:
            raise UsageError(
                f"the plan reaches for {plan.to_send} recipients, over the cap of "
                f"{settings.max_recipients} (max_recipients); nothing was sent"
            )
        return plan

    async def start(self) -> Started:
        """Makes the plan durable and gives it its name: from here on it may be sent."""
        assert self._handle is not None
        handle = self._handle
        self._record.planned_at = self._clock.time()
        await handle.seal(self._record, chunk_size=chunk_size(self._settings.concurrency))
        self._channel.expect(self._settings.concurrency)
        started = await _started(
            handle, self._channel, self._letter, self._settings, self._vault, self._journal
        )
        started.temporary = self._temporary
        if self._temporary:
            started.kept_path = None
        self._handle = self._vault = None
        return started

    async def not_sent(self) -> AsyncIterator[Outcome]:
        """The rows that will not be sent, and why."""
        if self._handle is not None:
            async for page in self._handle.rows([State.FAILED, State.SKIPPED]):
                for outcome in page:
                    yield outcome

    async def discard(self) -> None:
        """Throws the plan away; nothing of it stays."""
        await _drop(self._handle, self._vault)
        self._handle = self._vault = None
        if self._temporary:
            self._journal.discard()


class Resumed:
    """A campaign gone on with: what is in its journal, checked against what the caller brings."""

    def __init__(
        self,
        journal: str | os.PathLike[str] | Journal,
        channel: Channel,
        *,
        recipients: Any,
        message: Any,
        options: Any,
        clock: Clock,
    ) -> None:
        self._channel = channel
        self._options = options
        self._clock = clock
        self._journal = journal_of(journal, options.get("durability", "power"))
        self._source = None if recipients is None else as_source(recipients)
        self._message = None if message is None else channel.compile(message).snapshot()
        self._handle: Handle | None = None
        self._vault: TokenVault | None = None
        self._plan: Plan | None = None

    @property
    def path(self) -> str | None:
        """Where the journal is; None in memory."""
        return self._journal.path

    async def plan(self, *, shown: bool) -> Plan:
        """Opens the journal as its sender, checks it, and says what is left to do."""
        if self._plan is not None:
            return self._plan
        channel = self._channel
        self._handle = handle = await self._journal.open(write=True)
        record = handle.record
        check_account(record, channel)
        if self._message is not None:
            check_message(record.message, self._message)
        self._letter = channel.compile_snapshot(record.message)
        self._settings = settings = msgspec.structs.replace(
            Settings.from_snapshot(record.settings), **self._options
        )
        pacing = channel.pacer.configured
        pace_notices = settle_pace(channel, None if pacing else await ask_advice(channel))
        now = self._clock.time()
        recovered = await handle.recover(
            idempotent=channel.idempotent, at=now, day=china_day(now), recent=_RECENT
        )
        self._sent_today = recovered.singles_today
        self._before = await handle.outcomes_end()
        if recovered.unknown or recovered.lost_groups:
            await handle.warn(
                f"{recovered.unknown} single sends and {recovered.lost_groups} group sends were "
                "out when an earlier process ended: their recipients are unknown"
            )
        channel.pacer.singles.seed(recovered.recent, now)
        calls = [g.sent_at for g in await handle.groups() if g.sent_at is not None]
        channel.pacer.groups.seed(calls, now)
        await self._reopen(handle, settings)
        tally = await handle.tally()
        planner = Planner(handle, channel, self._letter, settings, None)
        if tally.pending:
            await self._check_recipients(planner)
        record.halted = None
        await handle.save(record)
        if await handle.control() is Control.PAUSE:
            await handle.set_control(Control.RUN)
        self._plan = await planner.describe(
            name=record.name, notices=(*channel.notices, *pace_notices)
        )
        return self._plan

    async def _reopen(self, handle: Handle, settings: Settings) -> None:
        """Nothing to reopen in a plain resume."""

    async def _check_recipients(self, planner: Planner) -> None:
        """Reads the list again when it is needed, or when it may have changed.

        User tokens are not in the journal: a channel with tokens reads them from the list.
        """
        assert self._handle is not None
        kept = self._handle.record.source
        source = self._source
        if source is None or isinstance(source, Audience):
            if self._channel.needs_tokens:
                raise UsageError(
                    "this channel's user tokens are not kept in the journal: "
                    "give the recipients again (recipients=…, or the campaign file)"
                )
            return
        if not self._channel.needs_tokens and same_file(source, kept):
            return
        source.check(self._letter.names, self._letter.spare)
        vault = self._vault = TokenVault()  # `discard` closes it, whatever happens here
        digest = await fill_vault(vault, source.batches(self._letter.names, _READ), planner)
        if not self._channel.needs_tokens:
            vault.close()
            self._vault = None
        if digest != kept.get("digest"):
            raise UsageError(
                f"the recipients are not the list that {self.path or 'the journal'} was planned "
                f"with ({kept.get('rows', '?')} rows then, {planner.rows} now; keys, addresses or "
                "parameters differ): put that list back, or start a new campaign with a journal "
                "of its own"
            )

    async def start(self) -> Started:
        """The open journal, ready to go on."""
        assert self._handle is not None
        self._channel.expect(self._settings.concurrency)
        started = await _started(
            self._handle,
            self._channel,
            self._letter,
            self._settings,
            self._vault,
            self._journal,
        )
        started.sent_today = self._sent_today
        started.stream_from = self._before
        self._handle = self._vault = None
        return started

    async def not_sent(self) -> AsyncIterator[Outcome]:
        """Nothing: what was left out is in the journal."""
        nobody: tuple[Outcome, ...] = ()
        for outcome in nobody:
            yield outcome

    async def discard(self) -> None:
        """Lets go of the journal."""
        await _drop(self._handle, self._vault)
        self._handle = self._vault = None


class Reopened(Resumed):
    """A retry: the user's word for exactly one set, planned anew; `sent` is never touched."""

    def __init__(
        self,
        journal: str | os.PathLike[str] | Journal,
        channel: Channel,
        *,
        failed: bool,
        unknown: bool,
        include_unnamed: bool,
        recipients: Any,
        options: Any,
        clock: Clock,
    ) -> None:
        super().__init__(
            journal, channel, recipients=recipients, message=None, options=options, clock=clock
        )
        self._states = [
            *([State.FAILED] if failed else []),
            *([State.UNKNOWN] if unknown else []),
        ]
        self._include_unnamed = include_unnamed

    async def _reopen(self, handle: Handle, settings: Settings) -> None:
        # The user's word for this set is newer than a pause or a cancel of the campaign.
        await handle.set_control(Control.RUN)
        now = self._clock.time()
        for state in self._states:
            await handle.reopen(state, include_unnamed=self._include_unnamed, at=now)
        await route(handle, self._channel, settings)
        await handle.seal_retry(chunk_size=chunk_size(settings.concurrency))


async def _started(
    handle: Handle,
    channel: Channel,
    letter: Letter,
    settings: Settings,
    vault: TokenVault | None,
    journal: Journal,
) -> Started:
    return Started(
        handle=handle,
        channel=channel,
        letter=letter,
        settings=settings,
        vault=vault,
        tally=await handle.tally(),
        groups=await handle.groups(),
        sent_today=0,
        stream_from=(-1, 0),
        kept_path=handle.path,
        journal=journal,
        rows=journal.rows_later(),
    )


def journal_of(journal: str | os.PathLike[str] | Journal | None, durability: Durability) -> Journal:
    """The journal that was meant: the only place of the engine that names a kind of journal."""
    if journal is None:
        return SqliteJournal.temporary(durability=durability)
    if isinstance(journal, (str, os.PathLike)):
        return SqliteJournal(journal, durability=durability)
    return journal


async def _drop(handle: Handle | None, vault: TokenVault | None) -> None:
    if vault is not None:
        vault.close()
    if handle is not None:
        await handle.close()
