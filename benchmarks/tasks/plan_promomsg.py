"""A file's rows to a planned journal, by promomsg. Sending begins, and is ended, after the clock."""

from __future__ import annotations

from pathlib import Path

from benchmarks.child import Laps
from benchmarks.contenders.promomsg_setup import journal, message, promoter
from benchmarks.contenders.sent_message import check
from benchmarks.job import Job
from benchmarks.machine import read_clocks
from promomsg.engine.campaign import Campaign
from promomsg.intake.text.csvfile import read_csv
from promomsg.transport.pace import Pace


async def run(job: Job) -> Laps:
    """Plans: `plan` is up to the durable plan."""
    named = job.options["kind"] == "named"
    slow = Pace(singles_per_minute=1, groups_per_minute=1)
    async with promoter(job.base_url, slow) as wechat:
        begin = read_clocks()
        campaign = Campaign(
            wechat,
            message(desc="{name},三件五折") if named else message(),
            read_csv(Path(job.options["csv"])),
            route="single" if named else None,
            **journal("power", job.folder),
        )
        async with campaign:
            planned = read_clocks()
    check(campaign.report.to_dict()["planned"], job.messages)
    return {"plan": planned.since(begin)}
