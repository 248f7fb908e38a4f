"""However an account's senders share its quota, no window is over, and it is used."""

from __future__ import annotations

import random
from bisect import insort
from collections import defaultdict

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promomsg.transport.quota.bunches import answer
from promomsg.transport.quota.quota_state import Bunch, BunchReport, BunchRequest, QuotaState
from promomsg.transport.rate_limit import GUARD

DAY = "2026-11-26"


def quota(calls: int, seconds: float = 1.0) -> tuple[tuple[int, float], ...]:
    return ((calls, seconds + GUARD),)


def worst(arrivals: list[float], window: float) -> int:
    """The most arrivals in any half-open window of that length."""
    times, first, most = sorted(arrivals), 0, 0
    for last, at in enumerate(times):
        while times[first] <= at - window:
            first += 1
        most = max(most, last + 1 - first)
    return most


class Sending:
    """One sender as plainly as can be: its calls go somewhere in the time of their bunch, some never.

    Its own gate, which knows when each of its calls went, is the last check.
    """

    def __init__(self, name: str, quotas: tuple[tuple[int, float], ...], seed: int) -> None:
        self.name, self.quotas = name, quotas
        self.rng = random.Random(seed)
        self.bunches: list[Bunch] = []
        self.went: dict[int, list[float]] = defaultdict(list)
        self.calls: list[float] = []
        self.number = 0
        self.heard_at = 0.0

    def ask(
        self, state: QuotaState, now: float, most: int, lose: float = 0.0, late: float = 1.0
    ) -> None:
        """Tells what is over, asks for calls unless it has some, and decides when they go."""
        if self.ahead > now + 1.0:
            most = 0
        over = [bunch for bunch in self.bunches if self.is_over(bunch, now)]
        self.bunches = [bunch for bunch in self.bunches if bunch not in over]
        reports = [
            BunchReport(
                bunch.number,
                len(self.went[bunch.number]),
                max(self.went[bunch.number], default=0.0),
            )
            for bunch in over
        ]
        grant = answer(
            state,
            BunchRequest(
                sender=self.name,
                quotas=self.quotas,
                day=DAY,
                most=most,
                wants=2 * most,
                number=self.number,
                reports=reports,
            ),
            now,
        )
        for bunch in grant.bunches:
            self.number = bunch.number + 1
            self.bunches.append(bunch)
            for _ in range(bunch.calls):
                at = bunch.at + self.rng.random() * min(late, bunch.until - bunch.at)
                for calls, span in self.quotas:
                    if len(self.calls) >= calls:
                        at = max(at, self.calls[-calls] + span)
                if self.rng.random() >= lose and at <= bunch.until:
                    insort(self.calls, at)
                    self.went[bunch.number].append(at)

    def is_over(self, bunch: Bunch, now: float) -> bool:
        """Whether all of it went, or nothing of it may go any more."""
        went = self.went[bunch.number]
        return bunch.until < now or (len(went) == bunch.calls and max(went) <= now)

    @property
    def ahead(self) -> float:
        return max((bunch.at for bunch in self.bunches), default=0.0)


QUOTAS = st.one_of(
    st.integers(1, 60).map(quota),
    st.tuples(st.integers(1, 20), st.integers(10, 200)).map(
        lambda both: (*quota(both[0]), *quota(both[1], 60.0))
    ),
    st.just(quota(2, 0.8)),
)


@settings(max_examples=150, deadline=None)
@given(
    quotas=QUOTAS,
    senders=st.integers(1, 4),
    lose=st.sampled_from([0.0, 0.1, 0.6]),
    late=st.sampled_from([0.002, 1.0]),
    seed=st.integers(0, 1_000_000),
    steps=st.lists(
        st.tuples(st.floats(0, 0.4), st.integers(0, 3), st.integers(1, 40)),
        min_size=10,
        max_size=120,
    ),
)
def test_no_window_is_ever_over_whoever_sends(
    quotas: tuple[tuple[int, float], ...],
    senders: int,
    lose: float,
    late: float,
    seed: int,
    steps: list[tuple[float, int, int]],
) -> None:
    """Arrivals are up to a guard later than the calls; bunches are lost, late, of any size."""
    state, now = QuotaState(), 1000.0
    rng = random.Random(seed)
    sending = [Sending(str(n), quotas, seed + n) for n in range(senders)]
    for pause, who, most in steps:
        now += pause
        sender = sending[who % senders]
        sender.ask(state, now, most, lose, late)
        state = msgspec.json.decode(msgspec.json.encode(state), type=QuotaState)
    calls = [at for sender in sending for at in sender.calls]
    arrivals = [at + rng.random() * GUARD * 0.99 for at in calls]
    for most, span in quotas:
        assert worst(arrivals, span - GUARD) <= most


@settings(max_examples=60, deadline=None)
@given(
    limits=st.lists(st.integers(1, 60), min_size=2, max_size=4),
    seed=st.integers(0, 1_000_000),
    shares=st.lists(st.one_of(st.none(), st.floats(1 / 64, 0.99)), min_size=100, max_size=100),
)
def test_of_different_limits_the_lowest_holds_through_every_change_of_the_pace(
    limits: list[int], seed: int, shares: list[float | None]
) -> None:
    state, now = QuotaState(), 1000.0
    rng = random.Random(seed)
    sending = [Sending(str(n), quota(limit), seed + n) for n, limit in enumerate(limits)]
    for sender in sending:
        sender.ask(state, now, 0)
    for share in shares:
        now += rng.random() * 0.3
        if share is not None:
            tells = BunchRequest(
                sender="9", quotas=quota(1000), day=DAY, share=share, recovers_from=now, leaves=True
            )
            answer(state, tells, now)
        for sender in sending:
            sender.ask(state, now, rng.randint(1, 64), 0.1)
    arrivals = [at + rng.random() * GUARD * 0.99 for sender in sending for at in sender.calls]
    assert worst(arrivals, 1.0) <= min(limits)


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 7, 10, 20, 50, 99, 500, 2000])
@pytest.mark.parametrize(("senders", "used"), [(1, 0.96), (2, 0.94), (4, 0.92), (8, 0.90)])
def test_there_is_work_so_the_quota_is_used(limit: int, senders: int, used: float) -> None:
    state, start = QuotaState(), 1000.0
    sending = [Sending(str(n), quota(limit), n) for n in range(senders)]
    now, seconds = start, max(12.0, 60.0 / limit)
    while now < start + seconds:
        for sender in sending:
            # As the engine does: the next ones are asked for when the last bunch's time has come.
            # It looks at the row now and then while it waits.
            if sender.ahead <= now or now > sender.heard_at + 0.7:
                sender.heard_at = now
                sender.ask(state, now, 64 if sender.ahead <= now else 0, late=0.004)
        now += 0.004
    calls = [at for sender in sending for at in sender.calls if at < start + seconds]
    assert worst(calls, 1.0) <= limit
    # While they begin, all at once, nobody knows yet when the others' calls went.
    later = [at for at in calls if at >= start + 2.0]
    assert len(later) >= used * limit * (seconds - 2.0) - 1


@pytest.mark.parametrize(("limit", "sizes"), [(50, [12, 13]), (20, [5]), (5, [1, 2]), (2, [1])])
def test_a_quarter_of_the_quota_goes_together(limit: int, sizes: list[int]) -> None:
    state, now = QuotaState(), 1000.0
    found: list[Bunch] = []
    while len(found) < 16:
        request = BunchRequest(sender="a", quotas=quota(limit), day=DAY, most=64, number=len(found))
        found += answer(state, request, now).bunches
        now = found[-1].at
    assert sorted({bunch.calls for bunch in found}) == sizes
    assert sum(bunch.calls for bunch in found if bunch.at < 1000.0 + 1.03) <= limit
