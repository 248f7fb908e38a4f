"""Rows, records and results for the journal's tests."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Collection, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import psycopg
from journal_model import ModelJournal

from promomsg.errors import JournalError
from promomsg.journal.contract import Handle, Journal
from promomsg.journal.postgres.journal import PostgresJournal
from promomsg.journal.records import UNIQUE, CampaignRecord, Counts, Lease, PlannedRow, SendResult
from promomsg.journal.sqlite.journal import SqliteJournal
from promomsg.journal.sqlite.memory import MemoryJournal
from promomsg.model import Outcome, State

NOW = 1_700_000_000.0
DAY = "2023-11-15"


class LeaseClock:
    """The journals' own clock, by which leases live; it moves only when a test says so."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """A test begins: it is NOW."""
        self._now = NOW
        self._databases: set[str] = set()

    def followed_by(self, database: str) -> None:
        """Has the leases of a PostgreSQL database, which has a clock of its own, follow this one: they
        run out earlier by as much as it moves."""
        self._databases.add(database)

    @property
    def now(self) -> float:
        return self._now

    @now.setter
    def now(self, now: float) -> None:
        moved, self._now = now - self._now, now
        for database in self._databases if moved else ():
            with psycopg.connect(database, autocommit=True) as db:
                db.execute("UPDATE promomsg.chunk SET deadline = deadline - %s", (moved,))

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("a journal does not wait")


CLOCK = LeaseClock()
"""Of every journal that is made here; a test begins at NOW."""


def record(**changes: Any) -> CampaignRecord:
    fields: dict[str, Any] = {
        "name": "autumn",
        "channel": "wechat",
        "account": "wx0123456789",
        "run_id": "0" * 32,
        "message": {"content": {"title": "今日优惠活动"}},
        "settings": {"concurrency": 64},
        "created_at": NOW,
    }
    return CampaignRecord(**{**fields, **changes})


def row(seq: int, key: str | None = None, **changes: Any) -> PlannedRow:
    """A pending row with an id, and with `word` a message of its own."""
    word = changes.pop("word", None)
    fields: dict[str, Any] = {
        "seq": seq,
        "key": key if key is not None else f"k{seq}",
        "id": str(1000 + seq),
        "openid": None,
        "unionid": None,
        "fingerprint": None,
        "request_id": None,
        "values": None if word is None else json.dumps([word]),
        "message_digest": None if word is None else blake2b(word.encode(), digest_size=16).digest(),
        "state": "pending",
        "code": "",
        "detail": "",
        "cohort": 0,
    }
    return PlannedRow(**{**fields, **changes})


def bad_row(seq: int, code: str = "BAD_ADDRESS") -> PlannedRow:
    return row(seq, id="1.0", state="failed", code=code, detail="row 7: not an id")


def result(seq: int, state: str = "sent", **changes: Any) -> SendResult:
    fields: dict[str, Any] = {
        "seq": seq,
        "state": state,
        "code": "",
        "detail": "",
        "rid": None,
        "at": NOW + 2,
        "maybe_sent": False,
        "extra": None,
    }
    return SendResult(**{**fields, **changes})


async def sealed(
    journal: Journal,
    rows: Sequence[PlannedRow],
    *,
    chunk_size: int = 8,
    groups: Sequence[int] = (),
    channel: str = "wechat",
) -> Handle:
    """A complete plan of these rows; `groups` are the sizes of groups of the plain message."""
    handle = await journal.create(record(channel=channel))
    await handle.add_rows(rows)
    if groups:
        await handle.make_groups(None, groups)
    await handle.seal(record(channel=channel, planned_at=NOW), chunk_size=chunk_size)
    return handle


async def pass_time(handle: Handle, seconds: float) -> None:
    """The journal's clock goes on by so much; no lease is renewed meanwhile."""
    CLOCK.now += seconds


async def take(
    handle: Handle, *, groups: bool = False, at: float = NOW, idempotent: bool = False
) -> Lease:
    """The next lease at that moment, or now when that is past."""
    await pass_time(handle, max(at - CLOCK.now, 0.0))
    lease = await handle.take(groups=groups, singles=not groups, idempotent=idempotent)
    assert lease is not None
    return lease


async def nothing_to_take(handle: Handle, at: float = NOW) -> bool:
    """Whether there is neither a group nor a chunk to take at that moment, or now."""
    await pass_time(handle, max(at - CLOCK.now, 0.0))
    return await handle.take(groups=True, singles=True, idempotent=False) is None


async def suppress(
    handle: Handle,
    values: Sequence[str],
    columns: Collection[str] = UNIQUE,
    *,
    secret: bool = False,
) -> int:
    """Gives a suppression list to a plan in the making, and leaves out who is on it."""
    await handle.list_suppressed(values, first=True, secret=secret)
    return await handle.suppress(columns)


async def suppress_pending(
    handle: Handle,
    values: Sequence[str],
    columns: Collection[str] = UNIQUE,
    *,
    smallest_group: int,
    at: float,
) -> int:
    """The same for a plan that is complete."""
    await handle.list_suppressed(values, first=True)
    return await handle.suppress_pending(columns, smallest_group=smallest_group, at=at)


async def everybody(handle: Handle) -> list[Outcome]:
    return [outcome async for page in handle.rows() for outcome in page]


async def states(handle: Handle) -> str:
    """A letter a row: p(ending), i(ntended), s(ent), f(ailed), u(nknown), S(kipped), C(ancelled)."""
    letters = {State.SKIPPED: "S", State.CANCELLED: "C"}
    return "".join(
        letters.get(outcome.state, outcome.state.value[0]) for outcome in await everybody(handle)
    )


async def stream(handle: Handle, limit: int = 3) -> list[Outcome]:
    """All outcomes so far, a few at a time."""
    found: list[Outcome] = []
    cursor = (-1, 0)
    while True:
        page, cursor = await handle.outcomes(after=cursor, limit=limit)
        if not page:
            return found
        found += page


def adds_up(counts: Counts) -> bool:
    reasoned = counts.failed + counts.unknown + counts.skipped + counts.cancelled
    return (
        counts.planned == counts.sent + counts.pending + reasoned
        and sum(counts.by_code.values()) == reasoned
    )


async def has_campaign(journal: Journal) -> bool:
    """Whether there is a campaign with a complete plan in it."""
    try:
        handle = await journal.open()
    except JournalError:
        return False
    await handle.close()
    return True


Make = Callable[[], Journal]
"""Makes a new, empty journal with each call."""


def maker(kind: str, folder: Path, database: str = "") -> Make:
    """Journals of one kind; each call is a new, empty one. `database`: the URL of PostgreSQL's."""
    count = 0

    def make() -> Journal:
        nonlocal count
        count += 1
        if kind == "model":
            return ModelJournal(CLOCK)
        if kind == "memory":
            return MemoryJournal(clock=CLOCK)
        if kind == "postgres":
            CLOCK.followed_by(database)
            return PostgresJournal(database, secrets.token_hex(8))
        return SqliteJournal(folder / f"{count}.db", durability="process", clock=CLOCK)

    return make


def beside(journal: SqliteJournal) -> list[str]:
    """Names of the journal's files."""
    path = Path(journal.path)
    return sorted(p.name for p in path.parent.iterdir() if p.name.startswith(path.name))
