"""How many are the first few, and what may be said of them."""

from __future__ import annotations

from typing import Any

import pytest

from promomsg import UsageError
from promomsg.engine.schedule.first_few import decide_first
from promomsg.engine.schedule.first_options import (
    FirstOptions,
    check_first_is_there,
    checked_first,
    first_count,
)
from promomsg.journal.records import Counts


def checked(**given: Any) -> FirstOptions:
    said = {"first": 20, "stop_above": 0.1, "wait": "10m", "ask": False, **given}
    return checked_first(said.pop("first"), **said)


def test_they_are_looked_at_for_ten_minutes_and_one_in_ten_may_fail() -> None:
    assert checked() == FirstOptions(first=20, stop_above=0.1, wait=600.0, ask=False)
    assert checked(first=None).first is None


@pytest.mark.parametrize(
    ("first", "recipients", "count"),
    [(20, 1_000, 20), (20, 7, 7), ("2%", 1_000, 20), ("2 %", 1_001, 21), ("0.5%", 10, 1)],
)
def test_how_many_they_are(first: int | str, recipients: int, count: int) -> None:
    assert first_count(first, recipients) == count


@pytest.mark.parametrize("first", [0, -1, True, 2.5, "20", "0%", "100%", "101%", "two", "%"])
def test_a_first_that_is_none_is_refused_with_an_example(first: Any) -> None:
    with pytest.raises(UsageError, match=r'first=.*like 20, or a share of the list, like "2%"'):
        checked(first=first)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"stop_above": 1.0}, "first_stop_above=1.0: a share from 0 to under 1"),
        ({"stop_above": "10%"}, "first_stop_above='10%'"),
        ({"wait": "soon"}, "first_wait: 'soon' is not a duration"),
        ({"ask": "yes"}, "first_ask='yes': say True or False"),
    ],
)
def test_an_option_out_of_its_range_is_refused_by_its_name(given: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says.replace("(", r"\(")):
        checked(**given)


def test_what_is_said_of_first_few_that_there_are_none_of_is_refused() -> None:
    check_first_is_there(["first", "first_ask"])
    check_first_is_there(["concurrency"])
    with pytest.raises(UsageError, match="first_ask says nothing without first"):
        check_first_is_there(["concurrency", "first_ask"])


def test_a_stop_says_how_many_of_what_and_what_to_do() -> None:
    counts = Counts(
        planned=24,
        sent=16,
        failed=3,
        unknown=1,
        skipped=4,
        by_code={"43101": 2, "NO_ANSWER": 1, "40003": 1, "SUPPRESSED": 4},
    )
    options = FirstOptions(first=20)
    found = decide_first(counts, answered_at=None, now=5.0, options=options)
    assert found.code == "FIRST_STOPPED"
    assert found.text == (
        "4 of the first 20 were not sent (20%, over 10%): 16 sent, 3 failed, 1 unknown "
        "(2 x 43101, 1 x 40003, 1 x NO_ANSWER); mend the cause and retry those who failed; resume "
        "--approve goes on with the others, cancel ends it"
    )
