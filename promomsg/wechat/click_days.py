"""The days in which results and clicks can be had. Pure: `now` is passed in.

All natural days are China time (docs/facts/wechat.md, "Windows").
"""

from __future__ import annotations

import datetime
import re
from typing import Final

from promomsg.clock import DAY, china_date, china_day_begins
from promomsg.errors import UsageError

__all__ = ["CLICK_DAYS", "check_age", "check_clicks", "day_window"]

CLICK_DAYS: Final = 90
"""Days for which click data is kept (docs/facts/wechat.md, "Windows")."""

_SHAPE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def day_window(send_date: str) -> tuple[int, int]:
    """The first and last second (Unix, both inside) of a China-time day given as yyyy-MM-dd.

    Raises:
        UsageError: it is not such a date.
    """
    start = china_day_begins(_parse(send_date))
    return start, start + DAY - 1


def _parse(send_date: str) -> datetime.date:
    if isinstance(send_date, str) and _SHAPE.fullmatch(send_date):
        try:
            return datetime.date.fromisoformat(send_date)
        except ValueError:
            pass
    raise UsageError(f"send_date: give a date as yyyy-MM-dd (2023-08-04), not {send_date!r}")


def check_clicks(
    send_date: str,
    *,
    dimension: int,
    msg_type: int,
    msg_id: str | None = None,
    begin: int | None = None,
    end: int | None = None,
    now: float | None,
) -> None:
    """Checks a question for click data (docs/facts/wechat.md, "Click data"), before the call.

    Args:
        send_date: the China-time day of the send, yyyy-MM-dd.
        dimension: 0 by message id, 1 by message type.
        msg_type: the message type, a whole number.
        msg_id, begin, end: dimension 0 only; Unix seconds inside that day.
        now: Unix seconds; None: the day's age is not checked.

    Raises:
        UsageError: the day is not over or its data no longer kept, or a filter cannot apply.
    """
    if isinstance(dimension, bool) or dimension not in (0, 1):
        raise UsageError(f"dimension: 0 (by message id) or 1 (by message type), not {dimension!r}")
    if isinstance(msg_type, bool) or not isinstance(msg_type, int) or not 0 <= msg_type < 2**32:
        raise UsageError(f"msg_type: give a whole number of 0 or more, not {msg_type!r}")
    if msg_id is not None and not isinstance(msg_id, str):
        raise UsageError(f"msg_id: give a str, not {msg_id!r}")
    start, last = day_window(send_date)
    if now is not None:
        check_age(send_date, now=now)
    if dimension == 1:
        for name, given in (("msg_id", msg_id), ("begin", begin), ("end", end)):
            if given is not None:
                raise UsageError(f"{name}: only with dimension 0 (by message id); leave it out")
        return
    for name, moment in (("begin", begin), ("end", end)):
        if moment is None:
            continue
        if isinstance(moment, bool) or not isinstance(moment, int):
            raise UsageError(f"{name}: give Unix seconds, not {moment!r}")
        if not start <= moment <= last:
            raise UsageError(
                f"{name} {moment}: not in the China-time day {send_date}, "
                f"which is {start} to {last}"
            )
    if begin is not None and end is not None and begin > end:
        raise UsageError(f"begin {begin} is after end {end}")


def check_age(send_date: str, *, now: float) -> None:
    """Checks that a day's clicks can be had at this moment (Unix seconds).

    Raises:
        UsageError: the day is not over, or its data no longer kept.
    """
    age = (china_date(now) - _parse(send_date)).days
    if age < 1:
        raise UsageError(
            f"send_date {send_date}: click data can be had from the day after the send; "
            f"in China it is {china_date(now).isoformat()}"
        )
    if age > CLICK_DAYS:
        raise UsageError(
            f"send_date {send_date}: click data is kept {CLICK_DAYS} days, and this was {age} "
            "days ago"
        )
