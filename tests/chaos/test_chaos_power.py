"""Power cuts: the sender is killed, and the disk forgets what was not synced."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from chaos.power import PowerCut
from chaos.trial import CRASH_POINTS, Trial

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("kind", sorted(CRASH_POINTS))
async def test_a_power_cut_loses_nobody_and_sends_nothing_twice(kind: str, tmp_path: Path) -> None:
    folder = Path(os.path.realpath(tmp_path), "campaign")
    folder.mkdir()
    power = PowerCut(folder, "chaos.db", tmp_path)
    async with power.zygote() as zygote:
        result = await Trial(kind, "power", folder, power=power, kills=8, count=260).run(zygote)
    assert result.kills >= 4
