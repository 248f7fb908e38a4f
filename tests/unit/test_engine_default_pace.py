"""The pace of a campaign for which none was set, and what a plan says of the quota."""

from __future__ import annotations

from typing import Any, cast

import pytest

from promomsg import Pace
from promomsg.channels.base import Advice
from promomsg.engine.prepare.default_pace import (
    ask_quota,
    pace_from_quota,
    quota_notices,
    set_default_pace,
)
from promomsg.engine.prepare.plan import _estimated_seconds
from promomsg.transport.pace import Pacer


@pytest.mark.parametrize(
    ("advice", "pace"),
    [
        (None, None),
        (Advice(), None),
        (Advice(calls=0, per_seconds=60), None),
        (Advice(calls=-5, per_seconds=60), None),
        (Advice(calls=5, per_seconds=-60), None),
        (Advice(calls=600, per_seconds=60), Pace(singles_per_minute=600)),
        (Advice(calls=70, per_seconds=10), Pace(singles_per_second=7)),
    ],
)
def test_a_pace_is_what_the_provider_says_it_is(advice: Advice | None, pace: Pace | None) -> None:
    assert pace_from_quota(advice) == pace


class Advising:
    """A channel that says of its quota what it is told to."""

    def __init__(self, advice: Advice | None = None, pace: Pace | None = None) -> None:
        self.pacer = Pacer(pace)
        self._advice = advice

    async def advise(self) -> Advice | None:
        return self._advice


def test_a_pace_of_the_users_own_stays() -> None:
    channel = Advising(pace=Pace(singles_per_second=9))
    assert set_default_pace(cast(Any, channel), Advice(calls=1, per_seconds=1)) == []
    assert channel.pacer.singles.rate == pytest.approx(9, rel=0.05)


def test_without_advice_it_is_50_a_second_and_a_notice() -> None:
    channel = Advising()
    [notice] = set_default_pace(cast(Any, channel), None)
    assert "50 singles a second" in notice
    assert channel.pacer.configured
    assert set_default_pace(cast(Any, channel), None) == []


@pytest.mark.asyncio
async def test_advice_is_passed_on_and_a_quota_too_small_is_said() -> None:
    advice = Advice(calls=100, per_seconds=10, daily_remaining=7)
    channel = Advising(advice)
    assert await ask_quota(cast(Any, channel)) is advice
    [notice] = set_default_pace(cast(Any, channel), advice)
    assert "quota" in notice
    assert channel.pacer.singles.rate == pytest.approx(10, rel=0.05)
    [small] = quota_notices(advice, 8)
    assert "7 single calls left" in small
    assert quota_notices(advice, 7) == quota_notices(None, 8) == quota_notices(Advice(), 8) == []


@pytest.mark.parametrize(
    ("singles", "single_rate", "groups", "group_rate", "seconds"),
    [
        (120, 40.0, 0, None, 3.0),
        (120, 40.0, 1, None, 3.0),  # a group call at no pace does not make the single ones quick
        (120, None, 2, 0.5, 4.0),
        (120, 40.0, 2, 0.5, 4.0),
        (120, None, 1, None, None),
        (0, 40.0, 1, None, None),
        (0, None, 0, None, 0.0),
    ],
)
def test_the_time_of_a_plan_is_that_of_its_slower_kind_of_calls(
    singles: int,
    single_rate: float | None,
    groups: int,
    group_rate: float | None,
    seconds: float | None,
) -> None:
    assert _estimated_seconds(singles, single_rate, groups, group_rate) == seconds
