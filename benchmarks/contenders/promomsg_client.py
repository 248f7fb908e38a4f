"""promomsg's client without its engine: 64 workers, no journal, no pace, no retries."""

from __future__ import annotations

import asyncio

from benchmarks.child import Laps
from benchmarks.contenders.promomsg_setup import message, promoter
from benchmarks.contenders.sent_message import check, openids
from benchmarks.job import Job
from promomsg.model import SingleSend, Verdict


async def run(job: Job) -> Laps:
    """Sends."""
    queue = enumerate(openids(job.messages))
    done = 0
    async with promoter(job.base_url) as wechat:
        compiled = wechat.compile(message())
        wechat.expect(job.concurrency)

        async def work() -> None:
            nonlocal done
            for number, openid in queue:
                answer = await wechat.deliver(compiled, SingleSend(number, openid, openid=openid))
                done += answer.verdict is Verdict.SENT

        await asyncio.gather(*(work() for _ in range(job.concurrency)))
    check(done, job.messages)
    return {}
