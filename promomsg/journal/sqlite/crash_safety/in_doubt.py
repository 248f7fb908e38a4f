"""What a sender that died left intended, as the next resume will take it: for whoever only looks."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

from typing import Final

import msgspec

from promomsg.journal.counts import RunningCounts
from promomsg.journal.reasons import COMMITS_LOST, INTERRUPTED
from promomsg.journal.records import GroupRow, InDoubt, is_asked_again
from promomsg.journal.sqlite.crash_safety.commit_mark import read_mark
from promomsg.journal.sqlite.crash_safety.sender_slots import left_slots
from promomsg.journal.sqlite.crash_safety.wire_slots import Marked
from promomsg.journal.sqlite.lock import is_locked
from promomsg.journal.sqlite.readers.journal_reader import JournalReader
from promomsg.journal.sqlite.statements import groups, recovery
from promomsg.journal.sqlite.statements.reading import RECIPIENTS, RowSource
from promomsg.journal.state_sql import group_move, number, recipient_move
from promomsg.model import State
from promomsg.states import Event, GroupEvent

__all__ = ["LeftIntended", "intended_in", "left_intended", "source_of"]

_ASKED_AGAIN: Final = recipient_move(Event.NOT_SENT)
_LOST: Final = recipient_move(Event.UNKNOWN, State.INTENDED)
_LOST_MEMBER: Final = recipient_move(Event.GROUP_LOST, State.PENDING)
_LOST_GROUP: Final = group_move(GroupEvent.LOST)
_RETURNED_GROUP: Final = group_move(GroupEvent.NOT_SENT)

_GROUP: Final = "FROM json_each(:lost) WHERE json_extract(value, '$[0]') = group_no"
_LOST_GROUPS: Final = "SELECT json_extract(value, '$[0]') FROM json_each(:lost)"
_UNCHANGED, _CALLED, _UNCALLED, _MEMBER = range(4)
"""What becomes of a row: nothing; it was intended and called; intended and not called; it is a member of
a group that was called."""
_COMMITS_LOST: Final = f"detail = '{COMMITS_LOST.detail}'"
_HAS_REASON: Final = "maybe_sent = 1 AND code <> ''"

_encode = msgspec.json.Encoder().encode


class LeftIntended:
    """Whom a sender that died left intended.

    Attributes:
        in_doubt: how many may have been called.
        is_empty: there is nobody.
        idempotent: the provider dedupes, so that a resume calls the singles again.
    """

    def __init__(
        self,
        singles: list[tuple[int, float]],
        out: list[GroupRow],
        left: Marked | None,
        again: bool,
    ) -> None:
        called = None if left is None else left.singles
        called_groups = None if left is None else left.groups
        self.idempotent = again
        self.is_empty = not singles and not out
        self._singles = [seq for seq, _ in singles if called is None or seq in called]
        self._groups = {
            group.group_no: group
            for group in out
            if called_groups is None or group.group_no in called_groups
        }
        self.in_doubt = InDoubt(
            singles=len(self._singles),
            groups=len(self._groups),
            members=sum(group.planned for group in self._groups.values()),
        )

    def counts(self, kept: RunningCounts) -> RunningCounts:
        """The counts after a resume has begun, from those that the journal keeps."""
        unknown = self.in_doubt.members + (0 if self.idempotent else self.in_doubt.singles)
        kept.move(_LOST_MEMBER.starts[0], "", _LOST_MEMBER.end, INTERRUPTED.code, unknown)
        return kept

    def groups(self, kept: list[GroupRow]) -> list[GroupRow]:
        """The group sends, in the same way."""
        return [self._group(group) for group in kept]

    def _group(self, group: GroupRow) -> GroupRow:
        if group.state not in _LOST_GROUP.starts:
            return group
        if group.group_no not in self._groups:
            return msgspec.structs.replace(
                group, state=_RETURNED_GROUP.end, code="", detail="", attempts=group.attempts - 1
            )
        reason = _reason(group)
        return msgspec.structs.replace(
            group, state=_LOST_GROUP.end, code=INTERRUPTED.code, detail=reason
        )

    def source(self) -> RowSource:
        """The recipients, in the same way: what is read instead of their table."""
        rows = _ROWS_ASKED_AGAIN if self.idempotent else _ROWS_LOST
        lost = [[no, group.attempts, _reason(group)] for no, group in self._groups.items()]
        return RowSource(
            rows, {"called": _encode(self._singles).decode(), "lost": _encode(lost).decode()}
        )


def _reason(group: GroupRow) -> str:
    return COMMITS_LOST.detail if group.detail == COMMITS_LOST.detail else INTERRUPTED.detail


def intended_in(reader: JournalReader) -> LeftIntended:
    """Whom a journal has as intended, as if its sender had died: by short reads, whose time does not
    grow with the recipients.

    Raises:
        JournalError: it cannot be read.
    """
    record = reader.record
    left, _ = left_slots(reader, reader.finding(), read_mark(reader.path, record.run_id))
    singles, out = reader.read(lambda db: (recovery.intended(db), list(groups.intended(db))))
    return LeftIntended(singles, out, left, is_asked_again(record))


def left_intended(reader: JournalReader) -> LeftIntended | None:
    """Whom a sender that died left intended; None: nobody, or one is at work.

    Raises:
        JournalError: it cannot be read.
    """
    if is_locked(reader.path):
        return None
    found = intended_in(reader)
    # A sender may have begun between the looks.
    return None if found.is_empty or is_locked(reader.path) else found


def source_of(reader: JournalReader) -> RowSource:
    """What the rows of a journal are read from: of a sender that died, as a resume will take them.

    Raises:
        JournalError: it cannot be read.
    """
    left = left_intended(reader)
    return RECIPIENTS if left is None else left.source()


def _rows(called_end: State, code: str, detail: str, rid: str) -> str:
    """The table of recipients with what a resume makes of those intended.

    Args:
        called_end, code, detail, rid: of whoever may have been called, as SQL of the row.
    """
    return f"""(
    SELECT seq, key, id, openid, unionid, request_id, group_no, at,
        CASE fate WHEN {_UNCHANGED} THEN state WHEN {_CALLED} THEN {number(called_end)}
            WHEN {_UNCALLED} THEN {number(_ASKED_AGAIN.end)} ELSE {number(_LOST_MEMBER.end)} END AS state,
        CASE fate WHEN {_UNCHANGED} THEN code WHEN {_CALLED} THEN {code}
            WHEN {_UNCALLED} THEN iif({_HAS_REASON}, code, '') ELSE '{INTERRUPTED.code}' END AS code,
        CASE fate WHEN {_UNCHANGED} THEN detail WHEN {_CALLED} THEN {detail}
            WHEN {_UNCALLED} THEN iif({_HAS_REASON}, detail, '')
            ELSE (SELECT json_extract(value, '$[2]') {_GROUP}) END AS detail,
        CASE fate WHEN {_UNCHANGED} THEN rid WHEN {_CALLED} THEN {rid}
            WHEN {_UNCALLED} THEN iif({_HAS_REASON}, rid, NULL) ELSE NULL END AS rid,
        CASE fate WHEN {_UNCALLED} THEN attempts - 1
            WHEN {_MEMBER} THEN attempts + (SELECT json_extract(value, '$[1]') {_GROUP})
            ELSE attempts END AS attempts,
        iif(fate = {_UNCALLED}, NULL, extra) AS extra
    FROM (SELECT *, CASE
        WHEN {_LOST.where} THEN iif(seq IN (SELECT value FROM json_each(:called)), {_CALLED}, {_UNCALLED})
        WHEN {_LOST_MEMBER.where} AND group_no IN ({_LOST_GROUPS}) THEN {_MEMBER}
        ELSE {_UNCHANGED} END AS fate FROM recipient))"""


_ROWS_LOST: Final = _rows(
    _LOST.end,
    code=f"'{INTERRUPTED.code}'",
    detail=f"iif({_COMMITS_LOST}, detail, '{INTERRUPTED.detail}')",
    rid="rid",
)
_ROWS_ASKED_AGAIN: Final = _rows(
    _ASKED_AGAIN.end,
    code=f"iif({_HAS_REASON}, code, '{INTERRUPTED.code}')",
    detail=f"iif({_HAS_REASON} OR {_COMMITS_LOST}, detail, '{INTERRUPTED.detail}')",
    rid=f"iif({_HAS_REASON}, rid, NULL)",
)
