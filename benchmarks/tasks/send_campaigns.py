"""Several campaigns on one client, which begin to send together; when does each end?"""

from __future__ import annotations

import asyncio
import statistics
import time

from benchmarks.child import Laps
from benchmarks.contenders.promomsg_setup import promoter
from benchmarks.contenders.sent_message import check
from benchmarks.job import Job
from benchmarks.machine import read_clocks
from benchmarks.tasks.campaigns_on_client import planned_campaigns
from promomsg.engine.campaign import Campaign

_LOOK: float = 0.02
"""Seconds between looks at how far they are."""


async def run(job: Job) -> Laps:
    """Sends campaigns of `sizes` recipients.

    `last` and `median` are when they ended, in seconds from the start of sending; `unbegun` is how
    many had sent nothing when half of everything was sent; `share` is how many the last campaign had
    sent when the first one ended, for each that the first one sent.
    """
    sizes: list[int] = job.options["sizes"]
    ends: list[float] = []
    share = 0.0
    async with promoter(job.base_url) as wechat:
        campaigns = await planned_campaigns(wechat, sizes, job.folder)
        begin, clocks = time.monotonic(), read_clocks()

        async def send(campaign: Campaign) -> None:
            nonlocal share
            async with campaign as run:
                await run.wait()
                ends.append(time.monotonic() - begin)
                if campaign is campaigns[0]:
                    share = _sent(campaigns[-1]) / sizes[0]

        looking = asyncio.ensure_future(_unbegun(campaigns, sum(sizes) // 2))
        await asyncio.gather(*(send(campaign) for campaign in campaigns))
        sending = read_clocks().since(clocks)
        unbegun = await looking
    check(sum(campaign.report.sent for campaign in campaigns), sum(sizes))
    return {
        "sending": sending,
        "last": max(ends),
        "median": statistics.median(ends),
        "unbegun": unbegun,
        "share": share,
    }


def _sent(campaign: Campaign) -> int:
    try:
        return int(campaign.progress["sent"])
    except Exception:  # noqa: BLE001 - it has not begun
        return 0


async def _unbegun(campaigns: list[Campaign], half: int) -> int:
    while True:
        sent = [_sent(campaign) for campaign in campaigns]
        if sum(sent) >= half:
            return sent.count(0)
        await asyncio.sleep(_LOOK)
