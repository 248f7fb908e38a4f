"""promomsg's engine: planned, journalled, sent, settled and reported."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.child import Laps
from benchmarks.contenders.promomsg_setup import journal, message, promoter
from benchmarks.contenders.sent_message import check, openids
from benchmarks.job import Job
from benchmarks.machine import read_clocks
from promomsg.engine.campaign import Campaign
from promomsg.model import Recipient

__all__ = ["named_recipients", "recipients", "run"]


def recipients(count: int) -> Iterator[Recipient]:
    """People with nothing but an openid."""
    for openid in openids(count):
        yield Recipient(openid=openid)


def named_recipients(count: int) -> Iterator[Recipient]:
    """The same with a user's token and a name, so that each text is another one."""
    for number, openid in enumerate(openids(count)):
        name = {"name": f"客官{number}"}
        yield Recipient(openid=openid, access_token=f"{number:032d}", params=name)


async def run(job: Job) -> Laps:
    """Sends, with `personal` to each by name. `plan` is up to the durable plan, `sending` from there to the last result."""
    personal = job.options.get("personal", False)
    async with promoter(job.base_url) as wechat:
        begin = read_clocks()
        campaign = Campaign(
            wechat,
            message(desc="{name},三件五折") if personal else message(),
            (named_recipients if personal else recipients)(job.messages),
            concurrency=job.concurrency,
            **journal(job.options["journal"], job.folder),
        )
        async with campaign as run:
            planned = read_clocks()
            await run.wait()
            settled = read_clocks()
        report = campaign.report.to_dict()
    check(report["sent"], job.messages)
    return {"plan": planned.since(begin), "sending": settled.since(planned)}
