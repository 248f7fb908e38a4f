"""What a worker can do for a campaign. Each may be begun at any time, by anybody, more than once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, NamedTuple

import anyio

from promomsg.channels.base import Channel
from promomsg.clock import SYSTEM_CLOCK, china_day
from promomsg.engine.joining import Part, PartDone, do_part
from promomsg.errors import JournalError
from promomsg.fleet.asked_clock import AskedClock
from promomsg.fleet.jobs import SHIFT
from promomsg.fleet.later_looks import CLICKS, RECONCILE, look
from promomsg.fleet.task_context import TaskContext
from promomsg.journal.records import Control
from promomsg.plural import counted

__all__ = ["TASKS", "Task"]

_SHIFT: Final = 60.0
"""Seconds of one shift; then it goes on, unless other work waits for it to end."""
_SHORT_SHIFT: Final = 15.0
"""The same where other work waits already."""
_SOON: Final = 5.0
"""Seconds for which the next look at a group is waited for here, and not left to a later job."""


# Nobody of a chunk that nobody holds is intended. With the epoch that it had before the pending ones were
# cancelled nobody had it since then, so that none of it is pending again.
_FREE: Final = b"SELECT chunk_no, epoch FROM chunk WHERE campaign = %(campaign)s AND NOT done AND deadline IS NULL"
_CLOSE: Final = b"""
UPDATE chunk AS c SET done = true
FROM unnest(%(chunks)s::integer[], %(epochs)s::integer[]) AS free (chunk_no, epoch)
WHERE c.campaign = %(campaign)s AND c.chunk_no = free.chunk_no AND c.epoch = free.epoch
  AND NOT c.done AND c.deadline IS NULL
RETURNING c.chunk_no
"""


_ASK_AGAIN: Final = 30.0
"""Seconds after which the server is asked for the time again: a shift may last for hours, and the server's
clock be set, or another server take its place."""
_ANSWERED_IN: Final = 2.0
"""Seconds after which its answer says less of the time than what is counted on."""
_SERVER_TIME: Final = b"SELECT extract(epoch FROM clock_timestamp())::double precision"


class Task(NamedTuple):
    """Something a worker can do.

    Attributes:
        run: does it for one campaign.
        needs_account: it calls the provider.
    """

    run: Callable[[TaskContext], Awaitable[None]]
    needs_account: bool = True


async def _shift(context: TaskContext) -> None:
    """Sends until there is nothing to take, or, once the shift has had its time, until others wait."""
    channel = await context.channel(to_send=True)
    comes_back = False
    try:
        done = await _send(context, channel)
        # Who found nothing to take leaves the rest to others: they hold its pace, as long as they send.
        comes_back = done.ran_out_of_time and done.state == "sending"
    finally:
        context.not_sent_here(comes_back=comes_back)


async def _send(context: TaskContext, channel: Channel) -> PartDone:
    # Workers' clocks may differ, and the campaign's hours are the same for all of them.
    [(told,)] = await context.rows(_SERVER_TIME)
    server = AskedClock(SYSTEM_CLOCK, told)
    began = SYSTEM_CLOCK.monotonic()
    length = _SHORT_SHIFT if context.others_wait() else _SHIFT

    async def send() -> PartDone:
        return await do_part(
            context.journal,
            channel,
            Part(singles=True, groups=True, seconds=length),
            concurrency=context.concurrency,
            stop=context.stop,
            enough=context.others_wait,
            now=server.time,
        )

    done = await _while_asked_again(context, server, send)
    if done.calls or done.halted:
        seconds = SYSTEM_CLOCK.monotonic() - began
        context.log(
            f"{counted(done.calls, 'call')} in {seconds:.1f} s; {done.halted or done.state}"
        )
    return done


async def _while_asked_again(
    context: TaskContext, server: AskedClock, send: Callable[[], Awaitable[PartDone]]
) -> PartDone:
    """Sends while the server is asked for the time again and again. What sending raises is raised."""

    async def ask() -> None:
        while await context.wait(_ASK_AGAIN):
            began = SYSTEM_CLOCK.monotonic()
            try:
                [(told,)] = await context.rows(_SERVER_TIME)
            except JournalError:
                continue  # who sends finds that out too
            if SYSTEM_CLOCK.monotonic() - began <= _ANSWERED_IN:
                server.tell(told)

    async with anyio.create_task_group() as asking:
        asking.start_soon(ask)
        try:
            done: PartDone | Exception = await send()
        except Exception as error:  # noqa: BLE001 - raised below, outside of the group
            done = error
        asking.cancel_scope.cancel()
    if isinstance(done, Exception):
        raise done
    return done


async def _poll(context: TaskContext) -> None:
    """Looks at the group sends that are due, and at those that are in a few seconds."""
    channel = await context.channel()
    clock = SYSTEM_CLOCK
    end = clock.monotonic() + _SHIFT
    while True:
        done = await do_part(context.journal, channel, Part(polls=True), stop=context.stop)
        if done.next_poll_at is None or done.halted or clock.monotonic() > end:
            return
        pause = max(done.next_poll_at - clock.time(), 0.1)
        if pause > _SOON or not await context.wait(pause):
            return


async def _finish(context: TaskContext) -> None:
    """Cancels who was not sent to, as the user asked; who was out when a sender died is unknown."""
    now = SYSTEM_CLOCK.time()
    handle = await context.journal.open(write=True)
    try:
        if (await handle.control()).requested is not Control.CANCEL:
            return  # the job came late: it was taken back, by a retry
        await handle.recover(idempotent=False, at=now, day=china_day(now), recent=0)
        free = await context.rows(_FREE)
        cancelled = await handle.cancel_pending(now)
    finally:
        await handle.close()
    # Groups that are followed may keep the campaign open for days: it is not looked into again for these.
    chunks, epochs = ([row[column] for row in free] for column in (0, 1))
    await context.rows(_CLOSE, chunks=chunks, epochs=epochs)
    context.log(f"{cancelled:,} cancelled")


TASKS: Final[dict[str, Task]] = {
    SHIFT: Task(_shift),
    "poll": Task(_poll),
    "finish": Task(_finish, needs_account=False),
    CLICKS: Task(partial(look, kind=CLICKS)),
    RECONCILE: Task(partial(look, kind=RECONCILE)),
}
"""By name. A worker that does not know a task is given no job of it."""
