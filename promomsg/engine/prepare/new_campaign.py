"""A new campaign: its list is read, planned and written, once."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

from promomsg.argument_checks import (
    SEND_CALL,
    SUPPRESS_NEEDS_EXPAND,
    check_channel,
    check_name,
    is_text,
)
from promomsg.channels.base import Advice, Channel, CompiledMessage
from promomsg.engine.campaign_request import CampaignRequest
from promomsg.engine.frequency.counted_cap import (
    CAP_NEEDS_EXPAND,
    CAP_NEEDS_PLACE,
    count_again,
    count_at_planning,
)
from promomsg.engine.prepare.audience import AudienceRoute, decide_audience, expands, resolve_ids
from promomsg.engine.prepare.campaign_start import CampaignStart, RunContext
from promomsg.engine.prepare.default_pace import (
    ask_quota,
    day_notices,
    keep_pace,
    quota_notices,
    set_default_pace,
)
from promomsg.engine.prepare.plan import Plan, describe_plan
from promomsg.engine.prepare.planner import READ_SIZE, Planner, check_source
from promomsg.engine.prepare.resume_checks import check_max_recipients
from promomsg.engine.prepare.routing import chunk_size, make_groups
from promomsg.engine.recipient_tokens import EncryptedTokens
from promomsg.engine.schedule.cohorts import first_cohorts
from promomsg.engine.schedule.plan_times import check_times
from promomsg.engine.schedule.planned_cohorts import PlannedCohorts
from promomsg.engine.schedule.waiting import schedule_of
from promomsg.engine.settings import settings_of
from promomsg.engine.suppress_argument import check_suppress
from promomsg.errors import UsageError
from promomsg.intake.headings import folded_heading
from promomsg.intake.python.iterables import as_source
from promomsg.intake.sources import ForeseesRows, Source, file_path_of
from promomsg.journal.contract import FLEET, Handle
from promomsg.journal.locate import journal_of
from promomsg.journal.records import IDEMPOTENT, CampaignRecord
from promomsg.log_events import log_event
from promomsg.model import IDEMPOTENT_CHANNELS, Audience, Outcome, State

__all__ = ["NewCampaign"]

log = logging.getLogger("promomsg.engine")


class NewCampaign(CampaignStart):
    """A campaign that is planned into a new journal.

    Args:
        name, campaign_file: as `Campaign` has them.
        run_id: 32 random hex digits.
    """

    def __init__(
        self, request: CampaignRequest, *, name: str | None, campaign_file: str | None, run_id: str
    ) -> None:
        settings = settings_of(request.options)
        channel = request.channel
        check_channel(channel, SEND_CALL)
        settings = settings.in_zone_of(channel.name)
        check_name(name)
        check_suppress(request.suppress)
        self._compiled = channel.compile(request.message)
        self._source = as_source(request.recipients)
        self._settings = settings
        self._temporary = request.journal is None
        super().__init__(request, journal_of(request.journal, settings.durability))
        if settings.cap is not None and (self._temporary or self.address is None):
            raise UsageError(CAP_NEEDS_PLACE)
        self._record = CampaignRecord(
            name=name or _name_of(None if self._temporary else self.address),
            channel=channel.name,
            account=channel.account,
            run_id=run_id,
            message=self._compiled.snapshot(),
            settings=settings.snapshot() | _of_channel(channel),
            base_url=channel.base_url,
            campaign_file=campaign_file,
            created_at=self._clock.time(),
        )

    async def _make_plan(self, *, shown: bool) -> Plan:
        """Reads, checks and writes the whole list, once; nothing is sent and no file appears."""
        channel, compiled = self._channel, self._compiled
        settings, record = self._settings, self._record
        self._observe("new", record.name, {})
        schedule, now = settings.times.schedule(), self._clock.time()
        notices = [*channel.notices, *compiled.notices]
        if schedule is not None:
            notices += check_times(schedule, now)
        source, routed = await self._source_to_read()
        if routed is not None:
            notices += routed.notices
        advice: Advice | None = None
        if shown or not channel.pacer.configured:
            advice = await ask_quota(channel)
        notices += set_default_pace(channel, advice)
        keep_pace(record, channel)
        path = file_path_of(source)
        if path is not None:
            # Whoever finds half a plan has to plan it from the same list.
            record.source = {"path": str(path)}
        self._handle = handle = await self._journal.create(record)
        if channel.needs_tokens:
            self._tokens = await handle.recipient_tokens(make=True) or EncryptedTokens()
        cohorts = PlannedCohorts(settings.times, settings.first)
        planner = Planner(handle, channel, compiled, settings, self._tokens, cohorts)
        left_out: list[str] = []
        if source is None:
            assert routed is not None
            await handle.add_audience_group(routed.record, routed.planned)
            record.source = {"kind": "audience", "audience": routed.record}
        else:
            read_notices, left_out = await self._read(source, planner, handle, cohorts)
            notices += [*read_notices, *left_out]
            if routed is not None and routed.record:
                record.source["expanded"] = routed.record
        record.warnings = list(dict.fromkeys([*channel.notices, *compiled.notices, *left_out]))
        self._planned = await handle.plan_counts()
        singles, _ = self._planned
        notices += quota_notices(advice, singles)
        notices += day_notices(channel.pacer.day_limit, singles)
        plan = await describe_plan(
            handle,
            channel,
            compiled,
            name=record.name,
            notices=notices,
            longest=planner.longest,
            schedule=schedule_of(record),
            now=now,
            first=settings.first_few,
        )
        check_max_recipients(plan.to_send, settings.max_recipients)
        return plan

    async def _source_to_read(self) -> tuple[Source | None, AudienceRoute | None]:
        """The list to read, looked at but not read yet; None: an audience that is one group call."""
        from anyio import to_thread  # with the event loop, as the rest of anyio

        source, compiled = self._source, self._compiled
        if not isinstance(source, Audience):
            # In a thread: it may read much of a file, and other campaigns use this event loop.
            column = self._settings.zone_column
            await to_thread.run_sync(check_source, source, compiled, column)
            _refuse_report(source, compiled)
            return source, None
        if self._settings.zone_column is not None:
            raise UsageError(
                "zone_column: an audience has no columns, so nobody's time zone is known: leave it out, or "
                "give a list of recipients"
            )
        if compiled.has_placeholders and not expands(source, self._settings):
            raise UsageError(
                "an audience gets one text, and the message has placeholders: "
                "say expand=true to make every promoter a recipient, or take them out"
            )
        routed = await decide_audience(self._channel, source, self._settings)
        if routed.rows is None:
            self._check_group_call()
        return routed.rows, routed

    async def _read(
        self, source: Source, planner: Planner, handle: Handle, cohorts: PlannedCohorts
    ) -> tuple[list[str], list[str]]:
        """Reads the list, takes out who is not to be sent to, and forms the groups.

        Returns:
            What the plan should say of the list, and what of the suppression list.
        """
        from anyio import to_thread

        channel, settings, compiled = self._channel, self._settings, self._compiled
        suppressed = None
        if self.request.suppress is not None:
            # First of all: it may not be understood, and then the recipients need not be read.
            # Only a campaign with such a list loads what reads one.
            from promomsg.engine.prepare.suppression_list import SuppressionList

            suppressed = SuppressionList(self.request.suppress, channel, self._clock)
            await suppressed.read(handle)
        foresees = source if isinstance(source, ForeseesRows) and suppressed is None else None
        await planner.read(source.batches(cohorts.names(compiled.names), READ_SIZE), foresees)
        if suppressed is not None:
            await suppressed.check_keys(handle)
        notices = await resolve_ids(handle, channel) if settings.resolve else []
        await planner.exclude(suppress=suppressed is not None)
        left_out: list[str] = []
        if suppressed is not None:
            left_out = suppressed.notices(await handle.left_out())
        capped, people = await count_at_planning(handle, settings, self._clock)
        (left_out if people else notices).extend(capped)
        await cohorts.choose_first(handle)
        cohorts.keep_in(self._record)
        await make_groups(handle, channel, settings, first_cohorts(self._record))
        columns = source.parameters | {"key"}
        notices += [*source.notices, *cohorts.notices()]
        notices += [notice for name, notice in compiled.braced.items() if name in columns]
        described = await to_thread.run_sync(source.describe)
        self._record.source = {**described, "digest": planner.digest, "rows": planner.rows}
        if suppressed is not None and suppressed.again_of:
            self._record.source["again_of"] = suppressed.again_of
        return notices, left_out

    def _check_group_call(self) -> None:
        """Raises when somebody is to be left out of one call to a whole audience."""
        if self.request.suppress is not None:
            raise UsageError(SUPPRESS_NEEDS_EXPAND)
        if self._settings.cap is not None:
            raise UsageError(CAP_NEEDS_EXPAND)
        if self._settings.first is not None:
            raise UsageError(
                "first: an audience that is sent to as one group call has nobody to send to first: "
                "say expand=true, or give a list of recipients"
            )
        if self._settings.only is not None:
            raise UsageError(
                "only: an audience that is sent to as one group has no keys to choose from: "
                "say expand=true, or give a list of recipients"
            )

    async def start(self) -> RunContext:
        """Makes the plan durable and gives it its name: from here on it may be sent."""
        handle = self._handle
        assert handle is not None
        self._channel.expect(self._settings.wanted_connections)
        self._record.planned_at = self._clock.time()
        if self._observed is not None:
            self._record.settings["carried"] = await self._observed.observers.carried()
        async with count_again(handle, self._settings, self._clock) as notice:
            if notice is not None:
                self._record.warnings.append(notice)
                self._planned = await handle.plan_counts()
            await handle.seal(self._record, chunk_size=chunk_size(self._settings.concurrency))
        context = await self._context()
        singles, groups = self._planned
        log_event(
            log,
            "campaign.planned",
            "%(campaign)s: planned, %(singles)s single and %(groups)s group sends",
            campaign=self._record.name,
            planned=context.counts.planned,
            singles=singles,
            groups=groups,
            journal=self.address,
        )
        if self._temporary:
            context.temporary = True
            context.address = None
        return context

    async def not_sent(self) -> AsyncIterator[Outcome]:
        """The rows that will not be sent, and why."""
        if self._handle is not None:
            async for page in self._handle.rows([State.FAILED, State.SKIPPED]):
                for outcome in page:
                    yield outcome

    async def discard(self) -> None:
        """Throws the plan away; nothing of it stays."""
        await super().discard()
        if self._temporary:
            self._journal.discard()


def _refuse_report(source: Source, compiled: CompiledMessage) -> None:
    """Raises UsageError for a report to which addresses were added: it may name people who got the message."""
    names = [name for name in source.parameters if folded_heading(name) == "verdict"]
    if names and compiled.names.isdisjoint(names):
        path = file_path_of(source)
        raise UsageError(
            f"{'the list' if path is None else path} has a column {names[0]}, as a report of promomsg has, which may "
            "name people who got the message: `promomsg send FILE --recipients` takes a report's CSV as it was "
            "written, and leaves those out; take the column out if everybody in it is to be sent to"
        )


def _of_channel(channel: Channel) -> dict[str, bool]:
    """What a journal cannot know by the name of a channel that another package brings: that its
    provider deduplicates."""
    others = channel.idempotent and channel.name not in IDEMPOTENT_CHANNELS
    return {IDEMPOTENT: True} if others else {}


def _name_of(address: str | None) -> str:
    """The name of a campaign that was given none: its journal's, by which a log of many tells them apart."""
    if address is None:
        return "campaign"
    name = address.removeprefix(FLEET) if address.startswith(FLEET) else Path(address).stem
    return name if name and is_text(name) else "campaign"
