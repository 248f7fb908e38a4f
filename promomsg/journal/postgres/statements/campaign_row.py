"""The campaign's own rows: what it is, what was asked of it, and the warnings it has kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from promomsg.journal.postgres.statements.transaction import CampaignReads, Transaction
from promomsg.journal.records import CampaignRecord, Control, ControlRow, FirstFew, Outage
from promomsg.journal.state_sql import in_group_state
from promomsg.states import GroupState

__all__ = [
    "CONTROL",
    "FIRST_FEW",
    "RECORD",
    "add_campaign",
    "add_warnings",
    "control_row",
    "first_few_of",
    "halt",
    "park",
    "read_record",
    "record_of",
    "requested_control",
    "resume",
    "save_first_few",
    "save_outage",
    "save_record",
    "set_control",
]

_encode = msgspec.json.Encoder().encode
_json = msgspec.json.Decoder().decode
_few = msgspec.json.Decoder(FirstFew).decode

_COLUMNS: Final = (
    "name", "channel", "account", "run_id", "message", "settings", "source", "base_url",
    "campaign_file", "created_at", "planned_at", "halted", "cohorts",
)  # fmt: skip
_OF_JSON: Final = ("message", "settings", "source", "cohorts")

# Nothing of this package but its own constants is put together into statements.
_ADD: Final = (
    f"INSERT INTO campaign (journal, {', '.join(_COLUMNS)})"  # noqa: S608
    f" VALUES (%(journal)s, {', '.join(f'%({name})s' for name in _COLUMNS)})"
    " ON CONFLICT (journal) DO NOTHING RETURNING campaign"
)
_SAVE: Final = (
    f"UPDATE campaign SET {', '.join(f'{name} = %({name})s' for name in _COLUMNS)}"  # noqa: S608
    " WHERE campaign = %(campaign)s"
)
RECORD: Final = (
    f"SELECT {', '.join(_COLUMNS)}, outage,"  # noqa: S608
    " ARRAY(SELECT text FROM warning WHERE warning.campaign = campaign.campaign ORDER BY warning_no)"
    " FROM campaign WHERE campaign = %(campaign)s"
)
CONTROL: Final = "SELECT requested, parked_until FROM control WHERE campaign = %(campaign)s"
FIRST_FEW: Final = "SELECT first_few FROM campaign WHERE campaign = %(campaign)s"
_WARN: Final = (
    "INSERT INTO warning (campaign, text) SELECT %(campaign)s, text"
    " FROM unnest(%(texts)s::text[]) WITH ORDINALITY AS t (text, place) ORDER BY place"
    " ON CONFLICT DO NOTHING"
)


def _values(record: CampaignRecord) -> dict[str, object]:
    values: dict[str, object] = {name: getattr(record, name) for name in _COLUMNS}
    for name in _OF_JSON:
        values[name] = _encode(values[name]).decode()
    if not record.cohorts:
        values["cohorts"] = None
    return values


async def add_campaign(tx: Transaction, journal: str, record: CampaignRecord) -> int | None:
    """Writes the row of a new campaign; returns its number, or None when the name is taken."""
    row = await tx.first(_ADD, {**_values(record), "journal": journal})
    return None if row is None else int(row[0])


async def read_record(reads: CampaignReads) -> CampaignRecord | None:
    """The campaign's row; None: there is none (any more)."""
    row = await reads.first(RECORD)
    return None if row is None else record_of(row)


def record_of(row: Sequence[Any]) -> CampaignRecord:
    """A row of `RECORD`."""
    values = dict(zip((*_COLUMNS, "outage", "warnings"), row, strict=True))
    for name in (*_OF_JSON, "outage"):
        if values[name] is not None:
            values[name] = _json(values[name])
    values["cohorts"] = values["cohorts"] or []
    return msgspec.convert(values, CampaignRecord)


async def save_record(tx: Transaction, record: CampaignRecord) -> None:
    """Writes the campaign's row; what `seal` keeps beside it stays, and so do the warnings of
    others."""
    await tx.change(_SAVE, _values(record))
    await add_warnings(tx, record.warnings)


async def save_outage(tx: Transaction, outage: Outage | None) -> None:
    """Writes the outage that is going on; None: it is over."""
    kept = None if outage is None else _encode(outage).decode()
    await tx.change(
        "UPDATE campaign SET outage = %(outage)s WHERE campaign = %(campaign)s", {"outage": kept}
    )


async def add_warnings(tx: Transaction, texts: Sequence[str]) -> None:
    """Keeps warnings, each once."""
    if texts:
        await tx.change(_WARN, {"texts": list(texts)})


async def requested_control(reads: CampaignReads) -> Control:
    """What the control row asks for."""
    return Control((await reads.row(CONTROL))[0])


async def set_control(tx: Transaction, control: Control) -> None:
    """Writes the control row."""
    await tx.change(
        "UPDATE control SET requested = %(requested)s WHERE campaign = %(campaign)s",
        {"requested": control.value},
    )


async def control_row(reads: CampaignReads) -> ControlRow:
    """What every sender heeds."""
    requested, halted, parked_until, first_few = await reads.row(
        "SELECT requested, halted, parked_until, first_few"
        " FROM control JOIN campaign USING (campaign) WHERE campaign = %(campaign)s"
    )
    return ControlRow(Control(requested), halted, parked_until, first_few_of(first_few))


def first_few_of(kept: str | None) -> FirstFew | None:
    """How far the first few got, as `FIRST_FEW` finds it."""
    return None if kept is None else _few(kept)


async def save_first_few(
    tx: Transaction, found: FirstFew | None, instead_of: FirstFew | None
) -> bool:
    """Writes how far the first few got, unless something else is kept by now than `instead_of`."""
    now, before = (None if few is None else _encode(few).decode() for few in (found, instead_of))
    changed = await tx.change(
        "UPDATE campaign SET first_few = %(now)s"
        " WHERE campaign = %(campaign)s AND first_few IS NOT DISTINCT FROM %(before)s",
        {"now": now, "before": before},
    )
    return bool(changed)


async def halt(tx: Transaction, text: str) -> None:
    """Stops the campaign, unless it is stopped already."""
    await tx.change(
        "UPDATE campaign SET halted = %(text)s WHERE campaign = %(campaign)s AND halted IS NULL",
        {"text": text},
    )


async def halt_by_first(tx: Transaction, text: str, seen: FirstFew | None) -> bool:
    """The same, unless something else than `seen` is kept by now of how far the first few got."""
    changed = await tx.change(
        "UPDATE campaign SET halted = coalesce(halted, %(text)s)"
        " WHERE campaign = %(campaign)s AND first_few IS NOT DISTINCT FROM %(seen)s",
        {"text": text, "seen": None if seen is None else _encode(seen).decode()},
    )
    return bool(changed)


async def park(tx: Transaction, until: float) -> None:
    """Has nobody send before that moment."""
    await tx.change(
        "UPDATE control SET parked_until = %(until)s WHERE campaign = %(campaign)s",
        {"until": until},
    )


async def resume(tx: Transaction, at: float) -> None:
    """Neither halted nor parked any more, and what was given up is followed again. What it sends from
    now on is looked at as a new campaign's."""
    await tx.change(
        "UPDATE campaign SET halted = NULL, clicks_at = 0, reconcile_at = 0"
        " WHERE campaign = %(campaign)s"
    )
    await tx.change("UPDATE control SET parked_until = NULL WHERE campaign = %(campaign)s")
    await tx.change(
        "UPDATE group_send SET given_up = false, followed_since = %(at)s"  # noqa: S608
        f" WHERE campaign = %(campaign)s AND {in_group_state(GroupState.ACCEPTED)}",
        {"at": at},
    )
