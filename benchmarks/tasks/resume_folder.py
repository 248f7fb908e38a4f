"""Goes on with every journal of a folder, one after the other, to the end of it."""

from __future__ import annotations

from pathlib import Path

from benchmarks.child import Laps
from benchmarks.contenders.promomsg_setup import promoter
from benchmarks.job import Job
from promomsg.engine.campaign import Campaign


async def run(job: Job) -> Laps:
    """Sends what is left. `unknown` are those in doubt, `sent` those that are not."""
    sent = unknown = other = 0
    async with promoter(job.base_url) as wechat:
        for path in sorted(Path(job.folder).glob("*.db")):
            campaign = Campaign.resume(path, wechat)
            async with campaign as run:
                report = await run.wait()
            sent += report.sent
            unknown += report.unknown
            other += report.planned - report.sent - report.unknown
    return {"sent": sent, "unknown": unknown, "other": other}
