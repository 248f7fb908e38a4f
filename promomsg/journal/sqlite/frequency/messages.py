"""Messages of one journal, by person: those that were sent lately or may have been, and those to come."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from functools import partial
from typing import Final, NamedTuple

from promomsg.errors import JournalError
from promomsg.journal.records import Control
from promomsg.journal.sqlite.lock import is_locked
from promomsg.journal.sqlite.readers.journal_reader import JournalReader
from promomsg.journal.state_sql import in_group_state, in_state
from promomsg.model import IDEMPOTENT_CHANNELS, State
from promomsg.states import GROUP_REACHED_NOBODY, MAYBE_REACHED, GroupState
from promomsg.url_origins import origin

__all__ = ["NAMELESS", "Account", "Message", "messages_of"]

_PAGE: Final = 5_000

NAMELESS: Final = "(key GLOB 'row [0-9]*' AND NOT substr(key, 5) GLOB '*[^0-9]*')"
"""Of a recipient: its key only says where it stood in its list (`intake.sources.NAMELESS_KEY`)."""

_LATE: Final = "coalesce({at}, :since) >= :since"
_REACHED: Final = f"{in_state(*MAYBE_REACHED)} AND {_LATE.format(at='at')}"
_TAKEN: Final = f"NOT {in_group_state(*GROUP_REACHED_NOBODY)}"
_OUT: Final = f"SELECT group_no FROM group_send WHERE {_TAKEN}"
# Members of a group that is out stay pending: their message went out when the group was called.
_TO_COME: Final = f"""{in_state(State.PENDING)} AND CASE
    WHEN group_no IN ({_OUT}) THEN group_no IN ({_OUT} AND {_LATE.format(at="sent_at")})
    ELSE :unsent OR maybe_sent = 1 END"""
_NOW: Final = f"({_REACHED} OR {_TO_COME})"
# The lost answer of a group that was taken over since (`reconcile --adopt`): it is the one message that its
# member has now. Who is retried is in a group that was sent later, if in any.
_ADOPTED: Final = """(h.msg_id IS NULL AND EXISTS (SELECT 1 FROM group_send AS g
    WHERE g.group_no = recipient.group_no AND g.msg_id IS NOT NULL AND g.sent_at <= h.at))"""
_BEFORE: Final = (
    "(SELECT count(*) FROM attempt_history AS h WHERE h.seq = recipient.seq"
    f" AND {in_state(*MAYBE_REACHED, row='h')} AND {_LATE.format(at='h.at')} AND NOT {_ADOPTED})"
)
_PERSON: Final = (
    f"iif({NAMELESS}, NULL, key), nullif(id, key), nullif(openid, key), nullif(unionid, key)"
)
_FOUND: Final = f"""
SELECT seq, {_PERSON}, 1 FROM recipient WHERE seq > :after AND {_NOW} ORDER BY seq LIMIT {_PAGE}
"""
_FOUND_WITH_HISTORY: Final = f"""
SELECT seq, {_PERSON}, {_NOW} + {_BEFORE} FROM recipient
WHERE seq > :after AND {_NOW} + {_BEFORE} > 0 ORDER BY seq LIMIT {_PAGE}
"""
_IS_QUIET: Final = f"""
SELECT NOT EXISTS (SELECT 1 FROM attempt_history) AND NOT EXISTS (
    SELECT 1 FROM recipient_count WHERE {in_state(State.PENDING)} AND recipients > 0
    OR {in_state(*MAYBE_REACHED)} AND recipients > 0 AND {_LATE.format(at="last_at")})
"""
_AUDIENCE: Final = f"""
SELECT 1 FROM group_send WHERE audience IS NOT NULL AND (
    {_TAKEN} AND {_LATE.format(at="sent_at")} OR {in_group_state(GroupState.PLANNED)} AND :unsent) LIMIT 1
"""


class Account(NamedTuple):
    """Whose campaigns are counted together."""

    channel: str
    account: str
    origin: str


class Message(NamedTuple):
    """A person who had some messages, or will have them: the key, unless it only says where they stood in
    their list, and the addresses that differ from it."""

    key: str | None
    id: str | None
    openid: str | None
    unionid: str | None
    messages: int


def messages_of(path: str, account: Account, since: float) -> Iterator[list[Message]] | None:
    """The messages of a journal in pages, in order of its list; None: it is another account's, or none of
    them is since then. The file is open until the last page was taken.

    Raises:
        JournalError: it cannot be read in full, or does not say whom it sent to.
    """
    reader = JournalReader(path)
    try:
        record = reader.record
        ours = Account(record.channel, record.account, origin(record.base_url))
        if ours == account and reader.warnings() and not is_locked(path):
            raise JournalError(
                f"{path}: its last commits are lost, so that it does not say who was sent to"
            )
        args = {"since": since, "unsent": reader.control() is not Control.CANCEL}
        if ours != account or reader.read(partial(_is_true, text=_IS_QUIET, args=args)):
            reader.close()
            return None
        if reader.read(partial(_is_true, text=_AUDIENCE, args=args)):
            raise JournalError(
                f"{path}: it sends to an audience as one group, whose members it does not name"
            )
    except BaseException:
        reader.close()
        raise
    return _pages(reader, args, record.channel in IDEMPOTENT_CHANNELS)


def _is_true(db: sqlite3.Connection, text: str, args: dict[str, float | bool]) -> bool:
    found = db.execute(text, args).fetchone()
    return found is not None and bool(found[0])


def _pages(
    reader: JournalReader, args: dict[str, float | bool], idempotent: bool
) -> Iterator[list[Message]]:
    with reader:
        retried = reader.read(
            partial(_is_true, text="SELECT 1 FROM attempt_history LIMIT 1", args={})
        )
        text = _FOUND_WITH_HISTORY if retried else _FOUND
        after = -1
        while rows := reader.read(partial(_rows, text=text, args={**args, "after": after})):
            after = rows[-1][0]
            page = [Message(*row[1:]) for row in rows]
            if any(one[:4] == (None, None, None, None) for one in page):
                raise JournalError(
                    f"{reader.path}: it sent to recipients with neither key nor address in it, so who they "
                    "are cannot be told"
                )
            if idempotent:
                # Whoever is asked for again with the same key gets one message.
                page = [one._replace(messages=1) for one in page]
            yield page


def _rows(
    db: sqlite3.Connection, text: str, args: dict[str, float | bool]
) -> list[tuple[int, str | None, str | None, str | None, str | None, int]]:
    return db.execute(text, args).fetchall()
