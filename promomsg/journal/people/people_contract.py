"""What every journal says of the people of its campaign, a page at a time and one by one, by plain
calls without an event loop."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

import msgspec

from promomsg.journal.records import GroupRow
from promomsg.model import Outcome, State

__all__ = ["EarlierAttempt", "PeoplePage", "PeopleView", "Person", "SinglesOfDay"]


class PeoplePage(msgspec.Struct, frozen=True, kw_only=True):
    """Some people of a campaign, in order of seq.

    Attributes:
        people: each one's number in the journal (`seq`), and where they stand.
        has_earlier: whether there are more of those asked for before them.
        has_later: whether there are more behind them.
    """

    people: tuple[tuple[int, Outcome], ...] = ()
    has_earlier: bool = False
    has_later: bool = False


class EarlierAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """Where somebody stood before a retry or an adopted group send took it back.

    Attributes:
        state: where they stood.
        attempts: calls made until then.
        code, detail, rid: of the answer or the reason for it.
        at: Unix seconds when they got there.
        group: the msg_id of the group send they were in; None: it was a single send.
    """

    state: State
    attempts: int
    code: str = ""
    detail: str = ""
    rid: str | None = None
    at: float | None = None
    group: str | None = None


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """All that a journal keeps of one recipient, but the fingerprint of a user's token.

    Attributes:
        seq: their number in the journal.
        outcome: where they stand, as `CampaignView.rows` has it.
        values: of the message's placeholders, in their order; empty for a message without.
        cohort: the number of their cohort; see `CampaignRecord.cohorts`.
        group: the group send they are in; None: they are sent to alone.
        request_id: the idempotency key of their calls, their own or the one that promomsg makes; None:
            their provider knows none.
        maybe_sent: an earlier attempt may have been delivered.
        history: attempts that were taken back, the first one first.
    """

    seq: int
    outcome: Outcome
    values: tuple[str, ...] = ()
    cohort: int = 0
    group: GroupRow | None = None
    request_id: str | None = None
    maybe_sent: bool = False
    history: tuple[EarlierAttempt, ...] = ()


class SinglesOfDay(msgspec.Struct, frozen=True, kw_only=True):
    """Single sends that count for the quota of one China-time day.

    Attributes:
        day: `2026-11-24`.
        singles: how many were called, or are about to be.
        of_account: whether it is everything that was sent for the account; False: only what this
            campaign sent, since a journal in a file knows of no other.
    """

    day: str
    singles: int
    of_account: bool


class PeopleView(Protocol):
    """The people of a campaign, while it is sent and after. Memory does not grow with them, and no sender is
    held up: whatever takes long is read in many short reads. Whom a sender that died left intended is as
    a resume will take them."""

    def people(
        self,
        *,
        after: int | None = None,
        before: int | None = None,
        limit: int,
        states: Collection[State] | None = None,
        code: str | None = None,
        search: str | None = None,
    ) -> PeoplePage:
        """The first `limit` people behind seq `after`, or the last `limit` before seq `before`; with
        neither, the first ones of all. Those of an audience whom nobody named are in no journal.

        Args:
            limit: at least 1.
            states: only those in one of these states (`intended` is one of its own); None: in any.
            code: only those with exactly this code; None: whatever theirs is.
            search: only those who have this piece of text in their key, id, openid, unionid, request
                id or rid, the letters a to z in either case. No character stands for another
                one. None or empty: everybody.

        Raises:
            UsageError: both `after` and `before` are given, or `limit` is below 1.
            JournalError: it cannot be read.
        """

    def person(self, seq: int) -> Person | None:
        """One of them with everything that is kept of them; None: there is nobody with this number."""

    def singles_of(self, day: str) -> SinglesOfDay:
        """What of the quota of a China-time day (`2026-11-24`) is used up.

        On PostgreSQL this is all that was sent for the campaign's account by every sender of the fleet. A
        journal in a file or in memory knows its own campaign only: another one of the same account
        comes on top. A day that is long past may not be known any more, and has 0.
        """

    def sample_values(self) -> tuple[str, ...] | None:
        """The values of the message's placeholders of one of the first recipients (or groups) that has
        some, for the message as people see it; None: none of the first 10,000 has."""
