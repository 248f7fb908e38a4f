"""Power cuts: the sender is killed, and the disk forgets what was not synced."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from chaos.power_cut import PowerCut
from chaos.trial import CRASH_POINTS, Trial

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("kind", sorted(CRASH_POINTS))
async def test_a_power_cut_loses_nobody_and_sends_nothing_twice(kind: str, tmp_path: Path) -> None:
    cuts = 0
    for number in range(20):
        room = Path(os.path.realpath(tmp_path), str(number))
        folder = room / "campaign"
        folder.mkdir(parents=True)
        power = PowerCut(folder, "chaos.db", room)
        async with power.fork_server() as fork_server:
            trial = Trial(kind, f"power/{number}", folder, power=power, kills=8, count=260)
            cuts += (await trial.run(fork_server)).kills
        if cuts >= 8:
            break
    assert cuts >= 8
