"""The table of workers: who is there, what they do, and what they cannot do. Times are the server's."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec
import psycopg

from promomsg.journal.postgres.database import Connection

__all__ = [
    "ALIVE_FOR",
    "Doing",
    "FleetWorker",
    "Trouble",
    "beat",
    "drain",
    "read_workers",
    "read_workers_now",
    "register",
    "remove",
    "remove_gone",
]

ALIVE_FOR: Final = 15.0
"""Seconds after which a worker that does not say that it is there counts as gone: the life of a lease."""
_FRESH_FOR: Final = 5.0
"""Seconds after which it is given no more work: it may have been killed, or cannot reach the database."""

_NOW: Final = "extract(epoch FROM clock_timestamp())::float8"


class Doing(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a worker is at.

    Attributes:
        task: `"shift"` (it sends), `"poll"` (it looks at group sends), or another of its `tasks`.
        campaign: the number of the campaign; `name`: its name in the database.
    """

    task: str
    campaign: int
    name: str = ""


class Trouble(msgspec.Struct, frozen=True):
    """What a worker cannot do.

    Attributes:
        campaign: the number of the campaign; `name`: its name in the database.
        task: which task of it; None: any that needs its account.
        text: why, and how to mend it: one line.
        keeps_off: it does not try at this moment.
    """

    campaign: int
    name: str
    text: str
    task: str | None = None
    keeps_off: bool = True


class FleetWorker(msgspec.Struct, frozen=True):
    """A worker of a fleet, as it last said of itself.

    Attributes:
        name: `host:process`, as in `FleetCampaign.senders`.
        started_at, seen_at: Unix seconds, by the server's clock.
        alive: it was seen within the last 15 seconds.
        answers: it was seen within the last 5: it is given work.
        draining: it takes no more work and is about to end, since it was asked to.
        concurrency: calls at once, of each campaign.
        version: of its promomsg.
        tasks: what it knows how to do.
        doing: what it is at.
        trouble: what it cannot do, and why.
    """

    name: str
    started_at: float
    seen_at: float
    alive: bool
    answers: bool
    draining: bool
    concurrency: int
    version: str
    tasks: tuple[str, ...]
    doing: tuple[Doing, ...]
    trouble: tuple[Trouble, ...]

    @property
    def takes_work(self) -> bool:
        """Whether it does new work, as far as is known."""
        return self.alive and not self.draining

    def is_able(self, task: str, campaign: int, *, needs_account: bool = True) -> bool:
        """Whether it can do a task of a campaign, as far as it knows."""
        return task in self.tasks and not any(
            one.campaign == campaign
            and one.keeps_off
            and (one.task == task or (one.task is None and needs_account))
            for one in self.trouble
        )


_WORKERS: Final = f"""
SELECT name, started_at, seen_at, seen_at > {_NOW} - %s, seen_at > {_NOW} - %s, draining, concurrency,
       version, tasks, doing, trouble
FROM worker ORDER BY name
""".encode()
_NAMES: Final = b"""
SELECT campaign, journal FROM campaign WHERE campaign IN (
    SELECT (one->>'campaign')::bigint FROM worker, jsonb_array_elements(doing) AS one)
"""
# A name that a worker at work has is not taken over.
_REGISTER: Final = f"""
INSERT INTO worker (name, concurrency, version, tasks) VALUES (%s, %s, %s, %s)
ON CONFLICT (name) DO UPDATE SET
    started_at = excluded.started_at, seen_at = excluded.seen_at, concurrency = excluded.concurrency,
    draining = false, version = excluded.version, tasks = excluded.tasks, doing = '[]', trouble = '[]'
WHERE worker.seen_at <= {_NOW} - %s
RETURNING name, started_at
""".encode()
_BEAT: Final = f"""
UPDATE worker SET seen_at = {_NOW}, doing = %s::jsonb, trouble = %s::jsonb,
    draining = draining OR %s
WHERE name = %s AND started_at = %s
RETURNING draining
""".encode()
_REMOVE: Final = b"DELETE FROM worker WHERE name = %s AND started_at = %s"
_REMOVE_GONE: Final = f"DELETE FROM worker WHERE seen_at <= {_NOW} - %s RETURNING name".encode()
_DRAIN: Final = (
    b"UPDATE worker SET draining = true WHERE name = ANY(%s::text[]) OR cardinality(%s::text[]) = 0"
)

_encode = msgspec.json.Encoder().encode


async def register(
    db: Connection, name: str, *, concurrency: int, version: str, tasks: Collection[str]
) -> tuple[str, float]:
    """Makes the row of a worker that begins. A name that another one at work has gets a number.

    Returns:
        The name, and the server's time: the row is this worker's as long as it has both.
    """
    number = 1
    while True:
        tried = name if number == 1 else f"{name}-{number}"
        args = (tried, concurrency, version, sorted(tasks), ALIVE_FOR)
        row = await (await db.execute(_REGISTER, args)).fetchone()
        if row is not None:
            return str(row[0]), float(row[1])
        number += 1


async def beat(
    db: Connection,
    row_of: tuple[str, float],
    doing: Sequence[Doing],
    trouble: Sequence[Trouble],
    *,
    ending: bool,
) -> bool | None:
    """Says that a worker is there. Returns whether it is asked to end; None: its row is gone, or
    somebody else's by now.

    Args:
        row_of: as `register` returned it.
        ending: it takes no more work.
    """
    args = (_encode(doing).decode(), _encode(trouble).decode(), ending, *row_of)
    row = await (await db.execute(_BEAT, args)).fetchone()
    return None if row is None else bool(row[0])


async def remove(db: Connection, row_of: tuple[str, float]) -> None:
    """Removes the row of a worker that ends."""
    await db.execute(_REMOVE, row_of)


async def remove_gone(db: Connection, seconds: float) -> list[str]:
    """Removes the rows of workers that were not seen for so many seconds; returns their names."""
    cursor = await db.execute(_REMOVE_GONE, (seconds,))
    return [name for (name,) in await cursor.fetchall()]


async def drain(db: Connection, names: Sequence[str]) -> None:
    """Asks workers to take no more work and to end; without names, all that there are."""
    await db.execute(_DRAIN, (list(names), list(names)))


async def read_workers(db: Connection) -> list[FleetWorker]:
    """All that have a row, by name."""
    return [
        _worker(row)
        for row in await (await db.execute(_WORKERS, (ALIVE_FOR, _FRESH_FOR))).fetchall()
    ]


def read_workers_now(db: psycopg.Connection[tuple[Any, ...]]) -> list[FleetWorker]:
    """The same by a plain call, with the names of the campaigns that they are at."""
    names = dict(db.execute(_NAMES).fetchall())
    found = [_worker(row) for row in db.execute(_WORKERS, (ALIVE_FOR, _FRESH_FOR)).fetchall()]
    return [
        msgspec.structs.replace(
            worker,
            doing=tuple(
                msgspec.structs.replace(one, name=names.get(one.campaign, ""))
                for one in worker.doing
            ),
        )
        for worker in found
    ]


def _worker(row: tuple[Any, ...]) -> FleetWorker:
    return msgspec.convert(dict(zip(FleetWorker.__struct_fields__, row, strict=True)), FleetWorker)
