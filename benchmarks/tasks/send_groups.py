"""A group campaign: planned, sent, followed to 100 percent, its failure files merged."""

from __future__ import annotations

from benchmarks.child import Laps
from benchmarks.contenders.promomsg_setup import journal, message, promoter
from benchmarks.contenders.sent_message import check
from benchmarks.job import Job
from benchmarks.machine import read_clocks
from promomsg.delivery import PollPolicy
from promomsg.engine.campaign import Campaign


async def run(job: Job) -> Laps:
    """Sends; the poller does not wait the minutes that a real provider needs."""
    async with promoter(job.base_url) as wechat:
        begin = read_clocks()
        campaign = Campaign(
            wechat,
            message(),
            (str(1_000_000_000 + number) for number in range(job.messages)),
            poll=PollPolicy(first_after=0.01, every=0.05),
            **journal("power", job.folder),
        )
        async with campaign as run:
            planned = read_clocks()
            await run.wait()
            settled = read_clocks()
        report = campaign.report.to_dict()
    check(report["sent"] + report["failed"], job.messages)
    return {
        "plan": planned.since(begin),
        "sending": settled.since(planned),
        "groups": len(report["groups"]),
        "failed": report["failed"],
    }
