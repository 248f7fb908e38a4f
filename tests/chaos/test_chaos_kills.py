"""Killed at random and at every named point, resumed until done, and compared with the ledger."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from chaos.trial import CRASH_POINTS, Trial
from chaos.zygote import Zygote

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize(
    ("kind", "kills", "trials"), [("singles", 90, 12), ("groups", 70, 30), ("alipay", 60, 10)]
)
async def test_nothing_is_lost_and_nothing_goes_out_twice(
    kind: str, kills: int, trials: int, tmp_path: Path
) -> None:
    done = 0
    async with Zygote() as zygote:
        for number in range(trials):
            folder = tmp_path / str(number)
            folder.mkdir()
            result = await Trial(kind, f"ci/{number}", folder).run(zygote)
            done += result.kills
            if done >= kills:
                break
    assert done >= kills


@pytest.mark.parametrize("kind", sorted(CRASH_POINTS))
async def test_every_crash_point_kills_and_is_survived(kind: str, tmp_path: Path) -> None:
    died: Counter[str] = Counter()
    async with Zygote() as zygote:
        for number, point in enumerate(CRASH_POINTS[kind]):
            folder = tmp_path / str(number)
            folder.mkdir()
            trial = Trial(kind, f"point/{point}", folder, kills=1, crash=f"{point}:1", count=260)
            died += (await trial.run(zygote)).by_point
    assert died == Counter(dict.fromkeys(CRASH_POINTS[kind], 1))
