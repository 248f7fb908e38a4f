"""A process that sends one campaign with a cap: `CappedSender` starts it.

python capped_sender.py JSON
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from promomsg import Pace, PollPolicy, WeChatMessage, WeChatPromoter, send
from promomsg.journal.contract import Journal
from promomsg.journal.postgres.journal import PostgresJournal
from promomsg.journal.sqlite.journal import SqliteJournal

__all__ = ["CappedSender"]


class CappedSender:
    """A process that sends a campaign to people from id 1000 on.

    Args:
        place: the folder of its journal, or the URL of a database.
        crash_at: the crash point at which it is killed.
    """

    def __init__(
        self, place: Path | str, name: str, url: str, count: int, cap: str, crash_at: str = ""
    ) -> None:
        job = {"place": str(place), "file": isinstance(place, Path), "name": name, "url": url}
        self._process = subprocess.Popen(
            [sys.executable, __file__, json.dumps({**job, "count": count, "cap": cap})],
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": str(Path(__file__).parents[2]),
                "PROMOMSG_CRASH_AT": crash_at,
            },
        )

    def report(self) -> dict[str, Any] | None:
        """The counts of its report, once it has ended; None: it was killed."""
        out, _ = self._process.communicate(timeout=60)
        return json.loads(out) if self._process.returncode == 0 else None


async def _send(job: dict[str, Any]) -> None:
    where, name = job["place"], job["name"]
    journal: Journal
    if job["file"]:
        journal = SqliteJournal(Path(where) / f"{name}.db", durability="process")
    else:
        journal = PostgresJournal(where, name)
    message = WeChatMessage(1, {"title": "优惠", "desc": "三件五折"}, "pages/index/index")
    async with WeChatPromoter(
        "wx0001", "s3cret", base_url=job["url"], pace=Pace(unlimited=True)
    ) as wechat:
        report = await send(
            wechat,
            message,
            [str(1000 + n) for n in range(job["count"])],
            journal=journal,
            max_per_person=job["cap"],
            poll=PollPolicy(first_after=0.01, every=0.02),
        )
    print(json.dumps(report.to_dict()))


if __name__ == "__main__":
    asyncio.run(_send(json.loads(sys.argv[1])))
