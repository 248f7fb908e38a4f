"""Reading a SQLite journal, while its sender runs and after: short reads, never a lock that bars it."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote

import msgspec

from promomsg.errors import JournalError
from promomsg.journal.records import CampaignRecord, Control, GroupRow, Tally
from promomsg.journal.tally import CODE_OF, STATES, Counts
from promomsg.journal.writer import explain
from promomsg.model import Outcome, Recipient, State

__all__ = [
    "APPLICATION_ID",
    "GROUP_COLUMNS",
    "VERSION",
    "JournalReader",
    "check_version",
    "connect",
    "counts",
    "group_row",
    "groups",
    "outcomes",
    "outcomes_end",
    "page",
    "record",
    "today",
    "untouched",
]

APPLICATION_ID: Final = 1347571533
VERSION: Final = 1
_PAGE: Final = 1_000

T = TypeVar("T")

_json = msgspec.json.Decoder().decode
_seqs = msgspec.json.Decoder(list[int]).decode

_Row = tuple[
    int, int, str, str | None, str | None, str | None, str | None,
    str, str, str | None, int, str | int | None, float | None, str | None,
]  # fmt: skip
_rows = msgspec.json.Decoder(list[_Row]).decode

# One JSON text a page: the GIL changes hands once, not for every row.
_AS_JSON: Final = (
    "json_group_array(json_array(r.seq, r.state, r.key, r.id, r.openid, r.unionid, r.request_id,"
    " r.code, r.detail, r.rid, r.attempts, r.grp, r.at, r.extra))"
)


def connect(path: str, *, mode: str, immutable: bool = False) -> sqlite3.Connection:
    """A connection in autocommit mode. `mode` is `rw` or `ro`: the file is never made by it."""
    # By bytes: a name may be none in UTF-8.
    uri = f"file:{quote(os.fsencode(path))}?mode={mode}{'&immutable=1' if immutable else ''}"
    db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=10.0)
    try:
        db.execute("PRAGMA cache_size = -4000")
        db.execute("PRAGMA temp_store = FILE")
    except sqlite3.Error:
        db.close()
        raise
    return db


def check_version(db: sqlite3.Connection, path: str) -> None:
    """Raises JournalError unless this is a journal of this version."""
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise JournalError(f"{path}: it is not a promomsg journal; give another path")
    if version != VERSION:
        raise JournalError(
            f"{path}: it is a journal of version {version}, and this promomsg reads version "
            f"{VERSION}; open it with the promomsg that made it"
        )


def record(db: sqlite3.Connection) -> CampaignRecord:
    """The campaign's row."""
    row = db.execute(
        "SELECT name, channel, account, run_id, message, settings, source, campaign_file,"
        " created_at, planned_at, warnings, halted FROM campaign"
    ).fetchone()
    return CampaignRecord(
        name=row[0],
        channel=row[1],
        account=row[2],
        run_id=row[3],
        message=_json(row[4]),
        settings=_json(row[5]),
        source=_json(row[6]),
        campaign_file=row[7],
        created_at=row[8],
        planned_at=row[9],
        warnings=_json(row[10]),
        halted=row[11],
    )


def counts(db: sqlite3.Connection) -> Counts:
    """Counts everything once: one scan, and the index of what was not sent."""
    found = Counts()
    rest = db.execute(
        "SELECT state, code, count(*) FROM recipient WHERE state > 2 GROUP BY state, code"
    ).fetchall()
    found.fill(rest)
    total, sent = db.execute("SELECT count(*), total(state = 2) FROM recipient").fetchone()
    found.add(State.SENT, "", int(sent))
    found.add(State.PENDING, "", total - int(sent) - sum(row[2] for row in rest))
    for code, *people in db.execute(
        "SELECT code, n_pending, n_sent, n_failed, n_unknown, n_cancelled FROM grp"
        " WHERE audience IS NOT NULL"
    ):
        for state, number in zip(_AUDIENCE_STATES, people, strict=True):
            found.add(state, code, number)
    return found


def untouched(db: sqlite3.Connection) -> bool:
    """Whether nobody was sent to or is in doubt; see `Handle.untouched`."""
    (touched,) = db.execute(
        "SELECT EXISTS (SELECT 1 FROM recipient WHERE state IN (1, 2, 4) OR doubt = 1)"
        " OR EXISTS (SELECT 1 FROM history WHERE state = 4)"
        " OR EXISTS (SELECT 1 FROM grp WHERE state NOT IN ('planned', 'refused', 'cancelled'))"
    ).fetchone()
    return not touched


_AUDIENCE_STATES: Final = (
    State.PENDING,
    State.SENT,
    State.FAILED,
    State.UNKNOWN,
    State.CANCELLED,
)

GROUP_COLUMNS: Final = (
    "no, state, planned, vals, audience, msg_id, percent, send_cnt, fail_cnt, attempts, sent_at,"
    " next_poll_at, polls, code, detail, rid"
)
_GROUP_NAMES: Final = tuple(
    {"vals": "values"}.get(name, name) for name in GROUP_COLUMNS.split(", ")
)


def group_row(row: tuple[Any, ...]) -> GroupRow:
    """A row of GROUP_COLUMNS."""
    values = dict(zip(_GROUP_NAMES, row, strict=True))
    values["values"] = _json(values["values"]) if values["values"] else ()
    values["audience"] = _json(values["audience"]) if values["audience"] else None
    return msgspec.convert(values, GroupRow)


def groups(db: sqlite3.Connection, due: float | None = None) -> list[GroupRow]:
    """Every group, or the accepted ones whose next poll has come."""
    where, args = "", tuple[float, ...]()
    if due is not None:
        where, args = "WHERE state = 'accepted' AND next_poll_at <= ?", (due,)
    return [
        group_row(row)
        for row in db.execute(f"SELECT {GROUP_COLUMNS} FROM grp {where} ORDER BY no", args)
    ]


def today(db: sqlite3.Connection) -> tuple[str, int]:
    """The China-time day of the last intents, and how many singles it had."""
    row = db.execute(
        "SELECT day, today FROM log WHERE today IS NOT NULL ORDER BY n DESC LIMIT 1"
    ).fetchone()
    return row or ("", 0)


def _decode(db: sqlite3.Connection, text: str) -> list[Outcome]:
    rows = _rows(text)
    names: dict[Any, str] = {}
    found = []
    for (
        _, state, key, id, openid, unionid, request_id, code, detail, rid, attempts, grp, at, extra,
    ) in rows:  # fmt: skip
        group = None
        if grp is not None:
            group = names.get(grp)
            if group is None:
                (msg_id,) = db.execute("SELECT msg_id FROM grp WHERE no = ?", (grp,)).fetchone()
                group = names[grp] = msg_id or str(grp)
        who = Recipient(key=key, id=id, openid=openid, unionid=unionid, request_id=request_id)
        found.append(Outcome(who, STATES[state], code, detail, rid, attempts, group, at, extra))
    return found


def page(
    db: sqlite3.Connection, after: int, states: Iterable[int] | None, limit: int = _PAGE
) -> tuple[list[Outcome], int]:
    """Rows behind `after`, in order of seq, and the last one's seq; none left: an empty list."""
    wanted = ""
    if states is not None:
        wanted = f" AND state IN ({', '.join(map(str, sorted(states)))})"
    text, last = db.execute(
        f"SELECT {_AS_JSON}, max(seq) FROM"
        f" (SELECT * FROM recipient WHERE seq > ?{wanted} ORDER BY seq LIMIT ?) AS r",
        (after, limit),
    ).fetchone()
    return _decode(db, text), after if last is None else last


def outcomes(
    db: sqlite3.Connection, after: tuple[int, int], limit: int
) -> tuple[list[Outcome], tuple[int, int]]:
    """See `Handle.outcomes`. The cursor is (-1, seq) in what planning left, then (log.n, index)."""
    n, index = after
    if n < 0:
        text, last, count = db.execute(
            f"SELECT {_AS_JSON}, max(seq), count(*) FROM (SELECT * FROM recipient"
            " WHERE seq >= ? AND state IN (3, 5) AND at IS NULL ORDER BY seq LIMIT ?) AS r",
            (index, limit),
        ).fetchone()
        if count:
            return _decode(db, text), (-1, last + 1)
        n, index = 0, 0
    while True:
        wanted: list[int] = []
        # One by one: an entry may name one row or thousands.
        entries = db.execute(
            "SELECT n, final FROM log WHERE n >= ? AND final IS NOT NULL ORDER BY n LIMIT ?",
            (n, limit + 1),
        )
        start = (n, index)
        for number, text in entries:
            seqs = _seqs(text)
            seqs = seqs[index if number == n else 0 :][: limit - len(wanted)]
            wanted += _still(db, number, seqs)
            index = (index if number == n else 0) + len(seqs)
            n = number
            if len(wanted) >= limit:
                entries.close()
                break
        found = _by_seq(db, wanted)
        if found or (n, index) == start:
            return found, (n, index)


def _still(db: sqlite3.Connection, n: int, seqs: list[int]) -> list[int]:
    """Without those that the user's word took back after log row `n`."""
    if not seqs or db.execute("SELECT 1 FROM history LIMIT 1").fetchone() is None:
        return seqs
    (text,) = db.execute(
        "SELECT json_group_array(DISTINCT seq) FROM history WHERE upto >= ?"
        " AND seq IN (SELECT value FROM json_each(?))",
        (n, msgspec.json.encode(seqs).decode()),
    ).fetchone()
    back = frozenset(_seqs(text))
    return [seq for seq in seqs if seq not in back]


def _by_seq(db: sqlite3.Connection, seqs: list[int]) -> list[Outcome]:
    if not seqs:
        return []
    (text,) = db.execute(
        f"SELECT {_AS_JSON} FROM (SELECT recipient.* FROM json_each(?) AS j"
        " CROSS JOIN recipient ON recipient.seq = j.value WHERE state > 1 ORDER BY j.id) AS r",
        (msgspec.json.encode(seqs).decode(),),
    ).fetchone()
    return _decode(db, text)


def outcomes_end(db: sqlite3.Connection) -> tuple[int, int]:
    """The cursor behind everything that is final now."""
    row = db.execute(
        "SELECT n, json_array_length(final) FROM log WHERE final IS NOT NULL"
        " ORDER BY n DESC LIMIT 1"
    ).fetchone()
    return (row[0], row[1]) if row else (0, 0)


class JournalReader:
    """A journal as a reader sees it, without an event loop; any thread may use it.

    It sees what is committed, while a sender runs and after. Each call, and each page of an
    iteration, is one short read, so a sender is never held up.

    Raises:
        JournalError: there is no journal, it is another version's, or it cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.path.realpath(path)
        self._lock = threading.Lock()
        if not os.path.isfile(self.path):
            raise JournalError(f"{os.fspath(path)}: there is no journal; check the path")
        self._db = self._open()

    def _open(self) -> sqlite3.Connection:
        # A connection that may write removes the -wal and -shm files when it is the last one, so
        # a look at a finished journal leaves nothing behind; without the right to write, without.
        tries: list[tuple[str, bool]] = [("rw", False), ("ro", False)]
        if not os.path.exists(f"{self.path}-wal"):
            tries.append(("ro", True))
        failure: sqlite3.Error | None = None
        for mode, immutable in tries:
            db: sqlite3.Connection | None = None
            try:
                db = connect(self.path, mode=mode, immutable=immutable)
                check_version(db, self.path)
                db.execute("PRAGMA query_only = ON")
                db.execute("SELECT name FROM campaign").fetchone()
                return db
            except sqlite3.Error as error:
                failure = error
                if db is not None:
                    db.close()
            except JournalError:
                if db is not None:
                    db.close()
                raise
        assert failure is not None
        raise explain(failure, self.path)

    def read(self, call: Callable[[sqlite3.Connection], T]) -> T:
        """One of this module's functions on the connection, errors explained."""
        with self._lock:
            try:
                return call(self._db)
            except sqlite3.ProgrammingError:
                raise JournalError(f"{self.path}: the journal is closed") from None
            except sqlite3.Error as error:
                raise explain(error, self.path) from None

    @property
    def record(self) -> CampaignRecord:
        """The campaign."""
        return self.read(record)

    def control(self) -> Control:
        """What was asked of the sender."""
        return Control(self.read(lambda db: db.execute("SELECT wish FROM control").fetchone()[0]))

    def tally(self) -> Tally:
        """The counts, by one scan (a million rows: a tenth of a second)."""
        return self.read(counts).tally()

    def groups(self) -> list[GroupRow]:
        """Every group send."""
        return self.read(groups)

    def rows(self, states: Iterable[State] | None = None) -> Iterator[Outcome]:
        """Every row (or those in `states`) in order of seq."""
        numbers = None if states is None else [CODE_OF[state] for state in states]
        after = -1
        while True:
            found, after = self.read(partial(page, after=after, states=numbers))
            if not found:
                return
            yield from found

    def elapsed(self) -> float:
        """Seconds from the complete plan to the last thing that happened."""
        began = self.record.planned_at
        (last,) = self.read(
            lambda db: db.execute(
                "SELECT max(at) FROM (SELECT max(at) AS at FROM recipient"
                " UNION ALL SELECT max(sent_at) FROM grp)"
            ).fetchone()
        )
        return 0.0 if began is None or last is None else max(last - began, 0.0)

    def __del__(self) -> None:
        if hasattr(self, "_db"):
            self.close()

    def close(self) -> None:
        """Closes the connection; a second call does nothing."""
        with self._lock, suppress(sqlite3.Error):
            self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
