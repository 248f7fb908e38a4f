"""A sender of a campaign on PostgreSQL, in a process of its own that a test can stop and kill."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]


class Sender:
    """One process that sends a campaign to its end, or until it is killed.

    Args:
        database, name: where the campaign is.
        provider: the sandbox's URL.
        count: how many people a new campaign has; None: one that is there is resumed.
        life: seconds that its leases live.
        pace: of a `Pace`; None: unlimited.
        first: the first promoter id of a new campaign.
        state: a state folder of its own, as another machine has; None: that of this process.
    """

    def __init__(
        self,
        database: str,
        name: str,
        provider: str,
        *,
        count: int | None,
        life: float = 15.0,
        pace: dict[str, Any] | None = None,
        first: int = 500_001,
        state: Path | None = None,
    ) -> None:
        job = {
            "database": database,
            "name": name,
            "provider": provider,
            "count": count,
            "life": life,
            "pace": {"unlimited": True} if pace is None else pace,
            "first": first,
        }
        own = {} if state is None else {"PROMOMSG_STATE": str(state)}
        paths = [TESTS.parent, TESTS, TESTS / "integration"]
        self._process = subprocess.Popen(
            [sys.executable, __file__, json.dumps(job)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **own, "PYTHONPATH": os.pathsep.join(map(str, paths))},
        )

    def signal(self, number: int) -> None:
        """Stops it, has it go on, or kills it."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """Ends it as `kill -9` does; returns when it has ended."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def report(self, seconds: float = 60.0) -> dict[str, Any]:
        """Its report, once it has ended by itself."""
        said, _ = self._process.communicate(timeout=seconds)
        assert self._process.returncode == 0, said
        report: dict[str, Any] = json.loads(said.splitlines()[-1])
        return report


async def _send(job: dict[str, Any]) -> None:
    from campaigning import MESSAGE, QUICK, ids

    from promomsg import Campaign, Pace, WeChatPromoter
    from promomsg.engine.prepare import routing
    from promomsg.journal.postgres.access import CampaignAccess
    from promomsg.journal.postgres.journal import PostgresJournal

    CampaignAccess.lease_life = job["life"]
    routing._SMALLEST_CHUNK = 64  # several chunks for a few hundred people
    journal = PostgresJournal(job["database"], job["name"])
    promoter = WeChatPromoter(
        "wx0001", secret="s3cret", base_url=job["provider"], pace=Pace(**job["pace"])
    )
    async with promoter:
        if job["count"] is None:
            campaign = Campaign.resume(journal, promoter)
        else:
            people = ids(job["count"], job["first"])
            campaign = Campaign(
                promoter,
                MESSAGE,
                people,
                journal=journal,
                route="single",
                concurrency=16,
                **QUICK,
            )
        async with campaign as run:
            report = await run.wait()
    print(json.dumps(report.to_dict()), flush=True)


if __name__ == "__main__":
    asyncio.run(_send(json.loads(sys.argv[1])))
