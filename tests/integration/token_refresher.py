"""Processes that want the token of one account at the same moment; a test counts who asks for it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]


class Refresher:
    """A process that says `ready`, waits for a line, and sends one message.

    Args:
        database, name: of a journal of its own.
        provider: the sandbox's URL.
        key: of the fleet.
    """

    def __init__(self, database: str, name: str, provider: str, key: str) -> None:
        paths = [TESTS.parent, TESTS, TESTS / "integration"]
        self._process = subprocess.Popen(
            [sys.executable, __file__, database, name, provider],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PROMOMSG_FLEET_KEY": key,
                "PYTHONPATH": os.pathsep.join(map(str, paths)),
            },
        )

    def ready(self) -> None:
        """Returns once it waits."""
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def go(self) -> None:
        """Has it send."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        """Ends it as `kill -9` does."""
        self._process.kill()
        self._process.communicate()

    def sent(self, seconds: float = 60.0) -> int:
        """How many it has sent, once it has ended."""
        said, _ = self._process.communicate(timeout=seconds)
        assert self._process.returncode == 0
        return int(said)


async def _send(database: str, name: str, provider: str) -> None:
    from campaigning import MESSAGE, QUICK

    from promomsg import Pace, WeChatPromoter, send
    from promomsg.journal.postgres.journal import PostgresJournal

    print("ready", flush=True)
    sys.stdin.readline()
    async with WeChatPromoter(
        "wx1", "s3cret", base_url=provider, pace=Pace(unlimited=True)
    ) as wechat:
        journal = PostgresJournal(database, name)
        report = await send(wechat, MESSAGE, ["1001"], journal=journal, **QUICK)
    print(report.sent)


if __name__ == "__main__":
    asyncio.run(_send(*sys.argv[1:]))
