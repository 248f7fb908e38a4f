"""Following a group: when it is done, when to look again, and who was not reached."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promomsg.delivery import (
    EarlierFailures,
    PollPolicy,
    adds_up,
    is_complete,
    merge_failures,
    needs_failure_file,
    next_poll_in,
)
from promomsg.errors import UsageError
from promomsg.model import Delivery, Failure

POLICY = PollPolicy()
MEMBERS = frozenset(str(i) for i in range(100))


def delivery(**changes: object) -> Delivery:
    fields = {"percent": 100, "send_cnt": 100, "fail_cnt": 0, **changes}
    return Delivery("m1", **fields)  # type: ignore[arg-type]


def failures(*ids: str, code: str = "103010") -> tuple[Failure, ...]:
    return tuple(Failure(i, code) for i in ids)


@pytest.mark.parametrize(
    ("changes", "done"),
    [
        ({}, True),
        ({"percent": 99}, False),
        ({"percent": 0, "send_cnt": 100}, False),
        ({"percent": None}, True),
        ({"percent": None, "send_cnt": 99}, False),
        ({"percent": None, "fail_cnt": None}, False),
        ({"percent": None, "send_cnt": None}, False),
    ],
)
def test_done_at_100_or_without_a_percent_when_the_counts_say_so(
    changes: dict[str, object], done: bool
) -> None:
    assert is_complete(delivery(**changes), 100) is done


def test_everybody_not_named_is_reached_when_the_counts_add_up() -> None:
    merged = merge_failures(delivery(fail_cnt=2, failures=failures("1", "2")), (), 100, MEMBERS)
    assert merged.unnamed == 0
    assert merged.warnings == ()
    assert [f.id for f in merged.failures] == ["1", "2"]


def test_the_file_fills_up_what_the_answer_left_out() -> None:
    merged = merge_failures(delivery(fail_cnt=3), failures("1", "2", "3"), 100, MEMBERS)
    assert (len(merged.failures), merged.unnamed) == (3, 0)


@pytest.mark.parametrize(
    ("changes", "file", "unnamed", "said"),
    [
        ({"fail_cnt": 5, "failures": failures("1", "2")}, (), 3, "5 failures are counted"),
        ({"fail_cnt": 2, "failures": failures("1", "stranger")}, (), 1, "not its member"),
        ({"fail_cnt": 2, "failures": failures("1", "1")}, (), 1, "1 member named"),
        ({"send_cnt": 90}, (), 10, "send_cnt 90 for 100"),
        ({"send_cnt": None}, (), 100, "no send_cnt"),
        ({"fail_cnt": None}, (), 100, "no fail_cnt"),
    ],
)
def test_what_does_not_add_up_leaves_the_unnamed_unknown_and_is_said(
    changes: dict[str, object], file: tuple[Failure, ...], unnamed: int, said: str
) -> None:
    merged = merge_failures(delivery(**changes), file, 100, MEMBERS)
    assert merged.unnamed == unnamed
    assert said in " ".join(merged.warnings)


def test_more_named_than_counted_fails_the_named_and_is_said() -> None:
    merged = merge_failures(delivery(fail_cnt=1, failures=failures("1", "2")), (), 100, MEMBERS)
    assert (len(merged.failures), merged.unnamed) == (2, 0)
    assert "2 members are named and 1 failure counted" in merged.warnings[0]


def test_named_twice_with_two_codes_the_first_one_stands() -> None:
    merged = merge_failures(
        delivery(fail_cnt=1, failures=failures("1")), failures("1", code="9"), 100, MEMBERS
    )
    assert merged.failures == failures("1")
    assert "named twice" in merged.warnings[0]


@pytest.mark.parametrize(
    ("fail_cnt", "now", "before", "named", "unnamed"),
    [
        (2, ["2"], ["1"], ["2", "1"], 0),
        (3, ["2"], ["1", "2"], ["2", "1"], 1),
        # The last answer names all that it counts: who was named before that was reached after all.
        (1, ["2"], ["1"], ["2"], 0),
        # More than are counted: some of them were taken back, and nothing says which.
        (2, ["2"], ["1", "3"], ["2"], 1),
        (2, ["2"], ["stranger"], ["2"], 1),
    ],
)
def test_names_of_earlier_polls_fill_up_what_the_last_one_counts(
    fail_cnt: int, now: list[str], before: list[str], named: list[str], unnamed: int
) -> None:
    last = delivery(fail_cnt=fail_cnt, failures=failures(*now))
    merged = merge_failures(last, (), 100, MEMBERS, failures(*before))
    assert ([f.id for f in merged.failures], merged.unnamed) == (named, unnamed)


def test_names_of_earlier_polls_are_kept_a_group_and_not_without_end() -> None:
    earlier = EarlierFailures(limit=3)
    earlier.add(1, failures("1", "2"))
    earlier.add(1, failures("1", code="43101"))
    assert earlier.of(1) == failures("1", "2")
    earlier.add(2, failures("7", "8"))
    assert earlier.of(2) == failures("7")
    earlier.drop(1)
    assert earlier.of(1) == ()
    earlier.add(2, failures("8"))
    assert earlier.of(2) == failures("7", "8")


@given(st.lists(st.sampled_from([*sorted(MEMBERS), "x", "y"])), st.integers(0, 120))
def test_nobody_is_named_twice_and_no_stranger_is_kept(ids: list[str], fail_cnt: int) -> None:
    merged = merge_failures(delivery(fail_cnt=fail_cnt), failures(*ids), 100, MEMBERS)
    named = [f.id for f in merged.failures]
    assert len(named) == len(set(named))
    assert set(named) <= MEMBERS
    assert merged.unnamed == max(fail_cnt - len(named), 0)


def test_a_file_is_fetched_only_when_failures_are_missing() -> None:
    url = "https://example.org/f"
    assert needs_failure_file(delivery(fail_cnt=2, failures=failures("1"), fail_info_url=url))
    assert not needs_failure_file(delivery(fail_cnt=1, failures=failures("1"), fail_info_url=url))
    assert not needs_failure_file(delivery(fail_cnt=2))


def test_counts_that_trail_the_percent_are_looked_at_again_before_they_are_believed() -> None:
    merged = merge_failures(delivery(fail_cnt=5), (), 100, MEMBERS)
    assert [adds_up(merged, looks) for looks in (1, 2, 3)] == [False, False, True]


@given(
    waited=st.floats(0.001, 10_000),
    percent=st.none() | st.integers(0, 100),
    before=st.none() | st.integers(0, 100),
)
def test_the_next_look_is_never_before_the_first_wait_nor_after_the_ceiling(
    waited: float, percent: int | None, before: int | None
) -> None:
    assert 60 <= next_poll_in(POLICY, waited=waited, percent=percent, before=before) <= 120


def test_the_next_look_follows_the_progress_seen() -> None:
    policy = PollPolicy(first_after=1, every=1000)
    assert next_poll_in(policy, waited=10, percent=50, before=0) == pytest.approx(10)
    assert next_poll_in(policy, waited=10, percent=60, before=50) == pytest.approx(40)


def test_poll_settings_are_seconds() -> None:
    with pytest.raises(UsageError, match="first_after"):
        PollPolicy(first_after=-1)
    with pytest.raises(UsageError, match="every"):
        PollPolicy(every="60s")  # type: ignore[arg-type]
