"""Rules of the circuit breaker that hold whatever a provider answers, in whatever order."""

from __future__ import annotations

from random import Random

from clocks import FakeClock
from hypothesis import given
from hypothesis import strategies as st

from promomsg import RetryPolicy
from promomsg.engine.sending.brakes.circuit_breaker import CircuitBreaker
from promomsg.journal.records import Outage

POLICY = RetryPolicy()
CONCURRENCY = st.integers(1, 80)


def make(concurrency: int, outage: Outage | None = None, **changes: bool) -> CircuitBreaker:
    given = {"reads": True, "idempotent": False, **changes}
    return CircuitBreaker(
        POLICY, FakeClock(), Random(1), concurrency=concurrency, outage=outage, **given
    )


@given(CONCURRENCY, st.lists(st.booleans(), max_size=300))
def test_it_is_open_exactly_after_three_failures_in_a_row_and_until_an_answer(
    concurrency: int, answers: list[bool]
) -> None:
    made = make(concurrency)
    failures = 0
    for number, readable in enumerate(answers):
        if readable:
            made.record_success(number)
            failures = 0
        else:
            made.record_failure(number, in_doubt=1)
            failures += 1
        assert made.is_open is (failures >= 3)
        assert (made.outage is not None) is made.is_open
        assert made.in_doubt == failures
        assert 1 <= made.limit <= concurrency
        assert made.limited is (made.limit < concurrency)


@given(CONCURRENCY, st.data())
def test_no_sequence_of_runs_puts_more_in_doubt_than_concurrency_and_eight(
    concurrency: int, data: st.DataObject
) -> None:
    """Reads come back as they like, sends never do; each run ends as its breaker says."""
    outage: Outage | None = None
    for _ in range(data.draw(st.integers(1, 12))):
        made = make(concurrency, outage)
        while not made.is_open:
            for call in range(made.limit):
                made.record_failure(call, in_doubt=1)
        for _ in range(40):
            if not made.is_open or made.exhausted:
                break
            assert made.wait() <= POLICY.longest_pause
            probe = object()
            made.mark_probe(probe)
            if made.wants_read():
                made.record_read(data.draw(st.booleans()), probe)
            else:
                made.record_failure(probe, in_doubt=1)
            assert not made.probing
        else:
            raise AssertionError("it never gives up")
        outage = made.outage
        assert made.in_doubt <= concurrency + 8


@given(CONCURRENCY, st.lists(st.sampled_from(["read", "send", "poll", "late", "back"])))
def test_whatever_happens_there_is_always_something_that_may_be_done(
    concurrency: int, steps: list[str]
) -> None:
    made = make(concurrency)
    for step in steps:
        probe = object()
        if made.is_open and step in ("read", "send"):
            made.mark_probe(probe)
        if step == "read":
            made.record_read(False, probe)
        elif step == "poll":
            made.record_read(True)
        elif step == "back":
            made.record_success(probe)
        else:
            made.record_failure(probe, in_doubt=1)
        assert made.limit >= 1
        assert made.probes <= POLICY.attempts or made.exhausted
        if made.spent:
            assert made.exhausted
