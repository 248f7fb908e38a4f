"""What the fault matrix and the hostile tests share: quick campaigns, and what must hold of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from campaigning import add_up
from chaos.child_campaign import message
from chaos.hurried_clock import HurriedClock
from chaos.trial import keys

from promomsg import (
    AlipayMiniProgram,
    Campaign,
    Pace,
    PollPolicy,
    Report,
    RetryPolicy,
    State,
    WeChatPromoter,
)
from promomsg.journal.sqlite.journal import JournalReader
from promomsg.sandbox import Sandbox

__all__ = [
    "APPSECRET",
    "GROUP",
    "check",
    "client",
    "keys",
    "members",
    "message",
    "resumed",
    "sent",
    "singles",
    "wallet_users",
]

APPSECRET = "appsecret-0f1e2d3c4b5a"
GROUP = 60
_OPTIONS: dict[str, Any] = {
    "concurrency": 2,
    "poll": PollPolicy(first_after=0.01, every=0.02, give_up_after=3000.0),
    "retry": RetryPolicy(first_pause=0.005, longest_pause=0.02),
}


def client(box: Sandbox, kind: str, **changes: Any) -> Any:
    """A channel to the sandbox whose long waits pass quickly."""
    given = {"pace": Pace(unlimited=True), "clock": HurriedClock(), "timeout": 3.0, **changes}
    if kind == "alipay":
        wallet = {
            "client_id": "CLIENT_1",
            "app_id": "P1",
            "private_key": keys().private_pem,
            "public_key": box.alipay_public_key,
            "base_url": f"{box.url}/api",
        }
        return AlipayMiniProgram(**{**wallet, **given})
    return WeChatPromoter("wx1", APPSECRET, base_url=box.url, **given)


def singles(count: int = 6) -> list[dict[str, Any]]:
    """Recipients of single sends."""
    return [{"id": str(200 + n), "who": f"n{n}"} for n in range(count)]


def members(groups: int = 2) -> list[dict[str, Any]]:
    """Recipients of group sends."""
    return [{"id": str(1000 + n), "who": f"area {n // GROUP}"} for n in range(groups * GROUP)]


def wallet_users(count: int = 6) -> list[dict[str, Any]]:
    """Recipients with user tokens; the key is the token's, so that the ledger can be asked."""
    return [
        {"key": f"u{n}", "access_token": f"usertoken-{n:04}", "who": f"n{n}"} for n in range(count)
    ]


async def sent(
    box: Sandbox, kind: str, recipients: Any, path: Path, *, timeout: float = 3.0, **options: Any
) -> Report:
    """One campaign, as far as it goes."""
    async with client(box, kind, timeout=timeout) as channel:
        campaign = Campaign(
            channel,
            message(kind),
            recipients,
            journal=path,
            clock=HurriedClock(),
            **{**_OPTIONS, **options},
        )
        async with campaign as run:
            await run.wait()
        return run.report


async def resumed(box: Sandbox, kind: str, recipients: Any, path: Path) -> Report:
    """The same campaign gone on with, by a new client."""
    async with client(box, kind) as channel:
        campaign = Campaign.resume(path, channel, recipients=recipients, clock=HurriedClock())
        async with campaign as run:
            await run.wait()
        return run.report


def check(box: Sandbox, report: Report, path: Path) -> Counter[State]:
    """Report and journal agree, the sums are conserved, and both are honest about the ledger."""
    document = report.to_dict()
    add_up(document)
    with JournalReader(path) as reader:
        counts = reader.counts()
        rows = list(reader.rows())
    for name in ("planned", "sent", "failed", "unknown", "skipped", "cancelled", "pending"):
        assert getattr(counts, name) == document[name]
    assert counts.by_code == document["by_code"]
    assert len(rows) == counts.planned
    out = {g.msg_id for g in report.groups if g.msg_id is not None}
    for row in rows:
        who = row.recipient
        name = f"usertoken-{int(who.key[1:]):04}" if (who.key or "").startswith("u") else who.id
        count = box.ledger.deliveries(name or "")
        assert count <= 1, f"{row} was delivered {count} times"
        if row.state is State.SENT:
            assert count == 1, row
        elif row.state is not State.UNKNOWN and row.group not in out:
            assert count == 0, row
    return Counter(row.state for row in rows)
