"""Makes the journal of `resume`: a campaign that stopped when the day's quota was used up."""

from __future__ import annotations

from benchmarks.child import Laps
from benchmarks.contenders.promomsg_engine import recipients
from benchmarks.contenders.promomsg_setup import journal, message, promoter
from benchmarks.job import Job
from promomsg.engine.campaign import send


async def run(job: Job) -> Laps:
    """Sends as many as the responder takes."""
    async with promoter(job.base_url) as wechat:
        report = await send(
            wechat,
            message(),
            recipients(job.messages),
            concurrency=job.concurrency,
            **journal("power", job.folder),
        )
    return {"sent": report.sent, "pending": report.pending}
