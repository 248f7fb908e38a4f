"""A part of a campaign: what one process does of it while others send it too.

It is no resume (docs/design.md, "A part of a campaign"): what a person or another sender has decided
(a pause, a halt, a used-up day) stays, what others hold stays theirs, and nobody is waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

import anyio
import msgspec

from promomsg.argument_checks import check_channel
from promomsg.channels.base import Channel, has_groups
from promomsg.clock import SYSTEM_CLOCK, Clock
from promomsg.engine.prepare.campaign_start import Part, RunContext, share_account
from promomsg.engine.prepare.default_pace import ask_quota, pace_of, set_default_pace
from promomsg.engine.prepare.resume_checks import check_account, read_back
from promomsg.engine.recipient_tokens import RecipientTokens
from promomsg.engine.report import campaign_state
from promomsg.engine.run import Run
from promomsg.engine.schedule.first_watch import progress_of_handle
from promomsg.engine.schedule.schedule import Schedule
from promomsg.engine.schedule.waiting import schedule_of, waiting_of
from promomsg.errors import UsageError
from promomsg.journal.contract import Handle, Journal
from promomsg.journal.records import Control, ControlRow, Counts, GroupRow
from promomsg.shielded import run_shielded
from promomsg.states import GroupState
from promomsg.telemetry.in_force import given_hooks

__all__ = ["Part", "PartDone", "do_part", "pace_of", "standing_of"]


_LONGEST_END: Final = 300.0
"""Seconds that retries may take once nobody new is tried. A provider may hold all calls for longer."""
_LOOK_AGAIN: Final = 1.0
"""Seconds between looks whether an outage is over, and a part is to end."""


class PartDone(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a part.

    Attributes:
        state: where the campaign stands: `done`, `cancelled`, `halted`, `paused`, `waiting` (for the next
            China-time day), `following` (only group sends are not complete), or `sending`.
        calls: sends that were called, single and group ones.
        work_left: somebody has still to be sent to; perhaps others hold them just now.
        next_poll_at: Unix seconds of the next look at a group send; None: none is to come.
        parked_until: Unix seconds before which nobody sends; None: nobody waits.
        ran_out_of_time: it ended since its time was over, perhaps with people left whom it could have taken.
        halted: why it stands still until somebody resumes it (`"45009: …"`); None: it does not.
    """

    state: str
    calls: int = 0
    work_left: bool = False
    next_poll_at: float | None = None
    parked_until: float | None = None
    ran_out_of_time: bool = False
    halted: str | None = None


async def do_part(
    journal: Journal,
    channel: Channel,
    part: Part,
    *,
    concurrency: int | None = None,
    stop: anyio.Event | None = None,
    enough: Callable[[], bool] | None = None,
    tokens: RecipientTokens | None = None,
    clock: Clock = SYSTEM_CLOCK,
    now: Callable[[], float | None] | None = None,
    rng: Random | None = None,
) -> PartDone:
    """Does a part of a campaign whose plan is complete, until it has nothing to take.

    Who was not sent to becomes `cancelled` when that is asked for, or once `finish_by` has come. A campaign
    that is paused, halted or waits for the next day is not sent; one that is paused or waits is polled.

    Args:
        journal: the campaign's; several processes may do parts of it at once, where it lets them.
        channel: the account that it was planned for. Without a pace of its own it gets the campaign's.
        concurrency: calls in flight at once; None: as planned.
        stop: once set, nothing new goes out; calls in flight finish.
        enough: asked again and again once `part.seconds` are over: whether it is to end now. None: it is.
        tokens: the user tokens, for a channel that needs them; closed by the caller. None: those that
            the journal keeps.
        now: the wall clock that the campaign's hours and days go by, where it is not `clock`; it says None
            when it does not know.

    Raises:
        JournalError: it is another account's, its plan is not complete, or it failed in the middle.
        UsageError: the channel needs user tokens and there are none, or it cannot be used.
    """
    check_channel(channel, "do_part(journal, channel, part)")
    share_account(journal, channel)
    handle = await journal.open(write=True)
    try:
        check_account(handle.record, channel)
        row, counts = await handle.control(), await handle.counts()
        wall = now or clock.time
        if not counts.pending or not _may_do(part, row, wall(), schedule_of(handle.record)):
            return await _found(handle, channel, wall)
        if part.singles and channel.needs_tokens and tokens is None:
            tokens = await _kept_tokens(handle)
        context = await _context(journal, handle, channel, concurrency, tokens)
        context.part, context.counts, context.now = part, counts, now
        _observe(context)
        # It spreads pauses, and guards nothing.
        run = Run(context, clock=clock, rng=rng or Random())  # noqa: S311
        run.control.heed(row)
        was_cut_short = await _drive(run, part.seconds, stop, enough, clock)
        if run.error is not None:
            raise run.error
        done = await _found(handle, channel, wall, calls=run.calls)
        return msgspec.structs.replace(done, ran_out_of_time=was_cut_short)
    finally:
        await run_shielded(handle.close)


async def _context(
    journal: Journal,
    handle: Handle,
    channel: Channel,
    concurrency: int | None,
    tokens: RecipientTokens | None,
) -> RunContext:
    """What a run needs of the campaign, with the channel set up for it."""
    compiled, settings = read_back(handle.record, channel, journal.address)
    if concurrency is not None:
        settings = msgspec.structs.replace(settings, concurrency=concurrency)
    await _set_pace(channel, handle)
    channel.expect(settings.wanted_connections)
    return RunContext(
        handle=handle,
        channel=channel,
        compiled=compiled,
        settings=settings,
        tokens=tokens,
        counts=Counts(),
        groups=[],
        journal=journal,
        rows=journal.rows_later(),
        address=journal.address,
    )


def _observe(context: RunContext) -> None:
    """Has the client's hooks told of this part."""
    hooks = given_hooks(None, context.channel)
    if hooks:
        # Loaded for a client with hooks.
        from promomsg.engine.observing.observed_start import ObservedStart

        record = context.handle.record
        carried = record.settings.get("carried", {})
        started = ObservedStart(hooks, context.channel, "part", record.name, carried)
        context.observers, context.observed_since = started.observers, started.began_at


async def _kept_tokens(handle: Handle) -> RecipientTokens:
    """The user tokens that the journal keeps. Raises UsageError: it keeps none."""
    tokens = await handle.recipient_tokens()
    if tokens is None:
        raise UsageError(
            "this channel's user tokens are not kept in the journal: whoever has its recipients "
            "sends it on (resume)"
        )
    return tokens


def _may_do(part: Part, row: ControlRow, now: float | None, schedule: Schedule | None) -> bool:
    """Whether anything of a part may be done in a campaign of which this is asked."""
    if row.halted is not None:
        return False
    if row.requested is Control.CANCEL or part.polls:
        return True
    if now is None:
        return False
    if schedule is not None and schedule.opening(now).is_over:
        return True  # who is left is cancelled, whether it is paused or waits for the day
    return row.requested is not Control.PAUSE and _parked_until(row, now) is None


def _parked_until(row: ControlRow, now: float) -> float | None:
    until = row.parked_until
    return until if until is not None and until > now else None


def standing_of(
    row: ControlRow, counts: Counts, groups: Sequence[GroupRow], waiting: str
) -> tuple[str, str]:
    """One word for where a campaign stands that others send, and why; see `PartDone.state`.

    Args:
        waiting: for what nobody may send now, as `Waiting.why`; empty: they may.
    """
    return campaign_state(
        counts,
        groups,
        control=row.requested,
        halted=row.halted,
        running=row.halted is None,
        waiting=waiting,
    )


async def _set_pace(channel: Channel, handle: Handle) -> None:
    """A channel without a pace of its own sends at the campaign's."""
    if channel.pacer.configured:
        return
    pace = pace_of(handle.record)
    if pace is not None:
        channel.pacer.configure(pace)
    if not channel.pacer.configured:
        set_default_pace(channel, await ask_quota(channel))


async def _drive(
    run: Run,
    seconds: float | None,
    stop: anyio.Event | None,
    enough: Callable[[], bool] | None,
    clock: Clock,
) -> bool:
    """Runs to the end, which comes sooner when the time is over, or when it is told to; whether its time
    was over."""
    is_over = False

    async def after(seconds: float) -> None:
        nonlocal is_over
        await clock.sleep(seconds)
        # What follows on an outage counts from its beginning: the next part would count anew.
        while run.is_troubled or (enough is not None and not enough()):
            await clock.sleep(_LOOK_AGAIN)
        is_over = True
        run.send_no_more()
        await clock.sleep(_LONGEST_END)
        run.stop()

    async def when_told(stop: anyio.Event) -> None:
        await stop.wait()
        run.stop()

    async with anyio.create_task_group() as driving:
        driving.start_soon(run.drive)
        try:
            async with anyio.create_task_group() as watching:
                if seconds is not None:
                    watching.start_soon(after, seconds)
                if stop is not None:
                    watching.start_soon(when_told, stop)
                await run.ended.wait()
                watching.cancel_scope.cancel()
        finally:
            run.stop()
    return is_over


async def _found(
    handle: Handle, channel: Channel, wall: Callable[[], float | None], calls: int = 0
) -> PartDone:
    """Where the campaign stands after a part of it."""
    row, counts = await handle.control(), await handle.counts()
    groups = await handle.groups() if counts.pending and has_groups(channel) else []
    followed = [g for g in groups if g.state is GroupState.ACCEPTED]
    now = wall() or 0.0
    first = await progress_of_handle(handle, row.first_few, now)
    waiting = waiting_of(handle.record, row.parked_until, now, first)
    state, _ = standing_of(row, counts, groups, waiting.why)
    # Who gave a group up had to end; a part polls it on.
    moments = [g.next_poll_at for g in followed if g.next_poll_at is not None]
    return PartDone(
        state=state,
        calls=calls,
        work_left=counts.pending > sum(g.planned for g in followed),
        next_poll_at=min(moments, default=None),
        parked_until=_parked_until(row, now),
        halted=row.halted if counts.pending else None,
    )
