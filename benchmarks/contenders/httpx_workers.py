"""httpx with 64 workers over one client, bytes out."""

from __future__ import annotations

import asyncio

import httpx

from benchmarks.child import Laps
from benchmarks.contenders.sent_message import PATH, TOKEN, check, openids, parts
from benchmarks.job import Job


async def run(job: Job) -> Laps:
    """Sends."""
    url = httpx.URL(f"{job.base_url}{PATH}?access_token={TOKEN}")
    before, after = parts()
    headers = {"Content-Type": "application/json"}
    queue = openids(job.messages)
    done = 0

    async def work(client: httpx.AsyncClient) -> None:
        nonlocal done
        for openid in queue:
            body = before + openid.encode() + after
            response = await client.post(url, content=body, headers=headers)
            if response.status_code == 200 and response.json()["errcode"] == 0:
                done += 1

    limits = httpx.Limits(
        max_connections=job.concurrency, max_keepalive_connections=job.concurrency
    )
    async with httpx.AsyncClient(limits=limits, trust_env=False) as client:
        await asyncio.gather(*(work(client) for _ in range(job.concurrency)))
    check(done, job.messages)
    return {}
