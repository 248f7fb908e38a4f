"""Goes on with a journal until its first call is answered, then stops."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from benchmarks.child import Laps
from benchmarks.contenders.promomsg_setup import promoter
from benchmarks.job import Job
from benchmarks.machine import read_clocks
from promomsg.engine.campaign import Campaign
from promomsg.transport.pace import Pace


async def run(job: Job) -> Laps:
    """`began` is on the monotonic clock, which the responder reads too."""
    began, begin = time.monotonic(), read_clocks()
    async with promoter(job.base_url, Pace(unlimited=True)) as wechat:
        campaign = Campaign.resume(Path(job.folder) / "campaign.db", wechat)
        async with campaign as run:
            opened = read_clocks()
            before = run.progress["sent"]
            while run.progress["sent"] == before and run.progress["pending"]:
                await asyncio.sleep(0.01)
    return {"began": began, "opening": opened.since(begin)}
