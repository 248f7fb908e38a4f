"""A process with many campaigns on one client: `python crowd_process.py URL FOLDER CAMPAIGNS EACH`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from promomsg import Campaign, Pace, WeChatMessage, WeChatPromoter

__all__ = ["main"]


async def main(url: str, folder: Path, campaigns: int, each: int) -> None:
    """Sends all of them, one journal each."""
    message = WeChatMessage(1, {"title": "今日优惠"}, "pages/index/index")

    async def run(client: WeChatPromoter, number: int) -> None:
        people = [str(1_000_000 * (number + 1) + n) for n in range(each)]
        journal = folder / f"{number}.db"
        async with Campaign(client, message, people, journal=journal, route="single") as running:
            await running.wait()

    async with WeChatPromoter("wx1", "s3cret", base_url=url, pace=Pace(unlimited=True)) as client:
        await asyncio.gather(*(run(client, number) for number in range(campaigns)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
