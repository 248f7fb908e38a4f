"""A campaign to a wallet's users: each has a token, each request is signed, each answer verified."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.certificates import WALLET_CLIENT
from benchmarks.child import Laps
from benchmarks.contenders.promomsg_setup import journal
from benchmarks.contenders.sent_message import check
from benchmarks.job import Job
from benchmarks.machine import read_clocks
from promomsg.alipay.message import AlipayMessage
from promomsg.alipay.models import ContentTemplate
from promomsg.channels.alipay import AlipayMiniProgram
from promomsg.engine.campaign import Campaign
from promomsg.model import Recipient
from promomsg.transport.pace import Pace

_MESSAGE = AlipayMessage(
    "TP_1", [ContentTemplate({"who": "{who|客官}"}, "en-US")], redirect_url="/page/x"
)


class _FreeKey:
    """A key whose signatures cost nothing, and are none."""

    def sign(self, content: bytes, padding: Any, algorithm: Any) -> bytes:
        return _NO_SIGNATURE


_NO_SIGNATURE = bytes(range(256))


def users(count: int) -> Iterator[Recipient]:
    """People with a key, a token of their own and a name; each text is another one."""
    for number in range(count):
        name = f"客官{number}"
        yield Recipient(f"C{number:08d}", access_token=f"{number:032d}", params={"who": name})


async def run(job: Job) -> Laps:
    """Sends with the keys in `keys`, or, with `signed` 0, without signing and verifying."""
    folder, signed = Path(job.options["keys"]), bool(job.options["signed"])
    free = mock.patch("promomsg.alipay.signing.load_private_key", return_value=_FreeKey())
    with nullcontext() if signed else free:
        wallet = AlipayMiniProgram(
            WALLET_CLIENT,
            "P1",
            (folder / "app.pem").read_bytes(),
            public_key=(folder / "wallet.pem").read_bytes(),
            verify=signed,
            base_url=f"{job.base_url}/wallet",
            pace=Pace(unlimited=True),
        )
    async with wallet:
        begin = read_clocks()
        campaign = Campaign(
            wallet,
            _MESSAGE,
            users(job.messages),
            concurrency=job.concurrency,
            **journal("power", job.folder),
        )
        async with campaign as run:
            planned = read_clocks()
            await run.wait()
            settled = read_clocks()
    check(campaign.report.sent, job.messages)
    return {"plan": planned.since(begin), "sending": settled.since(planned)}
