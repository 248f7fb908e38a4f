"""A fleet's database of a test's own, and workers in it: tasks of the test, or processes to be killed."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from cli_campaigns import ENV
from waiting import until, wait_for

import promomsg
from promomsg.channels.base import Channel
from promomsg.fleet import queue, worker

TESTS = Path(__file__).parents[1]


@contextmanager
def new_fleet(postgres: str) -> Iterator[str]:
    """A database beside `postgres`, with a fleet's tables: its URL."""
    name = f"{psycopg.conninfo.conninfo_to_dict(postgres)['dbname']}_fleet"
    with psycopg.connect(postgres, autocommit=True) as db:
        db.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
        db.execute(f"CREATE DATABASE {name}".encode())
        url = psycopg.conninfo.make_conninfo(postgres, dbname=name)
        yield url
        db.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the workers of this process look for work ten times as often."""
    monkeypatch.setattr(worker, "_LOOKS", 0.2)
    monkeypatch.setattr(worker, "_FIRST_PAUSE", 0.1)
    monkeypatch.setattr(queue, "_POLLS", 0.1)


@asynccontextmanager
async def working(
    fleet: promomsg.Fleet, *channels: Channel, name: str = "one", concurrency: int = 16
) -> AsyncIterator[asyncio.Task[None]]:
    """A worker in this process, for as long as the block runs."""
    task = asyncio.create_task(fleet.work(*channels, name=name, concurrency=concurrency))
    try:
        yield task
    except Exception as error:
        # Before it ends: then nothing waits any more.
        error.add_note(await asyncio.to_thread(_stands, fleet._url, _waiting()))
        raise
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


_STANDS = {
    "workers": "SELECT name, seen_at - extract(epoch FROM clock_timestamp()), doing, trouble FROM worker",
    "jobs": "SELECT task_name, args, status, queueing_lock FROM procrastinate_jobs ORDER BY id",
    "chunks that are not done": "SELECT campaign, count(*), count(deadline),"
    " max(deadline) - extract(epoch FROM clock_timestamp()) FROM chunk WHERE NOT done GROUP BY campaign",
    "counts": "SELECT campaign, state, code, sum(recipients) FROM tally GROUP BY 1, 2, 3 ORDER BY 1, 2",
    "the server is at": "SELECT pid, state, wait_event, pg_blocking_pids(pid), now() - query_start,"
    " left(regexp_replace(query, '\\s+', ' ', 'g'), 100) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()",
}


def _waiting() -> list[str]:
    """What each task of this event loop waits in, from the outermost call to the innermost."""
    found = []
    for task in asyncio.all_tasks():
        calls, call = [], task.get_coro()
        while (frame := getattr(call, "cr_frame", None)) is not None:
            calls.append(f"{frame.f_code.co_qualname}:{frame.f_lineno}")
            call = getattr(call, "cr_await", None)
        found.append(" > ".join(calls))
    return [f"{count} × {calls}" for calls, count in sorted(Counter(found).items())]


def _stands(url: str, waiting: list[str]) -> str:
    """How a fleet stands whose test fails: who waits for what."""
    lines = ["tasks wait in:", *waiting]
    for what, text in _STANDS.items():
        try:
            lines += [f"{what}:", *map(str, rows(url, text))]
        except psycopg.Error as error:
            lines.append(f"it cannot be asked: {error}")
    return "\n  ".join(lines)


def rows(url: str, text: str, *args: Any) -> list[tuple[Any, ...]]:
    """What a statement finds in a fleet's tables."""
    with psycopg.connect(url, autocommit=True, options="-c search_path=promomsg") as db:
        cursor = db.execute(text.encode(), args)
        return cursor.fetchall() if cursor.description else []


def sent(fleet: promomsg.Fleet, name: str) -> int:
    """How many a campaign has sent to by now."""
    with promomsg.open_journal(fleet.journal(name)) as opened:
        return opened.report().sent


async def sent_at_least(fleet: promomsg.Fleet, name: str, count: int) -> None:
    """Waits until so many were sent to."""
    await until(lambda: sent(fleet, name) >= count, seconds=20)


class WorkerProcess:
    """A worker in a process of its own; returns when it is there.

    Args:
        url: of the database.
        provider: the sandbox's URL.
        life: seconds that its leases live, and for which it is alive without being seen.
    """

    def __init__(
        self, url: str, provider: str, *, name: str, life: float = 15.0, concurrency: int = 16
    ) -> None:
        job = {"url": url, "provider": provider, "name": name, "life": life, "calls": concurrency}
        paths = [TESTS.parent, TESTS, TESTS / "integration"]
        self.process = subprocess.Popen(
            [sys.executable, __file__, json.dumps(job)],
            env={
                **ENV,
                "PROMOMSG_STATE": os.environ["PROMOMSG_STATE"],
                "PYTHONPATH": os.pathsep.join(map(str, paths)),
            },
        )
        wait_for(lambda: rows(url, "SELECT 1 FROM worker WHERE name = %s", name), seconds=30)

    def signal(self, number: int) -> None:
        """Stops it, or has it go on."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """Ends it as `kill -9` does; returns when it has ended."""
        self.process.kill()
        self.process.wait()


async def _work(job: dict[str, Any]) -> None:
    from campaigning import wechat

    from promomsg.fleet import worker_table
    from promomsg.journal.postgres.access import CampaignAccess

    CampaignAccess.lease_life = worker_table.ALIVE_FOR = job["life"]  # type: ignore[misc]
    quick_looks(pytest.MonkeyPatch())
    async with wechat(SimpleNamespace(url=job["provider"])) as channel:  # type: ignore[arg-type]
        fleet = promomsg.Fleet(job["url"])
        await fleet.work(channel, name=job["name"], concurrency=job["calls"])


if __name__ == "__main__":
    asyncio.run(_work(json.loads(sys.argv[1])))
