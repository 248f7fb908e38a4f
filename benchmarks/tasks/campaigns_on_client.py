"""Several campaigns in one process, on one client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.contenders.promomsg_setup import message
from promomsg.channels.wechat import WeChatPromoter
from promomsg.engine.campaign import Campaign
from promomsg.model import Recipient

__all__ = ["planned_campaigns"]


def _people(campaign: int, count: int) -> Iterator[Recipient]:
    return (Recipient(openid=f"oBench{campaign:06d}{number:016d}") for number in range(count))


async def planned_campaigns(
    wechat: WeChatPromoter, sizes: list[int], folder: str
) -> list[Campaign]:
    """One campaign of each size, planned, with a journal of its own (`0.db`, `1.db`, …)."""
    campaigns = [
        Campaign(wechat, message(), _people(number, size), journal=Path(folder) / f"{number}.db")
        for number, size in enumerate(sizes)
    ]
    for campaign in campaigns:
        await campaign.plan()
    return campaigns
