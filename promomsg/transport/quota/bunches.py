"""How the calls of an account are shared out among its senders: plain functions over one row.

The row of one kind of call (single sends, or group sends) lists the calls that were given out lately,
in bunches. A bunch may go from its time on and until 20 ms after it (250 ms for a sender that is alone);
when it went is told with the sender's next request, and what did not go others have. The next bunch goes as
soon as every quota has room for all of it in the window that ends then:

    50 a second: 12 at 0.00 s   13 at 0.25 s   12 at 0.50 s   13 at 0.76 s   12 at 1.03 s …

A bunch is what may go within a quarter of a second, and the sizes alternate since calls are whole:
with 12 of 50 each time, either 8% of the quota would be lost, or a fifth bunch would come into the
window (60 of 50). Since every bunch is compared with the list, and not only spaced, no window is
over, whatever sizes, senders, quotas and lowered paces follow each other:

    take the bunch of a window that was given out last. When it was, everything in the list from a
    window before its time on was within the quota with it; whatever of the window's calls were given
    out before it went no earlier than that, because each is in the list by the last moment at which
    it may have gone.

A sender's own calls may be in the list by their first moment while it is alone: then the window of its
own gate, which knows when each of them went, holds by itself.
"""

from __future__ import annotations

import math
from typing import Final

from promomsg.transport.quota.process_limiter import DayCounts
from promomsg.transport.quota.quota_state import Bunch, BunchRequest, Grant, QuotaState, Sender
from promomsg.transport.rate_limit import GUARD, RECOVERY

__all__ = ["ALIVE", "answer"]

BUNCH: Final = 0.25 * (1 + GUARD)
"""Seconds whose calls go together: a quarter of the window of a per-second quota, guard included, so
that four bunches fill it."""
LATE: Final = 0.020
"""Seconds after its time within which a bunch may go."""
LATE_OF_TWO: Final = 0.100
"""The same for two senders, when four bunches or more fill a window: a bunch that leaves the window has
been reported by then. Of more senders each waits for longer than a window, so that what is given out
goes after bunches that nobody has reported yet."""
LATE_ALONE: Final = 0.250
"""The same for a sender that is alone."""
AHEAD: Final = 0.6
"""Seconds ahead for which calls are given out: two bunches of a quarter of a second, since the next
ones are asked for when the last is handed on."""
ALIVE: Final = 5.0
"""Seconds after its last request for which a sender counts: with its limits, and with the calls that
it was given for later."""
_SLACK: Final = 0.050
"""Seconds by which a request may come late and the pace still be made up for."""
_MERGED_AFTER: Final = 2.0
"""Seconds after which what went within a second is one entry of the list."""


def answer(state: QuotaState, request: BunchRequest, now: float) -> Grant:
    """Brings the row up to date, and gives out what may go; changes `state` in place."""
    _hear(state, request, now)
    _forget(state, request, now)
    quotas = sorted({quota for one in state.senders.values() for quota in one.quotas})
    quotas = quotas or sorted(request.quotas)
    alone = state.senders.keys() <= {request.sender} and all(
        bunch.sender == request.sender for bunch in state.bunches
    )
    limits = [s.day_limit for s in state.senders.values() if s.day_limit is not None]
    day_limit = min(limits, default=None)
    left = None if day_limit is None else DayCounts(state.days).left(request.day, day_limit)
    given = _given_unheard(state, request)
    if request.most and not given and quotas and now >= state.hold_until:
        given = _give(state, request, now, quotas, alone, left)
        left = None if left is None else left - sum(bunch.calls for bunch in given)
    share = _share_in_force(state.share, state.recovers_from, now)
    if share is None:
        state.share = None
    return Grant(
        now=now,
        bunches=given,
        alone=alone,
        day_limit=day_limit,
        day_left=left,
        on_their_way=sum(
            bunch.calls
            for bunch in state.bunches
            if bunch.day == request.day
            and not bunch.reported
            and bunch.sender != request.sender
            and bunch.sender in state.senders
        ),
        hold_until=state.hold_until,
        share=state.share,
        recovers_from=state.recovers_from,
    )


def _given_unheard(state: QuotaState, request: BunchRequest) -> list[Bunch]:
    """What a sender was given by an answer that was lost."""
    return [
        bunch
        for bunch in state.bunches
        if bunch.sender == request.sender and bunch.number >= request.number and not bunch.reported
    ]


def _hear(state: QuotaState, request: BunchRequest, now: float) -> None:
    """Takes down what a sender tells: that it is there, what went, and how it was refused."""
    reports = {report.number: report for report in request.reports}
    for bunch in state.bunches:
        report = reports.get(bunch.number)
        if report is None or bunch.sender != request.sender or bunch.reported:
            continue
        _give_back(state, bunch, bunch.calls - report.calls)
        bunch.calls = report.calls
        bunch.at = bunch.until = report.last
        bunch.reported = True
    if request.leaves:
        state.senders.pop(request.sender, None)
    else:
        state.senders[request.sender] = Sender(request.quotas, request.day_limit, now + ALIVE)
    DayCounts(state.days).at_least(request.day, request.called_today)
    state.hold_until = max(state.hold_until, request.hold_until)
    theirs = _share_in_force(request.share, request.recovers_from, now)
    ours = _share_in_force(state.share, state.recovers_from, now)
    if theirs is not None and (ours is None or theirs < ours):
        state.share, state.recovers_from = request.share, request.recovers_from


def _forget(state: QuotaState, request: BunchRequest, now: float) -> None:
    """Drops senders that are gone, what they were given for later, and what no window reaches."""
    for name in [n for n, sender in state.senders.items() if sender.alive_until < now]:
        del state.senders[name]
    longest = max(
        (span for one in state.senders.values() for _, span in one.quotas), default=state.reach
    )
    if longest > state.reach and state.latest is not None:
        # What went before is no longer in the list.
        state.not_before = max(state.not_before, state.latest + longest)
    state.reach = longest
    kept: list[Bunch] = []
    for bunch in state.bunches:
        if bunch.at > now and bunch.sender != request.sender and bunch.sender not in state.senders:
            _give_back(state, bunch, bunch.calls)
            continue
        if not bunch.calls or bunch.until + longest < now:
            continue
        last = kept[-1] if kept else None
        old = bunch.until < now - _MERGED_AFTER
        if old and last is not None and _merge(last, bunch):
            continue
        kept.append(bunch)
    state.bunches = kept


def _merge(last: Bunch, bunch: Bunch) -> bool:
    """Makes two old entries one, by their later time, when they went within a second."""
    if not (last.reported and bunch.reported and abs(bunch.until - last.at) < 1.0):
        return False
    last.until = max(last.until, bunch.until)
    last.calls += bunch.calls
    if last.sender != bunch.sender:
        last.sender = ""
    return True


def _give_back(state: QuotaState, bunch: Bunch, calls: int) -> None:
    """So many calls of a bunch did not go: the day and the pace have them again."""
    if calls > 0:
        DayCounts(state.days).add(bunch.day, -calls)
        state.due -= calls / _rate(state) if state.senders else 0.0


def _rate(state: QuotaState) -> float:
    return min(
        (calls / span for one in state.senders.values() for calls, span in one.quotas),
        default=math.inf,
    )


def _share_in_force(share: float | None, since: float, now: float) -> float | None:
    """The share of the full pace by now; None: all of it."""
    if share is None:
        return None
    share += max(0.0, now - since) * RECOVERY
    return share if share < 1.0 else None


def _give(
    state: QuotaState,
    request: BunchRequest,
    now: float,
    quotas: list[tuple[int, float]],
    alone: bool,
    left: int | None,
) -> list[Bunch]:
    """The next bunches for a sender: one at the least, however far ahead, when the day has any."""
    share = _share_in_force(state.share, state.recovers_from, now)
    rate = min(calls / span for calls, span in quotas) * (share or 1.0)
    slack = 0.0 if share is not None else _SLACK
    fewest = min(calls for calls, _ in quotas)
    wanted = max(request.most, request.wants) if alone else request.most
    if left is not None:
        # Nobody takes calls of the day that others may need.
        wanted = min(request.most, left)
    if not wanted:
        return []
    # After a throttle they go one by one: of a whole bunch the first refusal would come too late
    # for the others.
    size = 1.0 if share is not None else _size(quotas, rate, wanted)
    late = LATE_ALONE if alone else LATE
    if not alone and len(state.senders) <= 2 and fewest >= 4 * size:
        late = LATE_OF_TWO
    given: list[Bunch] = []
    while wanted > 0:
        whole = max(1, int(size + state.carry + 1e-9))
        if given and wanted < whole:
            break  # the rest comes with what follows
        count = min(whole, wanted, fewest)
        due = max(state.due, now - slack)
        earliest = max(now, due, state.not_before)
        if state.bunches and not alone:
            earliest = max(earliest, state.bunches[-1].at)
        at = max(earliest, _has_room(state, quotas, count, alone))
        # When a quarter of it has room earlier, what has goes then.
        quarter = -(-count // 4)
        sooner = max(earliest, _has_room(state, quotas, quarter, alone))
        if sooner < at - LATE:
            # At least that, also where the sum of two times was rounded.
            room = max(quarter, _room_at(state, quotas, sooner, alone))
            count, at = min(count, room), sooner
        if given and at > now + AHEAD:
            break
        if count == whole:
            state.carry = (state.carry + size) % 1
        state.due = max(due, at - slack) + count / rate
        until = at + late + request.spread
        bunch = Bunch(request.sender, request.number + len(given), at, until, count, request.day)
        given.append(bunch)
        state.bunches.append(bunch)
        state.latest = max(state.latest or 0.0, until)
        DayCounts(state.days).add(request.day, count)
        wanted -= count
    return given


def _size(quotas: list[tuple[int, float]], rate: float, wanted: int) -> float:
    """Calls of a bunch, so that whole bunches fill the shortest window: what may go within a quarter
    of a second, and no more than are wanted."""
    window = rate * min(span for _, span in quotas)
    most = min(max(1.0, rate * BUNCH), wanted)
    return window / max(1, math.ceil(window / most - 1e-6))


def _times(state: QuotaState, alone: bool) -> list[float]:
    """Until when each bunch, and whatever was given out before it, may have gone."""
    times: list[float] = []
    last = -math.inf
    for bunch in state.bunches:
        last = max(last, bunch.at if alone else bunch.until)
        times.append(last)
    return times


def _room_at(state: QuotaState, quotas: list[tuple[int, float]], at: float, alone: bool) -> int:
    """How many calls more may go at a moment."""
    times = _times(state, alone)
    room = math.inf
    for calls, span in quotas:
        reached = zip(times, state.bunches, strict=True)
        room = min(room, calls - sum(bunch.calls for last, bunch in reached if last > at - span))
    return int(room)


def _has_room(state: QuotaState, quotas: list[tuple[int, float]], count: int, alone: bool) -> float:
    """The first moment from which on no window of any quota is over with so many calls more."""
    times = _times(state, alone)
    opens = -math.inf
    for calls, span in quotas:
        room = calls - count
        for last, bunch in zip(reversed(times), reversed(state.bunches), strict=True):
            room -= bunch.calls
            if room < 0:
                opens = max(opens, last + span)
                break
    return opens
