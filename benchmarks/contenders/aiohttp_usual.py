"""aiohttp the usual way: `json=`, `await response.json()`, and a gather over everybody."""

from __future__ import annotations

import asyncio

import aiohttp

from benchmarks.child import Laps
from benchmarks.contenders.sent_message import PATH, TOKEN, body_dict, check, openids
from benchmarks.job import Job


async def run(job: Job) -> Laps:
    """Sends."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=job.concurrency)
    ) as session:

        async def send(openid: str) -> bool:
            async with session.post(
                f"{job.base_url}{PATH}",
                params={"access_token": TOKEN},
                json=body_dict(openid),
            ) as response:
                answer = await response.json()
                return response.status == 200 and answer["errcode"] == 0

        answers = await asyncio.gather(*(send(openid) for openid in openids(job.messages)))
    check(sum(answers), job.messages)
    return {}
