"""A worker of a fleet, looked at while it sends a campaign together with others."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import anyio

from benchmarks.child import Laps
from benchmarks.contenders.promomsg_setup import promoter
from benchmarks.job import Job
from benchmarks.machine import read_clocks
from promomsg.fleet.fleet import Fleet

__all__ = ["GO"]

GO: Final = "go"


async def run(job: Job) -> Laps:
    """Works, and waits for a file `GO`, which says when `window` begins, on the monotonic clock that the
    responder reads too; it is `seconds` long. Then calls in flight finish."""
    go = Path(job.folder) / GO
    fleet = Fleet(job.options["database"])
    async with promoter(job.base_url) as wechat, anyio.create_task_group() as tasks:

        async def work() -> None:
            await fleet.work(wechat, concurrency=job.concurrency)

        tasks.start_soon(work)
        while not go.exists():
            await anyio.sleep(0.05)
        begin = float(go.read_text())
        await _sleep_until(begin)
        before = read_clocks()
        await _sleep_until(begin + job.options["seconds"])
        window = read_clocks().since(before)
        tasks.cancel_scope.cancel()
    return {"window": window}


async def _sleep_until(moment: float) -> None:
    await anyio.sleep(max(0.0, moment - time.monotonic()))
