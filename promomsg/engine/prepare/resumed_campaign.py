"""Resume and retry: an unfinished campaign is sent on, or one set of its recipients is sent again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
from anyio import to_thread

from promomsg.argument_checks import SUPPRESS_NEEDS_EXPAND, check_channel, check_yes_or_no
from promomsg.clock import china_day
from promomsg.engine.campaign_request import CampaignRequest
from promomsg.engine.frequency.counted_cap import CAP_NEEDS_EXPAND, count_again
from promomsg.engine.prepare.campaign_start import CampaignStart, RunContext
from promomsg.engine.prepare.default_pace import ask_quota, keep_pace, set_default_pace
from promomsg.engine.prepare.plan import Plan, describe_plan
from promomsg.engine.prepare.planner import READ_SIZE, Planner, address_columns, check_source
from promomsg.engine.prepare.resume_checks import (
    check_account,
    check_max_recipients,
    check_message,
    read_back,
    same_file,
)
from promomsg.engine.prepare.routing import chunk_size, make_groups
from promomsg.engine.recipient_tokens import EncryptedTokens, RecipientTokens
from promomsg.engine.schedule.cohorts import first_cohorts
from promomsg.engine.schedule.first_few import FirstPhase, results_in_words
from promomsg.engine.schedule.first_options import refuse_first
from promomsg.engine.schedule.first_watch import approve, look_again, progress_of_handle
from promomsg.engine.schedule.plan_digest import (
    PLANNED_SETTINGS,
    check_may_approve,
    check_planned_settings,
    unused_settings_notice,
)
from promomsg.engine.schedule.time_options import check_zone_column
from promomsg.engine.schedule.waiting import schedule_of
from promomsg.engine.settings import Settings, settings_of
from promomsg.engine.suppress_argument import check_suppress
from promomsg.errors import JournalError, UsageError
from promomsg.intake.python.iterables import as_source
from promomsg.journal.contract import Handle
from promomsg.journal.locate import existing_journal
from promomsg.journal.reasons import UNNAMED
from promomsg.journal.records import Control
from promomsg.model import GROUP_THRESHOLD, Audience, Promoters, Recipient, State
from promomsg.plural import counted
from promomsg.states import GroupState

if TYPE_CHECKING:
    from promomsg.engine.prepare.suppression_list import SuppressionList

__all__ = ["ResumedCampaign", "RetriedCampaign"]

_RECENT = 10_000
"""Intents of an earlier process that the pace begins with, at the most."""
_CANCELLED: Final = (
    "somebody has asked to cancel it: whoever is pending is cancelled, and not sent to"
)


class ResumedCampaign(CampaignStart):
    """An unfinished campaign that is sent on: its journal, checked against what the caller brings.

    Args:
        after_lost_wal, provider_is_back, approve: as `Campaign.resume` has them.
    """

    _kind: Literal["resume", "retry"] = "resume"
    _too_late: tuple[str, ...] = PLANNED_SETTINGS

    def __init__(
        self,
        request: CampaignRequest,
        *,
        after_lost_wal: bool = False,
        provider_is_back: bool = False,
        approve: bool = False,
    ) -> None:
        channel, options = request.channel, request.options
        check_channel(channel, "Campaign.resume(journal, channel)")
        check_yes_or_no(
            after_lost_wal=after_lost_wal, provider_is_back=provider_is_back, approve=approve
        )
        check_suppress(request.suppress)
        refuse_first(options)
        settings_of(options)
        super().__init__(
            request, existing_journal(request.journal, options.get("durability", "power"))
        )
        recipients, message = request.recipients, request.message
        self._source = None if recipients is None else as_source(recipients)
        self._message = None if message is None else channel.compile(message).snapshot()
        self._after_lost_wal = after_lost_wal
        self._provider_is_back = provider_is_back
        self._approve = approve
        self._ends_pause = False

    async def _make_plan(self, *, shown: bool) -> Plan:
        """Opens the journal as its sender, checks it, and says what is left to do."""
        channel = self._channel
        self._handle = handle = await self._journal.open(
            write=True, after_lost_wal=self._after_lost_wal
        )
        record = handle.record
        requested = (await handle.control()).requested
        self._ends_pause = requested is Control.PAUSE
        self._observe(self._kind, record.name, record.settings.get("carried", {}))
        other = record.account != channel.account
        check_account(record, channel, untouched=other and await handle.untouched())
        if self._message is not None:
            check_message(record.message, self._message)
        if self._approve:
            check_may_approve(record)
        check_planned_settings(record.settings, self._said_of_the_plan())
        suppression = None
        if self.request.suppress is not None:
            # Read before anything in the journal changes: the list may not be understood.
            # Only a resume with such a list loads what reads one.
            from promomsg.engine.prepare.suppression_list import SuppressionList

            suppression = SuppressionList(self.request.suppress, channel, self._clock, self.address)
            await suppression.read(handle)
            await suppression.check_keys(handle)
        self._compiled, kept = read_back(record, channel, self.address)
        check_zone_column(kept.times, self.request.options)
        settings = msgspec.structs.replace(kept, **self.request.options)
        self._settings = settings = settings.in_zone_of(channel.name)
        advice = None if channel.pacer.configured else await ask_quota(channel)
        notices = [*channel.notices, *set_default_pace(channel, advice)]
        notices += unused_settings_notice(record.settings, self.request.options, self._too_late)
        if self._kind == "resume" and requested is Control.CANCEL:
            notices.append(_CANCELLED)
        now = self._clock.time()
        await self._recover(handle, now)
        if self._approve:
            notices += await self._results_of_first(handle, now)
        await self._reopen(handle, settings)
        planner = Planner(handle, channel, self._compiled, settings)
        if (await handle.counts()).pending:
            await self._check_recipients(planner, needs_tokens=channel.needs_tokens)
            if suppression is not None:
                notices += await self._apply_suppression(handle, suppression, now)
        else:
            notices += await self._other_list_notice(handle, planner)
        record.account = channel.account
        keep_pace(record, channel)
        await handle.save(record)
        plan = await describe_plan(
            handle,
            channel,
            self._compiled,
            name=record.name,
            notices=notices,
            longest=planner.longest,
            schedule=schedule_of(record, settings.times),
            now=now,
            first=settings.first_few,
        )
        check_max_recipients(plan.to_send, self.request.options.get("max_recipients"))
        return plan

    def _said_of_the_plan(self) -> dict[str, Any]:
        """Options that have to be those of the plan: of a word for it all of them; else who is sent to, since
        whoever says `only` again means nobody else."""
        given = self.request.options
        return {name: given[name] for name in given if self._approve or name == "only"}

    async def _results_of_first(self, handle: Handle, now: float) -> list[str]:
        """What a person says yes to."""
        first = await progress_of_handle(handle, (await handle.control()).first_few, now)
        if first is None or first.phase == FirstPhase.PASSED:
            return []
        results = results_in_words(first)
        return [f"by your word the others follow the first {first.planned:,}: {results}"]

    async def _recover(self, handle: Handle, now: float) -> None:
        """Ends what an earlier process left open, and counts its latest calls towards the pace."""
        channel = self._channel
        recovered = await handle.recover(
            idempotent=channel.idempotent, at=now, day=china_day(now), recent=_RECENT
        )
        self._stream_from = await handle.outcomes_end()
        if recovered.unknown or recovered.lost_groups:
            await handle.warn(
                f"{recovered.unknown} single sends and {recovered.lost_groups} group sends were "
                "out when an earlier process ended: their recipients are unknown"
            )
        channel.pacer.singles.count_earlier(recovered.recent, now)
        channel.pacer.singles.count_today(recovered.singles_today)
        calls = [g.sent_at for g in await handle.groups() if g.sent_at is not None]
        channel.pacer.groups.count_earlier(calls, now)

    async def _reopen(self, handle: Handle, settings: Settings) -> None:
        """A resume leaves final recipients as they are; a retry does not."""

    async def _apply_suppression(
        self, handle: Handle, suppression: SuppressionList, now: float
    ) -> list[str]:
        """Skips who has got on the suppression list since the plan was made."""
        from promomsg.engine.prepare.suppression_list import is_suppression_notice

        if any(g.audience and g.state is GroupState.PLANNED for g in await handle.groups()):
            raise UsageError(SUPPRESS_NEEDS_EXPAND)
        count = await handle.suppress_pending(
            address_columns(self._channel), smallest_group=GROUP_THRESHOLD, at=now
        )
        notices = suppression.notices(await handle.left_out())
        if count:
            text = f"{count} that were still to be sent to are on the suppression list by now: left out"
            await handle.warn(text)
            notices.append(text)
        # They replace those of an earlier reading; `_make_plan` saves the record.
        kept = [w for w in handle.record.warnings if not is_suppression_notice(w)]
        handle.record.warnings[:] = dict.fromkeys([*kept, *notices])
        return notices

    async def _check_recipients(self, planner: Planner, *, needs_tokens: bool) -> None:
        """Reads the list again when its user tokens are needed, or when it may have changed.

        Raises:
            UsageError: it is not the list that was planned, or there is none and its tokens are needed.
        """
        assert self._handle is not None
        kept = self._handle.record.source
        source = self._source
        if isinstance(source, Promoters):
            source = as_source([Recipient(id=one) for one in source.ids])
        if source is None or isinstance(source, Audience):
            if source is not None:
                from promomsg.engine.prepare.audience import check_audience

                check_audience(source, kept, self.address or "the journal")
            if needs_tokens:
                self._tokens = await self._kept_tokens()
            return
        # Loaded for a resume that is given its list again.
        from promomsg.intake.text.standard_input import StandardInput

        # A list that was piped in need not be piped in again: the journal has all of it.
        if not needs_tokens and (
            isinstance(source, StandardInput) or await to_thread.run_sync(same_file, source, kept)
        ):
            return
        cohorts = planner.cohorts
        await to_thread.run_sync(check_source, source, self._compiled, cohorts.column)
        wanted: RecipientTokens | None = None
        if needs_tokens:
            there = await self._handle.recipient_tokens(make=True)
            # `discard` closes them, whatever happens here
            self._tokens = there or EncryptedTokens()
            if there is None or not await there.has_all():
                wanted = self._tokens
        names = cohorts.names(self._compiled.names)
        await planner.read_tokens(source.batches(names, READ_SIZE), wanted)
        if planner.digest != kept.get("digest"):
            raise UsageError(
                f"the recipients are not the list that {self.address or 'the journal'} was planned "
                f"with ({counted(kept.get('rows', 0), 'row')} then, {planner.rows:,} now; keys, addresses or "
                "parameters differ): put that list back, or start a new campaign with a journal "
                "of its own"
            )

    async def _other_list_notice(self, handle: Handle, planner: Planner) -> list[str]:
        """Where nothing is left to send: who has come onto the list meanwhile is sent to by nobody."""
        try:
            await self._check_recipients(planner, needs_tokens=False)
        except UsageError as error:
            text = (
                f"nothing is left to send, and nobody was taken from the list given again: {error}"
            )
            await handle.warn(text)
            return [text]
        return []

    async def _kept_tokens(self) -> RecipientTokens:
        """The user tokens that the journal keeps. Raises UsageError: it has not those of all."""
        assert self._handle is not None
        tokens = await self._handle.recipient_tokens()
        if tokens is not None and await tokens.has_all():
            return tokens
        which = "not kept in the journal" if tokens is None else "not all in the journal any more"
        raise UsageError(
            f"this channel's user tokens are {which}: "
            "give the recipients again (recipients=…, or the campaign file)"
        )

    async def _let_everybody_send(self, handle: Handle) -> None:
        """Ends a halt, and the pause that was there; one that came meanwhile stands. Not before it is to go on: others who may send it begin at once."""
        handle.record.halted = None
        # Whoever else sends it, and who looks at it, goes by these times too.
        handle.record.settings |= msgspec.structs.asdict(self._settings.times)
        await handle.save(handle.record)
        await handle.resume(self._clock.time())
        if self._ends_pause and (await handle.control()).requested is Control.PAUSE:
            await handle.set_control(Control.RUN)

    async def _count_cap_again(self, handle: Handle) -> None:
        """Skips who has had, or will have, too many messages of others since the plan was made."""
        if self._settings.cap is None or not (await handle.counts()).pending:
            return
        if any(g.audience and g.state is GroupState.PLANNED for g in await handle.groups()):
            raise UsageError(CAP_NEEDS_EXPAND)
        async with count_again(handle, self._settings, self._clock) as notice:
            if notice is not None:
                await handle.warn(notice)

    async def start(self) -> RunContext:
        """The open journal, ready to go on."""
        assert self._handle is not None
        self._channel.expect(self._settings.wanted_connections)
        outage = self._handle.record.outage
        if outage is not None and self._provider_is_back:
            await self._handle.keep_outage(None)
        await self._count_cap_again(self._handle)
        if self._approve and self._settings.first_few is not None:
            await approve(self._handle, self._clock, self._settings.first_few)
        await self._let_everybody_send(self._handle)
        context = await self._context()
        context.stream_from = self._stream_from
        return context


class RetriedCampaign(ResumedCampaign):
    """A retry: the user's word for exactly one set, planned anew; `sent` is never touched.

    Args:
        states: `FAILED`, `UNKNOWN` or both: who is to be sent to again.
        include_unnamed: as `Campaign.retry` has it.
    """

    _kind = "retry"
    _too_late = ("resolve", "expand")
    """The groups are made anew, by the route and the size that are said now."""

    def __init__(
        self, request: CampaignRequest, *, states: Sequence[State], include_unnamed: bool
    ) -> None:
        super().__init__(request)
        self._states = states
        self._include_unnamed = include_unnamed

    async def _reopen(self, handle: Handle, settings: Settings) -> None:
        schedule = settings.times.schedule()
        if schedule is not None and schedule.opening(self._clock.time()).is_over:
            raise UsageError(
                f"finish_by, {schedule.shown(schedule.finish_by or 0.0)}, is past: nobody would be sent to "
                "again; give a later one (finish_by=…, or --finish-by)"
            )
        await self._check_number(handle, settings)
        # The user's word for this set is newer than a pause or a cancel of the campaign; but nobody sends
        # before those are left out whom the suppression list has by now.
        before = (await handle.control()).requested
        await handle.set_control(Control.PAUSE)
        self._ends_pause = True
        now = self._clock.time()
        try:
            again = 0
            for state in self._states:
                again += await handle.reopen(state, include_unnamed=self._include_unnamed, at=now)
        except JournalError:
            await handle.set_control(before)  # others have calls out, and go on
            raise
        if again and settings.first_few is not None:
            await look_again(handle)
        first = first_cohorts(handle.record)
        try:
            await make_groups(handle, self._channel, settings, first)
        except UsageError as error:
            # Nobody knew before that they are of several sets.
            raise UsageError(
                f"{error}. Nothing was sent; {counted(again, 'recipient is', 'recipients are')} pending again: "
                "change that, and retry once more"
            ) from None
        await handle.seal_retry(chunk_size=chunk_size(settings.concurrency))

    async def _check_number(self, handle: Handle, settings: Settings) -> None:
        """Raises UsageError for what is known to be refused, before anybody is taken back who then stays so."""
        counts = await handle.counts()
        unnamed = 0 if self._include_unnamed else counts.by_code.get(UNNAMED.code, 0)
        again = {State.FAILED: counts.failed, State.UNKNOWN: counts.unknown - unnamed}
        number = sum(again[state] for state in self._states)
        check_max_recipients(number, self.request.options.get("max_recipients"))
        if settings.route == "group" and 0 < number < GROUP_THRESHOLD:
            raise UsageError(
                f'route = "group": {counted(number, "recipient")} to be sent to again, and a group send needs '
                f'{GROUP_THRESHOLD} or more: leave route out, or say route = "single"'
            )
