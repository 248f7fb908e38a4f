"""The circuit breaker alone: answers in, and what may go out next; no journal and no provider."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from clocks import FakeClock

from promomsg import RetryPolicy
from promomsg.engine.sending.brakes.circuit_breaker import CircuitBreaker
from promomsg.journal.records import Outage

POLICY = RetryPolicy()


class Middle(Random):
    """The jitter's mean, each time."""

    def random(self) -> float:
        return 0.5


def breaker(clock: FakeClock | None = None, **changes: Any) -> CircuitBreaker:
    given: dict[str, Any] = {"concurrency": 64, "reads": True, "idempotent": False, **changes}
    return CircuitBreaker(POLICY, clock or FakeClock(), Middle(), **given)


def opened(clock: FakeClock | None = None, **changes: Any) -> CircuitBreaker:
    made = breaker(clock, **changes)
    for call in range(3):
        made.record_failure(call, in_doubt=1)
    return made


def send(made: CircuitBreaker, *, good: bool, in_doubt: int = 1, group: bool = False) -> None:
    probe = object()
    made.mark_probe(probe)
    if good:
        made.record_success(probe)
    else:
        made.record_failure(probe, in_doubt=in_doubt, group=group)


def read(made: CircuitBreaker, *, good: bool) -> None:
    probe = object()
    made.mark_probe(probe)
    made.record_read(good, probe)


def test_three_in_a_row_open_it_and_two_with_an_answer_between_do_not() -> None:
    made = breaker()
    for _ in range(50):
        made.record_failure(0)
        made.record_failure(0)
        assert not made.is_open
        made.record_success()
    assert [made.record_failure(0) for _ in range(3)] == [False, False, True]
    assert made.is_open


def test_a_provider_whose_every_second_answer_is_unreadable_is_there() -> None:
    made = breaker()
    for number in range(2_000):
        if number % 2:
            made.record_success()
        else:
            made.record_failure(number, in_doubt=1)
        assert not made.is_open
    assert not made.limited


@pytest.mark.parametrize(("concurrency", "first"), [(1, 1), (3, 3), (4, 4), (64, 4), (1_000, 4)])
def test_a_run_begins_with_four_calls_at_once_until_the_first_readable_answer(
    concurrency: int, first: int
) -> None:
    made = breaker(concurrency=concurrency)
    assert made.limit == first
    made.record_failure(0)
    assert made.limit == first
    assert made.limited is (concurrency > first)
    made.record_success()
    assert not made.limited


def test_reads_are_the_probes_with_pauses_from_half_a_second_to_thirty() -> None:
    clock = FakeClock()
    made = opened(clock)
    pauses = []
    while not made.exhausted:
        pauses.append(made.wait())
        if not made.wants_read():
            break
        read(made, good=False)
    # The mean of each: the upper half of 0.5, 1, 2 … 30 seconds.
    assert pauses == [0.375, 0.75, 1.5, 3.0, 6.0, 12.0, 22.5, 22.5]
    assert made.probes == 7


def test_reads_that_never_work_do_not_keep_the_sends_for_ever() -> None:
    """They are advice: the last probe is a send, once an outage."""
    made = opened()
    for _ in range(7):
        assert made.wants_read()
        read(made, good=False)
    assert not made.wants_read()
    assert made.wants_read(group=True), "a group never goes out on a mere hope"
    send(made, good=True)
    assert not made.is_open

    made = opened()
    for _ in range(7):
        read(made, good=False)
    send(made, good=False)
    assert made.exhausted
    assert made.outage is not None
    again = breaker(outage=made.outage)
    for _ in range(8):
        assert again.wants_read()
        read(again, good=False)
    assert again.exhausted
    assert again.in_doubt == 4


def test_after_a_readable_read_one_send_may_go_and_eight_such_sends_exhaust_it() -> None:
    made = opened()
    for _ in range(8):
        assert not made.exhausted
        assert made.wants_read()
        read(made, good=True)
        assert not made.wants_read()
        send(made, good=False)
    assert made.exhausted
    assert made.in_doubt == 3 + 8


def test_where_there_are_no_reads_each_probe_is_a_send() -> None:
    made = opened(reads=False, idempotent=True)
    for _ in range(8):
        assert not made.wants_read()
        assert not made.exhausted
        send(made, good=False)
    assert made.exhausted


def test_a_readable_send_closes_it_and_the_pace_doubles_back_to_full() -> None:
    made = opened(concurrency=16)
    read(made, good=True)
    send(made, good=True)
    assert not made.is_open
    assert made.outage is None
    limits = [made.limit]
    while made.limited:
        made.record_success()
        limits.append(made.limit)
    assert limits == list(range(2, 17))


def test_an_answer_that_comes_late_closes_it_too_but_lets_nobody_out_at_once() -> None:
    made = opened()
    assert made.record_success("sent before it opened")
    assert not made.is_open
    assert made.limit == 2


def test_slow_answers_from_before_an_outage_let_no_more_people_into_it() -> None:
    """Sixteen calls are out when new ones begin to fail; their good answers come one by one."""
    made = breaker(concurrency=16)
    made.begun = 20
    for n in range(3):
        made.begun += 1
        made.record_failure(n, in_doubt=1)
    assert made.is_open
    for late in range(1, 20):
        made.record_success("left before the outage", late)
        while not made.is_open:
            made.begun += 1
            made.record_failure("tried once more", in_doubt=1)
    assert made.in_doubt <= 16 + 8
    assert made.exhausted


def test_an_answer_to_a_send_that_left_after_the_first_failure_ends_the_count() -> None:
    made = breaker(concurrency=16)
    made.begun = 5
    made.record_failure("lost", in_doubt=1)
    made.record_success("left before", 5)
    assert made.in_doubt == 1
    made.begun = 6
    made.record_success("left after", 6)
    assert made.in_doubt == 0


def test_failures_that_come_late_do_not_count_as_probes() -> None:
    made = opened()
    for late in range(61):
        made.record_failure(late, in_doubt=1)
    assert made.probes == 0
    assert made.in_doubt == 64
    assert not made.exhausted


def test_a_readable_poll_lets_a_send_be_tried_and_a_failed_one_says_nothing() -> None:
    made = opened()
    made.record_read(False)
    assert made.probes == 0
    assert made.wants_read()
    made.record_read(True)
    assert made.is_open
    assert not made.wants_read()
    made = breaker()
    made.record_failure(0)
    made.record_failure(0)
    made.record_read(True)
    assert made.record_failure(0), "a poll is no answer of a send"


def test_a_run_after_an_outage_that_did_not_end_reads_first_then_sends_one() -> None:
    made = breaker(outage=Outage(since=5.0, in_doubt=12))
    assert made.is_open
    assert made.wait() <= 0
    assert made.wants_read()
    read(made, good=True)
    assert not made.wants_read()
    send(made, good=False)
    assert made.exhausted
    assert made.outage == Outage(since=5.0, in_doubt=13)


@pytest.mark.parametrize("concurrency", [1, 2, 4, 16, 64])
def test_runs_one_after_the_other_never_put_more_in_doubt_than_an_outage_may_cost(
    concurrency: int,
) -> None:
    """Reads work and sends do not: the worst that can be, since every run looks hopeful."""
    made = breaker(concurrency=concurrency)
    for call in range(max(concurrency, 3)):
        made.record_failure(call, in_doubt=1)
    runs = 0
    while not made.spent:
        runs += 1
        while not made.exhausted:
            read(made, good=True)
            send(made, good=False)
        assert made.in_doubt <= concurrency + 8
        made = breaker(concurrency=concurrency, outage=made.outage)
    assert runs >= 2, "something is left for the run that finds out that it is over"
    assert made.exhausted
    again = breaker(concurrency=concurrency, outage=made.outage)
    assert again.exhausted, "and no later one tries anybody"


def test_one_lost_group_opens_it_and_the_next_needs_a_read() -> None:
    made = breaker()
    assert made.record_failure(0, in_doubt=1, group=True)
    assert made.is_open
    assert made.wants_read(group=True)
    read(made, good=True)
    send(made, good=True)
    assert not made.is_open


def test_a_group_that_was_not_sent_is_one_failure_of_three() -> None:
    made = breaker()
    assert not made.record_failure(0, group=True)


def test_a_group_that_is_lost_as_the_probe_is_enough_for_one_run() -> None:
    made = opened()
    read(made, good=True)
    send(made, good=False, group=True)
    assert made.exhausted


def test_a_group_that_was_not_sent_as_the_probe_costs_nothing() -> None:
    made = opened()
    read(made, good=True)
    send(made, good=False, in_doubt=0, group=True)
    assert not made.exhausted


def test_a_probe_that_was_not_made_after_all_leaves_the_turn_to_another() -> None:
    made = opened()
    made.mark_probe("one")
    assert made.probing
    made.drop_probe("another")
    assert made.is_probe("one")
    made.drop_probe("one")
    assert not made.probing
    assert made.probes == 0
