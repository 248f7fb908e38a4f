"""What a killed child does: one campaign, begun or gone on with, until it is done or dead."""

from __future__ import annotations

import asyncio
import os
import resource
from typing import Any

import msgspec

from promomsg import (
    AlipayMessage,
    AlipayMiniProgram,
    Campaign,
    ContentTemplate,
    Pace,
    PollPolicy,
    RetryPolicy,
    WeChatMessage,
    WeChatPromoter,
)
from promomsg.clock import SYSTEM_CLOCK, Clock

from .hurried_clock import HurriedClock

__all__ = ["Job", "address", "channel", "expected_groups", "message", "people", "perform"]

AREA = 60
"""Members of one area's group; the last area has too few for one and goes by single sends."""
SMALL_AREA = 20


class Job(msgspec.Struct, kw_only=True):
    """One run of one process.

    Attributes:
        kind: "singles" (each message its own), "groups" (a message an area) or "alipay".
        url, journal, count: where the sandbox and the journal are, and how many recipients.
        kill_after: seconds from the fork to the SIGKILL; None: no kill.
        kill_when: a file whose appearance is the moment of the kill instead; None: none.
        signal: what kills; SIGKILL.
        crash: `name:n` of a crash point; None: none.
        hurry: how much faster waits pass; 1 is the real clock.
        log, result: files for what the child prints and for its report.
        keys: PEM of the client's private and the wallet's public key (alipay).
        fsize: most bytes a file may have (RLIMIT_FSIZE), as a full disk; None: no limit.
        retry: send again to those who failed.
    """

    kind: str
    url: str
    journal: str
    count: int
    log: str
    result: str
    concurrency: int = 8
    kill_after: float | None = None
    kill_when: str | None = None
    signal: int = 9
    crash: str | None = None
    hurry: float = 600.0
    durability: str = "power"
    keys: tuple[str, str] | None = None
    fsize: int | None = None
    retry: bool = False


def address(kind: str, number: int) -> str:
    """What the ledger calls this recipient."""
    return f"token-{number:06}" if kind == "alipay" else str(1_000_000 + number)


def people(kind: str, count: int) -> list[dict[str, Any]]:
    """The recipients, the same ones every time."""
    if kind == "alipay":
        return [
            {"key": f"u{n}", "access_token": address(kind, n), "who": f"用户{n}"}
            for n in range(count)
        ]
    if kind == "groups":
        return [{"id": address(kind, n), "who": f"area {n // AREA}"} for n in range(count)]
    return [{"id": address(kind, n), "who": f"n{n}"} for n in range(count)]


def expected_groups(kind: str, count: int) -> int:
    """Group sends that the plan has to have."""
    return count // AREA if kind == "groups" else 0


def message(kind: str) -> WeChatMessage | AlipayMessage:
    """The message of this kind of campaign."""
    if kind == "alipay":
        template = ContentTemplate({"who": "{who}"}, "en-US")
        return AlipayMessage("TP_1", [template], redirect_url="/page/x")
    return WeChatMessage(1, {"title": "今日优惠", "desc": "{who}"}, "pages/index/index")


def channel(job: Job, clock: Clock, *, timeout: float = 5.0) -> WeChatPromoter | AlipayMiniProgram:
    """The channel to the sandbox, at no pace but the provider's."""
    pace = Pace(unlimited=True)
    if job.kind == "alipay":
        assert job.keys is not None
        private, public = job.keys
        return AlipayMiniProgram(
            "CLIENT_1",
            "P1",
            private,
            public_key=public,
            base_url=f"{job.url}/api",
            pace=pace,
            timeout=timeout,
            clock=clock,
        )
    return WeChatPromoter(
        "wx1", "s3cret", base_url=job.url, pace=pace, timeout=timeout, clock=clock
    )


async def perform(job: Job) -> dict[str, Any]:
    """Begins the campaign, or goes on with the one that the journal has; its report."""
    clock: Clock = SYSTEM_CLOCK if job.hurry == 1 else HurriedClock(job.hurry)
    listed = people(job.kind, job.count)
    options: dict[str, Any] = {
        "concurrency": job.concurrency,
        "durability": job.durability,
        "poll": PollPolicy(first_after=0.01, every=0.02, give_up_after=1e6),
        "retry": RetryPolicy(),
    }
    async with channel(job, clock) as provider:
        if job.retry:
            campaign = Campaign.retry(
                job.journal, provider, failed=True, recipients=listed, clock=clock, **options
            )
        elif os.path.exists(job.journal):
            campaign = Campaign.resume(
                job.journal, provider, recipients=listed, clock=clock, **options
            )
        else:
            campaign = Campaign(
                provider,
                message(job.kind),
                listed,
                name="chaos",
                journal=job.journal,
                clock=clock,
                **options,
            )
        async with campaign as run:
            await run.wait()
        return run.report.to_dict()


def main(job: Job) -> int:
    """The whole life of a child that nobody kills; its exit status."""
    if job.fsize is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job.fsize, job.fsize))
    try:
        report = asyncio.run(perform(job))
    except KeyboardInterrupt:
        return 130
    report["peak_kib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with open(job.result, "wb") as file:
        file.write(msgspec.json.encode(report))
    return 0
