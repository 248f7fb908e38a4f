"""wechatpy in a pool of 64 threads: what a Python user of WeChat has at hand today.

It knows no promoter endpoint, so its generic `post` is called. Its pool of connections is made as
large as the pool of threads, which is kinder than its default of 10.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import requests.adapters
import wechatpy

from benchmarks.child import Laps
from benchmarks.contenders.sent_message import PATH, TOKEN, body_dict, check, openids
from benchmarks.job import Job


def run(job: Job) -> Laps:
    """Sends."""
    client = wechatpy.WeChatClient("wx0123456789", "secret", access_token=TOKEN)
    client._http.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=job.concurrency))
    url = f"{job.base_url}{PATH}"

    def send(openid: str) -> bool:
        return bool(client.post(url, data=body_dict(openid))["errcode"] == 0)

    with ThreadPoolExecutor(job.concurrency) as pool:
        done = sum(pool.map(send, openids(job.messages), chunksize=1))
    client._http.close()
    check(done, job.messages)
    return {}
