"""The days in which clicks and results can be had, in China time."""

from __future__ import annotations

from typing import Any

import pytest

from promomsg.clock import china_date
from promomsg.errors import UsageError
from promomsg.wechat.click_days import check_clicks, day_window

DAY = 86_400
START = 1691078400  # 2023-08-04 00:00 in China; the page's example times lie in that day


def test_the_seeds_example_lies_in_its_day() -> None:
    assert day_window("2023-08-04") == (START, START + DAY - 1)
    assert day_window("9999-12-31")[1] > START
    assert START <= 1691114400 < 1691128800 < START + DAY
    assert china_date(START - 1).isoformat() == "2023-08-03"
    assert china_date(START).isoformat() == "2023-08-04"
    check_clicks(
        "2023-08-04", dimension=0, msg_type=1, begin=1691114400, end=1691128800, now=START + DAY
    )
    check_clicks("2023-08-04", dimension=1, msg_type=1, now=START + DAY)


@pytest.mark.parametrize(("days", "good"), [(0, False), (1, True), (90, True), (91, False)])
def test_from_the_day_after_for_ninety_days(days: int, good: bool) -> None:
    for now in (START + days * DAY, START + days * DAY + DAY - 1):
        if good:
            check_clicks("2023-08-04", dimension=1, msg_type=1, now=now)
        else:
            with pytest.raises(UsageError, match="send_date 2023-08-04: click data"):
                check_clicks("2023-08-04", dimension=1, msg_type=1, now=now)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"send_date": "2023/08/04"}, "yyyy-MM-dd"),
        ({"send_date": "20230804"}, "yyyy-MM-dd"),
        ({"send_date": "2023-02-30"}, "yyyy-MM-dd"),
        ({"send_date": None}, "yyyy-MM-dd"),
        ({"dimension": 2}, "dimension: 0"),
        ({"dimension": True}, "dimension: 0"),
        ({"msg_type": "1"}, "msg_type: give a whole number"),
        ({"msg_type": True}, "msg_type: give a whole number"),
        ({"msg_type": -1}, "msg_type: give a whole number"),
        ({"msg_id": 1}, "msg_id: give a str"),
        ({"dimension": 1, "msg_id": "1"}, "msg_id: only with dimension 0"),
        ({"dimension": 1, "begin": START}, "begin: only with dimension 0"),
        ({"dimension": 1, "end": START}, "end: only with dimension 0"),
        ({"begin": START - 1}, "begin 1691078399: not in the China-time day 2023-08-04"),
        ({"end": START + DAY}, "not in the China-time day"),
        ({"begin": "x"}, "begin: give Unix seconds"),
        ({"begin": True}, "begin: give Unix seconds"),
        ({"begin": START + 2, "end": START + 1}, "is after end"),
    ],
)
def test_a_question_that_cannot_be_answered_is_not_asked(change: dict[str, Any], says: str) -> None:
    asked: dict[str, Any] = {
        "send_date": "2023-08-04",
        "dimension": 0,
        "msg_type": 1,
        "now": START + 2 * DAY,
    }
    asked.update(change)
    with pytest.raises(UsageError, match=says):
        check_clicks(asked.pop("send_date"), **asked)
