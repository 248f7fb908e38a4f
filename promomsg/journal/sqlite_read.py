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
from typing import Annotated, Any, Final, Self, TypeVar
from urllib.parse import quote

import msgspec

from promomsg.errors import JournalError
from promomsg.journal import sqlite_schema
from promomsg.journal.commit_mark import Position, read_mark
from promomsg.journal.lock import SenderLock, is_locked
from promomsg.journal.lost_commits import Finding, judge, position
from promomsg.journal.records import CampaignRecord, Control, GroupRow, Tally
from promomsg.journal.tally import CODE_OF, STATES, Counts
from promomsg.journal.writer import explain
from promomsg.model import Outcome, Recipient, State

__all__ = [
    "GROUP_COLUMNS",
    "JournalReader",
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
    "wal_size",
]

_PAGE: Final = 1_000
_LONGEST: Final = 256 * 1024 * 1024
"""Bytes of one value at the most: SQLite's own limit is 1 GB."""
_STEP: Final = 50_000
_FEW_STEPS: Final = 200
"""SQLite's instructions between looks at how many a read has taken, and looks that any may take;
four instructions a byte of the file come on top (a scan takes less than one)."""

T = TypeVar("T")

_json = msgspec.json.Decoder().decode
_seqs = msgspec.json.Decoder(list[int]).decode

_Row = tuple[
    int, Annotated[int, msgspec.Meta(ge=0, le=6)], str, str | None, str | None, str | None, str | None,
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
        # A file that somebody handed over: what its schema calls is not trusted, its pages are
        # looked at before they are used.
        db.execute("PRAGMA trusted_schema = OFF")
        db.execute("PRAGMA cell_size_check = ON")
        db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)
        db.execute("PRAGMA cache_size = -4000")
        db.execute("PRAGMA temp_store = FILE")
    except sqlite3.Error:
        db.close()
        raise
    return db


def record(db: sqlite3.Connection) -> CampaignRecord:
    """The campaign's row."""
    row = db.execute(
        "SELECT name, channel, account, run_id, message, settings, source, base_url,"
        " campaign_file, created_at, planned_at, warnings, halted, outage FROM campaign"
    ).fetchone()
    if row is None:
        raise JournalError("it holds no campaign: it is damaged")
    names = (
        "name", "channel", "account", "run_id", "message", "settings", "source", "base_url",
        "campaign_file", "created_at", "planned_at", "warnings", "halted", "outage",
    )  # fmt: skip
    values = dict(zip(names, row, strict=True))
    for name in ("message", "settings", "source", "warnings"):
        values[name] = _json(values[name])
    if values["outage"] is not None:
        values["outage"] = _json(values["outage"])
    return msgspec.convert(values, CampaignRecord)


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


def _elapsed(db: sqlite3.Connection) -> float:
    began = record(db).planned_at
    (last,) = db.execute(
        "SELECT max(at) FROM (SELECT max(at) AS at FROM recipient"
        " UNION ALL SELECT max(sent_at) FROM grp)"
    ).fetchone()
    return 0.0 if began is None or last is None else max(last - began, 0.0)


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


_NOT_OURS: Final = (TypeError, ValueError, KeyError, IndexError, OverflowError, RecursionError)
"""What our own code makes of values that it did not write."""


class _Steps:
    """Ends a read that goes round in circles, as a damaged tree of pages makes it."""

    __slots__ = ("most", "taken")

    def __init__(self) -> None:
        self.taken = self.most = 0

    def too_many(self) -> bool:
        self.taken += 1
        return self.taken > self.most


def wal_size(path: str) -> int | None:
    """The size of the write-ahead log beside a journal; None when there is none."""
    try:
        return os.stat(f"{path}-wal").st_size
    except FileNotFoundError:
        return None


def _at_rest(path: str) -> tuple[int, ...] | None:
    """What tells a file that nobody has open from itself after a change; None: somebody may."""
    if wal_size(path) or os.path.lexists(f"{path}-journal"):
        return None
    status = os.stat(path)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


class JournalReader:
    """A journal as a reader sees it, without an event loop; any thread may use it.

    It sees what is committed, while a sender runs and after. Each call, and each page of an
    iteration, is one short read, so a sender is never held up. Nothing on disk is changed by it:
    no -wal is merged or removed, also after a sender was killed.

    Raises:
        JournalError: there is no journal, it is another version's, or it cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.path.realpath(path)
        self._lock = threading.Lock()
        self._steps = _Steps()
        self._rest: tuple[int, ...] | None = None
        if not os.path.isfile(self.path):
            raise JournalError(f"{os.fspath(path)}: there is no journal; check the path")
        self._db = self._open()

    def _open(self) -> sqlite3.Connection:
        """A connection that changes nothing on disk, not even when it is the last one to close.

        SQLite's last connection merges the -wal and removes it, unless it cannot write: `mode=ro`.
        Such a one would leave an empty -wal where none was, so a file of which nothing is in one is
        read as it stands (`immutable`, no locks), and read again when it has changed meanwhile.
        """
        db: sqlite3.Connection | None = None
        try:
            self._rest = _at_rest(self.path)
            db = connect(self.path, mode="ro", immutable=self._rest is not None)
            db.execute("PRAGMA query_only = ON")
            self._steps.most = _FEW_STEPS + 4 * os.path.getsize(self.path) // _STEP
            db.set_progress_handler(self._steps.too_many, _STEP)
            sqlite_schema.check_version(db, self.path)
            sqlite_schema.check_schema(db, self.path)
            db.execute("SELECT name FROM campaign").fetchone()
        except Exception as error:  # noqa: BLE001 - whatever a damaged file makes of it
            if db is not None:
                db.close()
            raise self._explained(error) from None
        return db

    def read(self, call: Callable[[sqlite3.Connection], T]) -> T:
        """One of this module's functions on the connection, errors explained."""
        with self._lock:
            while True:
                self._steps.taken = 0
                try:
                    result = call(self._db)
                except Exception as error:  # noqa: BLE001 - whatever a damaged file makes of it
                    if not self._moved_on():
                        raise self._explained(error) from None
                else:
                    if not self._moved_on():
                        return result
                self._db.close()
                self._db = self._open()

    def _moved_on(self) -> bool:
        """Whether somebody has opened or written the file that was read as it stood."""
        if self._rest is None:
            return False
        with suppress(OSError):
            now = _at_rest(self.path)
            if now is None or now[:2] == self._rest[:2]:
                return now != self._rest
        return False  # gone, or another one's name: what is open is still what it was

    def _explained(self, error: BaseException) -> BaseException:
        if isinstance(error, sqlite3.ProgrammingError):
            return JournalError(f"{self.path}: the journal is closed")
        if isinstance(error, JournalError):
            said = str(error)
            return error if self.path in said else JournalError(f"{self.path}: {said}")
        if isinstance(error, (sqlite3.Error, OSError)):
            return explain(error, self.path)
        if isinstance(error, (msgspec.MsgspecError, *_NOT_OURS)):
            return JournalError(
                f"{self.path}: it is damaged (it has values that promomsg does not write); put back "
                "a copy that is whole"
            )
        return error

    def check_whole(self) -> None:
        """Raises JournalError when it is damaged: a pass over the whole file."""
        self.read(lambda db: sqlite_schema.check_whole(db, self.path))

    def position(self) -> tuple[bool, Position]:
        """(open flag, how far the journal got by its own account)."""
        return self.read(position)

    def finding(self) -> Finding:
        """Whether commits that were made are missing, as far as nobody is sending it now."""
        wal = wal_size(self.path)
        flag, at = self.position()
        return judge(flag=flag, wal=wal, number=at.number, mark=read_mark(self.path, at.run_id))

    @property
    def record(self) -> CampaignRecord:
        """The campaign."""
        return self.read(record)

    def control(self) -> Control:
        """What was asked of the sender."""
        return self.read(lambda db: Control(db.execute("SELECT wish FROM control").fetchone()[0]))

    def warnings(self) -> list[str]:
        """What a look at a journal that nobody is sending has to say of how true it is."""
        name = os.path.basename(self.path)
        match self.finding():
            case Finding.WHOLE:
                return []
            case Finding.BEHIND:
                lost = f"{name}-wal is damaged or was cut"
            case Finding.LOST:
                lost = f"{name}-wal, which a sender wrote, is not beside it"
        return [f"{lost}: these counts may be older than what was sent; resume says what to do"]

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
            found, last = self.read(partial(page, after=after, states=numbers))
            if not found:
                return
            if last <= after:
                raise JournalError(f"{self.path}: it is damaged (its rows are not in order)")
            after = last
            yield from found

    def elapsed(self) -> float:
        """Seconds from the complete plan to the last thing that happened."""
        return self.read(_elapsed)

    def __del__(self) -> None:
        if hasattr(self, "_db"):
            self.close()

    def close(self) -> None:
        """Closes the connection; a second call does nothing."""
        with self._lock, suppress(sqlite3.Error):
            was_open, self._rest = self._rest is None, None
            clean = was_open and wal_size(self.path) == 0 and not position(self._db)[0]
            self._db.close()
            if clean:
                self._tidy_up()

    def _tidy_up(self) -> None:
        """After a clean close of the sender that this reader has outlived: only a connection that
        can write removes the empty files that SQLite leaves. Under the sender's lock: none begins
        meanwhile, so there is nothing in them."""
        if is_locked(self.path):
            return
        with suppress(JournalError, OSError):
            lock = SenderLock(self.path)
            try:
                if wal_size(self.path) == 0:
                    db = connect(self.path, mode="rw")
                    db.execute("SELECT wish FROM control").fetchone()
                    db.close()
            finally:
                lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
