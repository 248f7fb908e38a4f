"""Several campaigns on one client, sent until somebody kills this process."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from benchmarks.child import Laps
from benchmarks.contenders.promomsg_setup import promoter
from benchmarks.job import Job
from benchmarks.tasks.campaigns_on_client import planned_campaigns
from promomsg.engine.campaign import Campaign
from promomsg.transport.pace import Pace

__all__ = ["GO"]

GO: Final = "go"


async def run(job: Job) -> Laps:
    """Prints `planned`, waits for a file `GO`, and sends `rate` a second (0: as fast as it goes)."""
    rate = job.options["rate"]
    pace = Pace(singles_per_second=rate) if rate else None
    async with promoter(job.base_url, pace) as wechat:
        campaigns = await planned_campaigns(wechat, job.options["sizes"], job.folder)
        print("planned", flush=True)
        while not (Path(job.folder) / GO).exists():
            await asyncio.sleep(0.01)
        await asyncio.gather(*(_send(campaign) for campaign in campaigns))
    raise RuntimeError("all were sent before this process was killed")


async def _send(campaign: Campaign) -> None:
    async with campaign as run:
        await run.wait()
