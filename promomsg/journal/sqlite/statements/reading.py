"""What is read of a SQLite journal: short statements, each of which gives plain records."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Final

import msgspec

from promomsg.errors import JournalError
from promomsg.journal.counts import STATES, RunningCounts
from promomsg.journal.records import CampaignRecord, Counts, GroupRow
from promomsg.journal.state_sql import UNSENT, in_group_state, in_state
from promomsg.model import Outcome, Recipient, State
from promomsg.states import FINAL, GROUP_REACHED_NOBODY, MAYBE_REACHED
from promomsg.timeline import EMPTY, Timeline, step_between, stretches_of

__all__ = [
    "AS_JSON",
    "GROUP_COLUMNS",
    "RECIPIENTS",
    "RowSource",
    "cohort_counts",
    "count_again",
    "elapsed",
    "group_row",
    "groups",
    "keep_counts",
    "kept_counts",
    "numbered",
    "outcomes",
    "outcomes_end",
    "page",
    "record",
    "timeline",
    "today",
    "untouched",
]

_PAGE: Final = 1_000

_json = msgspec.json.Decoder().decode
_seqs = msgspec.json.Decoder(list[int]).decode

_Row = tuple[
    int, Annotated[int, msgspec.Meta(ge=0, lt=len(STATES))], str, str | None, str | None, str | None, str | None,
    str, str, str | None, int, str | int | None, float | None, str | None,
]  # fmt: skip
_CountRow = tuple[Annotated[int, msgspec.Meta(ge=0, lt=len(STATES))], str, Annotated[int, msgspec.Meta(ge=0)]]  # fmt: skip
_rows = msgspec.json.Decoder(list[_Row]).decode

# One JSON text a page: the GIL changes hands once, not for every row.
AS_JSON: Final = (
    "json_group_array(json_array(r.seq, r.state, r.key, r.id, r.openid, r.unionid, r.request_id,"
    " r.code, r.detail, r.rid, r.attempts, r.group_no, r.at, r.extra))"
)
"""Rows of `r` as the text that `numbered` takes."""


def record(db: sqlite3.Connection) -> CampaignRecord:
    """The campaign's row."""
    row = db.execute(
        "SELECT name, channel, account, run_id, message, settings, source, base_url,"
        " campaign_file, created_at, planned_at, warnings, halted, outage, cohorts FROM campaign"
    ).fetchone()
    if row is None:
        raise JournalError("it holds no campaign: it is damaged")
    names = (
        "name", "channel", "account", "run_id", "message", "settings", "source", "base_url",
        "campaign_file", "created_at", "planned_at", "warnings", "halted", "outage", "cohorts",
    )  # fmt: skip
    values = dict(zip(names, row, strict=True))
    for name in ("message", "settings", "source", "warnings"):
        values[name] = _json(values[name])
    if values["outage"] is not None:
        values["outage"] = _json(values["outage"])
    values["cohorts"] = _json(values["cohorts"]) if values["cohorts"] is not None else []
    return msgspec.convert(values, CampaignRecord)


def kept_counts(db: sqlite3.Connection) -> RunningCounts:
    """All counts, as they are kept: the time this takes does not grow with the recipients."""
    rows = db.execute("SELECT state, code, recipients FROM recipient_count").fetchall()
    found = RunningCounts()
    found.fill(msgspec.convert(rows, list[_CountRow]))
    return found


def cohort_counts(db: sqlite3.Connection, cohorts: Collection[int] | None) -> dict[int, Counts]:
    """See `Handle.cohort_counts`."""
    some = "" if cohorts is None else "WHERE cohort IN (SELECT value FROM json_each(?))"
    args = () if cohorts is None else (msgspec.json.encode(list(cohorts)).decode(),)
    found: dict[int, RunningCounts] = {}
    for cohort, *row in db.execute(
        f"SELECT cohort, state, code, count(*) FROM recipient {some}"
        " GROUP BY cohort, state, code ORDER BY cohort",
        args,
    ):
        found.setdefault(cohort, RunningCounts()).fill(msgspec.convert([row], list[_CountRow]))
    return {cohort: counts.totals() for cohort, counts in found.items()}


def count_again(db: sqlite3.Connection) -> tuple[RunningCounts, float | None]:
    """All counts, and when the last thing happened, by one scan of the recipients and the index of
    those not sent to (a million rows: a tenth of a second)."""
    found = RunningCounts()
    rest = db.execute(
        f"SELECT state, code, count(*) FROM recipient WHERE {UNSENT} GROUP BY state, code"
    ).fetchall()
    found.fill(rest)
    total, sent, last = db.execute(
        f"SELECT count(*), total({in_state(State.SENT)}), max(at) FROM recipient"
    ).fetchone()
    found.add(State.SENT, "", int(sent))
    found.add(State.PENDING, "", total - int(sent) - sum(row[2] for row in rest))
    for code, *people in db.execute(
        "SELECT code, audience_pending, audience_sent, audience_failed, audience_unknown, audience_cancelled FROM group_send"
        " WHERE audience IS NOT NULL"
    ):
        for state, number in zip(_AUDIENCE_STATES, people, strict=True):
            found.add(state, code, number)
    return found, last


def keep_counts(db: sqlite3.Connection, counts: RunningCounts, last: float | None) -> None:
    """Keeps counts that `count_again` has found, where others are kept: after a loss of commits, or
    when somebody else has written in the journal."""
    if dict(kept_counts(db).by_state()) == dict(counts.by_state()):
        return
    db.execute("DELETE FROM recipient_count")
    db.executemany(
        "INSERT INTO recipient_count (state, code, recipients, last_at) VALUES (?, ?, ?, ?)",
        [(*state_and_code, count, last) for state_and_code, count in counts.by_state()],
    )


def untouched(db: sqlite3.Connection) -> bool:
    """Whether a message has surely reached nobody; see `Handle.untouched`."""
    (touched,) = db.execute(
        f"SELECT EXISTS (SELECT 1 FROM recipient WHERE {in_state(*MAYBE_REACHED)} OR maybe_sent = 1)"
        f" OR EXISTS (SELECT 1 FROM attempt_history WHERE {in_state(State.UNKNOWN)})"
        f" OR EXISTS (SELECT 1 FROM group_send WHERE NOT {in_group_state(*GROUP_REACHED_NOBODY)})"
    ).fetchone()
    return not touched


_IS_FINAL: Final = in_state(*FINAL)
_LEFT_BY_PLANNING: Final = in_state(State.FAILED, State.SKIPPED)
_AUDIENCE_STATES: Final = (
    State.PENDING,
    State.SENT,
    State.FAILED,
    State.UNKNOWN,
    State.CANCELLED,
)

GROUP_COLUMNS: Final = (
    "group_no, state, planned, message_values, audience, msg_id, percent, send_cnt, fail_cnt, attempts, sent_at,"
    " next_poll_at, polls, polls_at_100, given_up, warned_of_age, followed_since, code, detail, rid"
)
_GROUP_NAMES: Final = tuple(
    {"message_values": "values"}.get(name, name) for name in GROUP_COLUMNS.split(", ")
)


def group_row(row: tuple[Any, ...]) -> GroupRow:
    """A row of GROUP_COLUMNS."""
    values = dict(zip(_GROUP_NAMES, row, strict=True))
    values["values"] = _json(values["values"]) if values["values"] else ()
    values["audience"] = _json(values["audience"]) if values["audience"] else None
    for name in ("given_up", "warned_of_age"):
        values[name] = bool(values[name])
    return msgspec.convert(values, GroupRow)


def groups(db: sqlite3.Connection) -> list[GroupRow]:
    """Every group."""
    return [
        group_row(row)
        for row in db.execute(f"SELECT {GROUP_COLUMNS} FROM group_send ORDER BY group_no")
    ]


def elapsed(db: sqlite3.Connection) -> float:
    """Seconds from the complete plan to the last result, or the last call of a group."""
    began = record(db).planned_at
    (last,) = db.execute("SELECT max(last_at) FROM recipient_count").fetchone()
    (last_group,) = db.execute("SELECT max(sent_at) FROM group_send").fetchone()
    ends = [at for at in (last, last_group) if at is not None]
    return max(max(ends) - began, 0.0) if ends and began is not None else 0.0


def today(db: sqlite3.Connection) -> tuple[str, int]:
    """The China-time day of the last intents, and how many singles it had."""
    row = db.execute(
        "SELECT intended_day, intended_day_total FROM commit_log"
        " WHERE intended_day_total IS NOT NULL ORDER BY log_no DESC LIMIT 1"
    ).fetchone()
    return row or ("", 0)


def _decode(db: sqlite3.Connection, text: str) -> list[Outcome]:
    rows = _rows(text)
    names: dict[Any, str] = {}
    found = []
    for (
        _, state, key, id, openid, unionid, request_id, code, detail, rid, attempts, group_no, at, extra,
    ) in rows:  # fmt: skip
        group = None
        if group_no is not None:
            group = names.get(group_no)
            if group is None:
                (msg_id,) = db.execute(
                    "SELECT msg_id FROM group_send WHERE group_no = ?", (group_no,)
                ).fetchone()
                group = names[group_no] = msg_id or str(group_no)
        who = Recipient(key=key, id=id, openid=openid, unionid=unionid, request_id=request_id)
        found.append(Outcome(who, STATES[state], code, detail, rid, attempts, group, at, extra))
    return found


def numbered(db: sqlite3.Connection, text: str) -> list[tuple[int, Outcome]]:
    """Each one's seq and where they stand, of a text that `AS_JSON` has made."""
    return [(row[0], one) for row, one in zip(_rows(text), _decode(db, text), strict=True)]


class RowSource(msgspec.Struct, frozen=True):
    """What rows are read from.

    Attributes:
        rows: as SQL: the table, or a statement with its columns.
        args: what that binds by name.
    """

    rows: str
    args: Mapping[str, Any]


RECIPIENTS: Final = RowSource("recipient", {})


def page(
    db: sqlite3.Connection,
    after: int,
    states: Collection[State] | None,
    limit: int = _PAGE,
    source: RowSource = RECIPIENTS,
) -> tuple[list[Outcome], int]:
    """Rows behind `after`, in order of seq, and the last one's seq; none left: an empty list."""
    wanted = ""
    if states is not None:
        wanted = f" AND {in_state(*states)}"
    text, last = db.execute(
        f"SELECT {AS_JSON}, max(seq) FROM"
        f" (SELECT * FROM {source.rows} WHERE seq > :after{wanted} ORDER BY seq LIMIT :limit) AS r",
        {**source.args, "after": after, "limit": limit},
    ).fetchone()
    return _decode(db, text), after if last is None else last


def outcomes(
    db: sqlite3.Connection, after: tuple[int, int], limit: int
) -> tuple[list[Outcome], tuple[int, int]]:
    """See `Handle.outcomes`. The cursor is (-1, seq) in what planning left, then (log_no, index)."""
    log_no, index = after
    if log_no < 0:
        text, last, count = db.execute(
            f"SELECT {AS_JSON}, max(seq), count(*) FROM (SELECT * FROM recipient"
            f" WHERE seq >= ? AND {_LEFT_BY_PLANNING} AND at IS NULL ORDER BY seq LIMIT ?) AS r",
            (index, limit),
        ).fetchone()
        if count:
            return _decode(db, text), (-1, last + 1)
        log_no, index = 0, 0
    while True:
        wanted: list[int] = []
        # One by one: an entry may name one row or thousands.
        entries = db.execute(
            "SELECT log_no, final_seqs FROM commit_log WHERE log_no >= ? AND final_seqs IS NOT NULL"
            " ORDER BY log_no LIMIT ?",
            (log_no, limit + 1),
        )
        start = (log_no, index)
        for number, text in entries:
            seqs = _seqs(text)
            seqs = seqs[index if number == log_no else 0 :][: limit - len(wanted)]
            wanted += _not_taken_back(db, number, seqs)
            index = (index if number == log_no else 0) + len(seqs)
            log_no = number
            if len(wanted) >= limit:
                entries.close()
                break
        found = _by_seq(db, wanted)
        if found or (log_no, index) == start:
            return found, (log_no, index)


def _not_taken_back(db: sqlite3.Connection, log_no: int, seqs: list[int]) -> list[int]:
    """Without those that a retry or an adoption took back after row `log_no` of the log."""
    if not seqs or db.execute("SELECT 1 FROM attempt_history LIMIT 1").fetchone() is None:
        return seqs
    (text,) = db.execute(
        "SELECT json_group_array(DISTINCT seq) FROM attempt_history WHERE up_to_log_no >= ?"
        " AND seq IN (SELECT value FROM json_each(?))",
        (log_no, msgspec.json.encode(seqs).decode()),
    ).fetchone()
    back = frozenset(_seqs(text))
    return [seq for seq in seqs if seq not in back]


def _by_seq(db: sqlite3.Connection, seqs: list[int]) -> list[Outcome]:
    if not seqs:
        return []
    (text,) = db.execute(
        f"""
        SELECT {AS_JSON} FROM (
            SELECT recipient.* FROM json_each(?) AS j
            CROSS JOIN recipient ON recipient.seq = j.value
            WHERE {_IS_FINAL} ORDER BY j.id
        ) AS r
        """,
        (msgspec.json.encode(seqs).decode(),),
    ).fetchone()
    return _decode(db, text)


def outcomes_end(db: sqlite3.Connection) -> tuple[int, int]:
    """The cursor behind everything that is final now."""
    row = db.execute(
        "SELECT log_no, json_array_length(final_seqs) FROM commit_log"
        " WHERE final_seqs IS NOT NULL ORDER BY log_no DESC LIMIT 1"
    ).fetchone()
    return (row[0], row[1]) if row else (0, 0)


_REACHED_AT: Final = f"at IS NOT NULL AND {in_state(*FINAL)}"


def timeline(db: sqlite3.Connection, *, most: int, source: RowSource) -> Timeline:
    """See `promomsg.journal.read_contract.Rows.timeline`: two scans of the recipients."""
    rows = f"(SELECT * FROM {source.rows}) WHERE {_REACHED_AT}"
    first, last = db.execute(f"SELECT min(at), max(at) FROM {rows}", source.args).fetchone()
    if first is None:
        return EMPTY
    step = step_between(first, last, most)
    found = db.execute(
        f"SELECT CAST(at AS INTEGER) / :step, state, count(*) FROM {rows} GROUP BY 1, 2",
        {**source.args, "step": step},
    )
    return stretches_of(((n, STATES[state], count) for n, state, count in found), step)
