"""Sends a campaign of a PostgreSQL database together with others, and is looked at meanwhile."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import anyio

from benchmarks.child import Laps
from benchmarks.contenders.promomsg_setup import journal, promoter
from benchmarks.job import Job
from benchmarks.machine import read_clocks
from promomsg.engine.campaign import Campaign

__all__ = ["GO"]

GO: Final = "go"


async def run(job: Job) -> Laps:
    """Prints `ready`, waits for a file `GO`, which says when all of them begin, on the monotonic clock
    that the responder reads too. `window` is from `ramp` seconds later on, `seconds` long."""
    folder = Path(job.folder)
    print("ready", flush=True)
    while not (folder / GO).exists():
        await anyio.sleep(0.01)
    began = float((folder / GO).read_text())
    kept = journal("postgres", job.folder, job.options["database"])["journal"]
    async with promoter(job.base_url) as wechat:
        await _sleep_until(began)
        campaign = Campaign.resume(kept, wechat)
        async with campaign as run:
            await _sleep_until(began + job.options["ramp"])
            before = read_clocks()
            await _sleep_until(began + job.options["ramp"] + job.options["seconds"])
            window = read_clocks().since(before)
            if not run.progress["pending"]:
                raise RuntimeError("all were sent before the clock was read")
        if campaign.report.failed or campaign.report.unknown:
            raise RuntimeError(f"not all went well: {campaign.report}")
    return {"window": window}


async def _sleep_until(moment: float) -> None:
    await anyio.sleep(max(0.0, moment - time.monotonic()))
