"""How long an answer asks to wait."""

from __future__ import annotations

import pytest

from promomsg.transport.retry_after import LONGEST, retry_after

NOW = 1_789_997_600.0  # Mon, 21 Sep 2026 13:33:20 GMT


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": " 30 "}, 30.0),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "1.5"}, 1.5),
        ({"Retry-After": "99999999"}, LONGEST),
        ({"Retry-After": "Mon, 21 Sep 2026 13:34:20 GMT"}, 60.0),
        ({"Retry-After": "Mon, 21 Sep 2026 21:34:20 +0800"}, 60.0),
        ({"Retry-After": "Monday, 21-Sep-26 13:34:20 GMT"}, 60.0),
        ({"Retry-After": "Mon Sep 21 13:34:20 2026"}, 60.0),
        ({"Retry-After": "Mon, 21 Sep 2026 13:00:00 GMT"}, 0.0),
        ({"Retry-After": "Mon, 21 Sep 2093 13:00:00 GMT"}, LONGEST),
        # By the answer's own clock, which is an hour off.
        (
            {
                "Retry-After": "Mon, 21 Sep 2026 14:34:20 GMT",
                "Date": "Mon, 21 Sep 2026 14:33:50 GMT",
            },
            30.0,
        ),
        ({"Retry-After": "Mon, 21 Sep 2026 13:34:20 GMT", "Date": "today"}, 60.0),
        ({}, None),
        ({"Retry-After": ""}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "1e3"}, None),
        ({"Retry-After": "٣"}, None),
        ({"Retry-After": "Mon, 99 Sep 2026 25:00:00 GMT"}, None),
        ({"Retry-After": "9" * 400}, None),
    ],
)
def test_seconds_and_dates(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == seconds
