"""A campaign at a quota, or with none; on demand with a pause in the middle of it."""

from __future__ import annotations

import resource
import time

import anyio

from benchmarks.child import Laps
from benchmarks.contenders.promomsg_engine import recipients
from benchmarks.contenders.promomsg_setup import journal, message, promoter
from benchmarks.contenders.sent_message import check
from benchmarks.job import Job
from benchmarks.machine import read_clocks
from promomsg.engine.campaign import Campaign
from promomsg.transport.pace import Pace


async def run(job: Job) -> Laps:
    """Sends `rate` a second (0: as fast as it goes), and pauses for `pause` seconds half-way.

    `sending` is from the plan to the last result, `began` and `ended` are the Unix times of that;
    `sleeps` is how often a thread of this process waited meanwhile, and had to be woken.
    """
    rate, pause = job.options["rate"], job.options.get("pause", 0)
    pace = Pace(singles_per_second=rate) if rate else None
    async with promoter(job.base_url, pace) as wechat:
        campaign = Campaign(
            wechat, message(), recipients(job.messages), **journal("power", job.folder)
        )
        async with campaign as run:
            began, before, slept = time.time(), read_clocks(), _sleeps()
            if pause:
                while run.progress["sent"] < job.messages // 2:
                    await anyio.sleep(0.02)
                await run.pause()
                await anyio.sleep(pause)
                await run.resume_sending()
            await run.wait()
            sending, sleeps = read_clocks().since(before), _sleeps() - slept
            ended = time.time()
    check(campaign.report.sent, job.messages)
    return {"sending": sending, "began": began, "ended": ended, "sleeps": sleeps}


def _sleeps() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
