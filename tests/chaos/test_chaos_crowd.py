"""Many campaigns on one client, killed together."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
from waiting import real_time, until

from promomsg.sandbox import Fault, FaultPlan, Sandbox

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("seconds", [0.0, 0.05])
async def test_a_kill_leaves_in_doubt_what_one_client_had_out_not_what_its_campaigns_may(
    seconds: float, tmp_path: Path
) -> None:
    """40 campaigns may have 5,120 calls intended by their concurrency, and one client 100 out."""
    slow = Fault(endpoint="singlesendmsg", kind="slow", seconds=seconds or 30.0)
    campaigns, each = 40, 200
    async with Sandbox(faults=FaultPlan([slow])) as box:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__).with_name("crowd_process.py")),
            *(box.url, str(tmp_path), str(campaigns), str(each)),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        # A slow provider has all that it gets; a quicker one is hit in the middle of it.
        enough = 800 if seconds else 100

        def under_way() -> bool:
            assert process.returncode is None
            begun = len(list(tmp_path.glob("*.db"))) == campaigns
            return begun and box.calls["singlesendmsg"] >= enough

        await until(under_way, 60)
        await real_time(0.3)  # some more calls go out, or wait
        process.kill()
        await process.wait()
        calls, delivered = box.calls["singlesendmsg"], box.ledger.singles
    intended = sent = 0
    for journal in tmp_path.glob("*.db"):
        with closing(sqlite3.connect(journal)) as db:
            rows = dict(db.execute("SELECT state, count(*) FROM recipient GROUP BY state"))
        intended += rows.get(1, 0)
        sent += rows.get(2, 0)
    assert intended <= 200
    if not seconds:
        assert calls == 100
    assert sent <= delivered <= sent + intended
