"""The campaign's own rows: what it is, what was asked of it, the warnings it has kept, and the clicks
that were counted for it."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

import datetime
import sqlite3
from collections.abc import Sequence

import msgspec

from promomsg.journal.records import (
    CampaignRecord,
    ClickDay,
    Control,
    ControlRow,
    Counts,
    FirstFew,
    Outage,
)
from promomsg.journal.sqlite.statements.reading import cohort_counts
from promomsg.journal.state_sql import in_group_state
from promomsg.model import ClickCount
from promomsg.states import GroupState

__all__ = [
    "add_warnings",
    "clicks",
    "control_row",
    "first_few",
    "halt",
    "keep_clicks",
    "park",
    "requested_control",
    "resume",
    "save_first_few",
    "save_outage",
    "save_record",
    "sent_days",
    "sent_days_seen",
    "set_control",
]

_encode = msgspec.json.Encoder().encode
_texts = msgspec.json.Decoder(list[str]).decode
_few = msgspec.json.Decoder(FirstFew).decode
_counts = msgspec.json.Decoder(tuple[ClickCount, ...]).decode


def save_record(db: sqlite3.Connection, record: CampaignRecord) -> None:
    """Writes the campaign's row; what `seal` keeps beside it stays."""
    db.execute(
        """
        INSERT INTO campaign (only_row, name, channel, account, run_id, message, settings, source,
                              base_url, campaign_file, created_at, planned_at, warnings, halted,
                              cohorts)
        VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (only_row) DO UPDATE SET
            name = excluded.name, channel = excluded.channel, account = excluded.account,
            run_id = excluded.run_id, message = excluded.message, settings = excluded.settings,
            source = excluded.source, base_url = excluded.base_url,
            campaign_file = excluded.campaign_file,
            created_at = excluded.created_at, planned_at = excluded.planned_at,
            warnings = excluded.warnings, halted = excluded.halted,
            cohorts = excluded.cohorts
        """,
        (
            record.name,
            record.channel,
            record.account,
            record.run_id,
            _encode(record.message).decode(),
            _encode(record.settings).decode(),
            _encode(record.source).decode(),
            record.base_url,
            record.campaign_file,
            record.created_at,
            record.planned_at,
            _encode(record.warnings).decode(),
            record.halted,
            _encode(record.cohorts).decode() if record.cohorts else None,
        ),
    )


def save_outage(db: sqlite3.Connection, outage: Outage | None) -> None:
    """Writes the outage that is going on; None: it is over."""
    kept = None if outage is None else _encode(outage).decode()
    db.execute("UPDATE campaign SET outage = ?", (kept,))


def add_warnings(db: sqlite3.Connection, texts: Sequence[str]) -> None:
    """Keeps warnings in the campaign's row, each once."""
    if not texts:
        return
    (kept,) = db.execute("SELECT warnings FROM campaign").fetchone()
    warnings = _texts(kept)
    warnings += [text for text in dict.fromkeys(texts) if text not in warnings]
    db.execute("UPDATE campaign SET warnings = ?", (_encode(warnings).decode(),))


def requested_control(db: sqlite3.Connection) -> Control:
    """What the control row asks for."""
    return Control(db.execute("SELECT requested FROM control").fetchone()[0])


def set_control(db: sqlite3.Connection, control: Control) -> None:
    """Writes the control row."""
    db.execute("UPDATE control SET requested = ?", (control.value,))


def control_row(db: sqlite3.Connection) -> ControlRow:
    """What every sender heeds."""
    requested, halted, parked_until, first_few = db.execute(
        "SELECT requested, halted, parked_until, first_few FROM control, campaign"
    ).fetchone()
    return ControlRow(
        Control(requested), halted, parked_until, None if first_few is None else _few(first_few)
    )


def first_few(
    db: sqlite3.Connection, cohorts: Sequence[int]
) -> tuple[FirstFew | None, dict[int, Counts]]:
    """See `CampaignView.first_few`."""
    return control_row(db).first_few, cohort_counts(db, cohorts)


def save_first_few(
    db: sqlite3.Connection, found: FirstFew | None, instead_of: FirstFew | None
) -> bool:
    """Writes how far the first few got, unless something else is kept by now than `instead_of`."""
    if control_row(db).first_few != instead_of:
        return False
    kept = None if found is None else _encode(found).decode()
    db.execute("UPDATE campaign SET first_few = ?", (kept,))
    return True


def halt(db: sqlite3.Connection, text: str) -> None:
    """Stops the campaign, unless it is stopped already."""
    db.execute("UPDATE campaign SET halted = ? WHERE halted IS NULL", (text,))


def halt_by_first(db: sqlite3.Connection, text: str, seen: FirstFew | None) -> bool:
    """The same, unless something else than `seen` is kept by now of how far the first few got."""
    if control_row(db).first_few != seen:
        return False
    halt(db, text)
    return True


def park(db: sqlite3.Connection, until: float) -> None:
    """Has nobody send before that moment."""
    db.execute("UPDATE campaign SET parked_until = ?", (until,))


def resume(db: sqlite3.Connection, at: float) -> None:
    """Neither halted nor parked any more, and what was given up is followed again."""
    db.execute(
        "UPDATE campaign SET halted = NULL, parked_until = NULL"
        " WHERE halted IS NOT NULL OR parked_until IS NOT NULL"
    )
    db.execute(
        "UPDATE group_send SET given_up = 0, followed_since = ?"
        f" WHERE {in_group_state(GroupState.ACCEPTED)}",
        (at,),
    )


def sent_days(db: sqlite3.Connection) -> list[str]:
    """The China-time days on which singles were intended, in order."""
    rows = db.execute(
        "SELECT DISTINCT intended_day FROM commit_log"
        " WHERE intended_day IS NOT NULL ORDER BY intended_day"
    )
    return [day for (day,) in rows]


def sent_days_seen(db: sqlite3.Connection) -> list[str]:
    """The same for whoever looks, in a moment however long the log is: days follow each other in it, so
    that only where one ends has to be found. (A clock that was put back in between may hide one.)"""

    def intended(order: str, at: int) -> tuple[int, str] | None:
        sign = ">=" if order == "ASC" else "<="
        found: tuple[int, str] | None = db.execute(
            f"SELECT log_no, intended_day FROM commit_log WHERE log_no {sign} ?"
            f" AND intended_day IS NOT NULL ORDER BY log_no {order} LIMIT 1",
            (at,),
        ).fetchone()
        return found

    (most,) = db.execute("SELECT max(log_no) FROM commit_log").fetchone()
    first, last = intended("ASC", 0), intended("DESC", most or 0)
    days: set[str] = set()
    between = [] if first is None or last is None else [(first, last)]
    while between:
        (low, day), (high, end) = between.pop()
        days |= {day, end}
        if day != end and high - low > 1:
            middle = (low + high) // 2
            before, after = intended("DESC", middle), intended("ASC", middle + 1)
            assert before is not None
            assert after is not None
            between += [((low, day), before), (after, (high, end))]
    for day in days:
        datetime.date.fromisoformat(day)  # raises for what promomsg does not write
    return sorted(days)


def keep_clicks(db: sqlite3.Connection, found: ClickDay) -> None:
    """Keeps what was counted for one day, unless what is kept was asked for later."""
    db.execute(
        "INSERT INTO click_day (day, by_message, asked_at, counts) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (day, by_message) DO UPDATE SET asked_at = excluded.asked_at,"
        " counts = excluded.counts WHERE excluded.asked_at >= asked_at",
        (found.day, found.by_message, found.asked_at, _encode(found.counts).decode()),
    )


def clicks(db: sqlite3.Connection) -> list[ClickDay]:
    """What was kept of clicks, in order of days, by message first."""
    rows = db.execute(
        "SELECT day, by_message, asked_at, counts FROM click_day ORDER BY day, by_message DESC"
    )
    return [
        ClickDay(day=day, by_message=bool(by_message), asked_at=asked_at, counts=_counts(counts))
        for day, by_message, asked_at, counts in rows
    ]
