"""A campaign in a PostgreSQL database, planned and sent by one process."""

from __future__ import annotations

from pathlib import Path

from benchmarks.child import Laps
from benchmarks.contenders.promomsg_engine import recipients
from benchmarks.contenders.promomsg_setup import journal, message, promoter
from benchmarks.contenders.sent_message import check
from benchmarks.database import ServerReading, Usage
from benchmarks.job import Job
from benchmarks.machine import read_clocks
from promomsg.engine.campaign import Campaign


async def run(job: Job) -> Laps:
    """Sends; `server_…` are what the server used for it, in seconds and bytes."""
    database = job.options["database"]
    with Usage(database, job.options["pid"]) as usage:
        begin, used = read_clocks(), [usage.read()]
        async with promoter(job.base_url) as wechat:
            campaign = Campaign(
                wechat,
                message(),
                recipients(job.messages),
                concurrency=job.concurrency,
                **journal("postgres", job.folder, database),
            )
            async with campaign as run:
                used.append(usage.read())
                planned = read_clocks()
                await run.wait()
                settled = read_clocks()
                used.append(usage.read())
        check(campaign.report.sent, job.messages)
        figures = usage.of_campaign(Path(job.folder).name, job.messages)
    return {
        "plan": planned.since(begin),
        "sending": settled.since(planned),
        **figures,
        **_figures("plan", used[1].since(used[0])),
        **_figures("sending", used[2].since(used[1])),
        "disk": used[2].disk - used[0].disk,
    }


def _figures(part: str, used: ServerReading) -> dict[str, float]:
    return {f"server_{part}_cpu": used.cpu, f"server_{part}_wal": used.wal}
