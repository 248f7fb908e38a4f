"""A campaign at a quota."""

from __future__ import annotations

from benchmarks.child import Laps
from benchmarks.contenders.promomsg_engine import recipients
from benchmarks.contenders.promomsg_setup import journal, message, promoter
from benchmarks.contenders.sent_message import check
from benchmarks.job import Job
from promomsg.engine.campaign import send
from promomsg.transport.pace import Pace


async def run(job: Job) -> Laps:
    """Sends."""
    async with promoter(job.base_url, Pace(singles_per_second=job.options["rate"])) as wechat:
        report = await send(
            wechat, message(), recipients(job.messages), **journal("power", job.folder)
        )
    check(report.to_dict()["sent"], job.messages)
    return {}
