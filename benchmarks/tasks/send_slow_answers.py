"""A campaign against a provider whose answers take their time, looked at while it is under way."""

from __future__ import annotations

import time

import anyio

from benchmarks.child import Laps
from benchmarks.contenders.promomsg_engine import recipients
from benchmarks.contenders.promomsg_setup import journal, message, promoter
from benchmarks.job import Job
from benchmarks.machine import read_clocks
from promomsg.engine.campaign import Campaign


async def run(job: Job) -> Laps:
    """Sends for `ramp` and then for `seconds`, and is cancelled.

    `begin` and `end` of the latter are on the monotonic clock, which the responder reads too;
    `window` is what it took.
    """
    async with promoter(job.base_url, timeout=job.options["timeout"]) as wechat:
        campaign = Campaign(
            wechat,
            message(),
            recipients(job.messages),
            concurrency=job.concurrency,
            **journal("power", job.folder),
        )
        async with campaign as run:
            await anyio.sleep(job.options["ramp"])
            begin, before = time.monotonic(), read_clocks()
            await anyio.sleep(job.options["seconds"])
            end, window = time.monotonic(), read_clocks().since(before)
            await run.cancel()
            await run.wait()
        report = campaign.report
    if report.failed or report.unknown:
        raise RuntimeError(f"{report.failed} failed, {report.unknown} unknown")
    if not report.cancelled:
        raise RuntimeError("all were sent before the clock was read")
    return {"begin": begin, "end": end, "window": window}
