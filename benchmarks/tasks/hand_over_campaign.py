"""A campaign that is planned into a PostgreSQL database, for workers to send."""

from __future__ import annotations

from benchmarks.child import Laps
from benchmarks.contenders.promomsg_engine import recipients
from benchmarks.contenders.promomsg_setup import journal, message, promoter
from benchmarks.job import Job
from benchmarks.machine import read_clocks
from promomsg.engine.campaign import Campaign


async def run(job: Job) -> Laps:
    """Plans it, and hands it over."""
    begin = read_clocks()
    kept = journal("postgres", job.folder, job.options["database"])
    async with promoter(job.base_url) as wechat:
        await Campaign(wechat, message(), recipients(job.messages), **kept).hand_over()
    return {"plan": read_clocks().since(begin)}
