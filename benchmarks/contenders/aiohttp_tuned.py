"""aiohttp as somebody who had measured it would write it: 64 workers, bytes in and bytes out."""

from __future__ import annotations

import asyncio

import aiohttp
import msgspec
import yarl

from benchmarks.child import Laps
from benchmarks.contenders.sent_message import PATH, TOKEN, check, openids, parts
from benchmarks.job import Job


class _Answer(msgspec.Struct):
    errcode: int


async def run(job: Job) -> Laps:
    """Sends."""
    url = yarl.URL(f"{job.base_url}{PATH}?access_token={TOKEN}", encoded=True)
    before, after = parts()
    headers = {"Content-Type": "application/json"}
    decode = msgspec.json.Decoder(_Answer).decode
    queue = openids(job.messages)
    done = 0

    async def work(session: aiohttp.ClientSession) -> None:
        nonlocal done
        for openid in queue:
            body = before + openid.encode() + after
            async with session.post(url, data=body, headers=headers) as response:
                answer = decode(await response.read())
            if response.status == 200 and answer.errcode == 0:
                done += 1

    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=job.concurrency),
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:
        await asyncio.gather(*(work(session) for _ in range(job.concurrency)))
    check(done, job.messages)
    return {}
