"""What the first few of a campaign mean for the others, whatever they come to and whenever it is asked."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from promomsg.engine.schedule.first_few import (
    FIRST_ASK,
    FIRST_STOPPED,
    FirstDecision,
    FirstPhase,
    decide_first,
    with_first_few,
)
from promomsg.engine.schedule.first_options import FirstOptions, first_count
from promomsg.engine.schedule.schedule import Opening
from promomsg.journal.records import Counts

NUMBERS = st.integers(0, 40)
TIMES = st.floats(0, 4e9, allow_nan=False)
COUNTS = st.builds(
    lambda sent, failed, unknown, skipped, cancelled, pending: Counts(
        planned=sent + failed + unknown + skipped + cancelled + pending,
        sent=sent,
        failed=failed,
        unknown=unknown,
        skipped=skipped,
        cancelled=cancelled,
        pending=pending,
    ),
    *[NUMBERS] * 6,
)
OPTIONS = st.builds(
    lambda stop_above, wait, ask: FirstOptions(first=20, stop_above=stop_above, wait=wait, ask=ask),
    st.floats(0, 0.99),
    st.floats(0, 90_000),
    st.booleans(),
)


def decide(
    counts: Counts,
    options: FirstOptions,
    now: float,
    answered_at: float | None = None,
    *,
    tried_again: bool = False,
) -> FirstDecision:
    return decide_first(
        counts, answered_at=answered_at, now=now, options=options, tried_again=tried_again
    )


@given(COUNTS, OPTIONS, TIMES, st.none() | TIMES, st.booleans())
def test_the_others_are_open_only_once_all_are_answered_few_enough_failed_and_the_wait_is_over(
    counts: Counts, options: FirstOptions, now: float, answered_at: float | None, again: bool
) -> None:
    found = decide(counts, options, now, answered_at, tried_again=again)
    counted = counts.sent + counts.failed + counts.unknown + counts.pending
    bad = counts.failed + counts.unknown
    if found.others_are_open:
        assert not counts.pending
        assert not options.ask
        assert counted, "nobody tried it"
        assert bad <= options.stop_above * counted
        assert found.answered_at is not None
        assert now >= found.answered_at + options.wait
    if not counts.pending and bad > options.stop_above * counted:
        assert found.phase is FirstPhase.STOPPED
    assert (found.phase is FirstPhase.WAITING) is (found.until is not None)
    codes = {FirstPhase.STOPPED: FIRST_STOPPED, FirstPhase.ASKING: FIRST_ASK}
    assert found.code == codes.get(found.phase, "")
    assert bool(found.text) is bool(found.code)


@given(COUNTS, OPTIONS, TIMES, st.lists(st.floats(0, 100_000), min_size=1, max_size=8))
def test_a_wait_is_over_at_one_moment_however_often_it_is_asked_or_begun_anew(
    counts: Counts, options: FirstOptions, first_look: float, looks: list[float]
) -> None:
    """Each look has only what was kept of the one before, as a process has that was started again."""
    counts.pending = 0
    kept = decide(counts, options, first_look).answered_at
    for later in sorted(looks):
        found = decide(counts, options, first_look + later, kept)
        assert found.answered_at == kept == first_look
        if found.phase is not FirstPhase.STOPPED:
            waits = first_look + later < first_look + options.wait
            assert (found.phase is FirstPhase.WAITING) is waits
        kept = found.answered_at


@given(COUNTS, OPTIONS, TIMES, TIMES)
def test_nobody_waits_longer_than_the_wait_after_the_clock_was_set_back(
    counts: Counts, options: FirstOptions, now: float, answered_at: float
) -> None:
    counts.pending = 0
    until = decide(counts, options, now, answered_at).until
    assert until is None or until <= now + options.wait


@given(COUNTS, OPTIONS, TIMES, st.none() | TIMES)
def test_what_was_decided_for_the_others_stays(
    counts: Counts, options: FirstOptions, now: float, answered_at: float | None
) -> None:
    found = decide_first(counts, answered_at=answered_at, now=now, options=options, passed=True)
    assert found.others_are_open


@given(COUNTS, OPTIONS, TIMES)
def test_too_many_stop_it_before_the_last_is_answered_but_not_when_some_are_tried_again(
    counts: Counts, options: FirstOptions, now: float
) -> None:
    counts.pending += 1
    counted = counts.sent + counts.failed + counts.unknown + counts.pending
    too_many = counts.failed + counts.unknown > options.stop_above * counted
    stopped = FirstPhase.STOPPED if too_many else FirstPhase.SENDING
    assert decide(counts, options, now).phase is stopped
    assert decide(counts, options, now, tried_again=True).phase is FirstPhase.SENDING


@given(st.integers(1, 10_000), st.integers(1, 9_999), st.integers(0, 100_000))
def test_the_first_few_are_at_least_one_and_at_most_all_and_a_share_is_rounded_up(
    number: int, hundredths: int, recipients: int
) -> None:
    assert first_count(number, recipients) == min(number, recipients)
    found = first_count(f"{hundredths / 100}%", recipients)
    assert found == 0 if recipients == 0 else 1 <= found <= recipients
    assert 0 <= found - Fraction(hundredths * recipients, 10_000) < 1 or found in (0, 1)


HOURS = st.builds(
    lambda cohorts, until: Opening(cohorts=cohorts, until=until, next_at=until),
    st.none() | st.lists(st.integers(0, 3), unique=True).map(lambda found: tuple(sorted(found))),
    TIMES,
)


@given(COUNTS, OPTIONS, TIMES, st.none() | TIMES, HOURS, st.sets(st.integers(0, 3)), st.booleans())
def test_nobody_is_sent_to_outside_of_their_hours_or_before_the_others_are_open(
    counts: Counts,
    options: FirstOptions,
    now: float,
    answered_at: float | None,
    hours: Opening,
    first: set[int],
    passed: bool,
) -> None:
    decision = decide_first(
        counts, answered_at=answered_at, now=now, options=options, passed=passed
    )
    found = with_first_few(hours, decision, first=first, cohorts=4, zone="Asia/Shanghai")
    may = set(range(4)) if found.cohorts is None else set(found.cohorts)
    by_hours = set(range(4)) if hours.cohorts is None else set(hours.cohorts)
    assert may <= by_hours
    if decision.others_are_open:
        assert found == hours
    elif decision.phase is FirstPhase.SENDING:
        assert may == by_hours & first
    else:
        assert not may
    assert found.until <= hours.until
    if not may and by_hours:
        assert found.why
    if decision.until is not None and not hours.is_closed:
        assert found.next_at == decision.until
