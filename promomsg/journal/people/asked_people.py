"""Which people are asked for, in the terms of every kind of journal."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final, NamedTuple

from promomsg.errors import UsageError
from promomsg.journal.people.people_contract import PeoplePage
from promomsg.journal.records import CampaignRecord, is_asked_again
from promomsg.model import Outcome, State

__all__ = [
    "SEARCHED",
    "AskedPeople",
    "asked_people",
    "may_be_a_number",
    "page_of",
    "request_id_of_calls",
]

SEARCHED: Final = ("key", "id", "openid", "unionid", "request_id", "rid")
"""The columns that a search looks into."""

_LONGEST: Final = 5_000
"""Characters of a search: nothing that is kept is as long, and SQLite takes no longer pattern."""

_BEHIND_ALL: Final = 2**62
"""No recipient has such a number; a database takes it still."""

_WILDCARDS: Final = str.maketrans({sign: f"\\{sign}" for sign in "\\%_"})

Numbered = tuple[int, Outcome]
Find = Callable[[int, bool, int], list[Numbered]]
"""The next people behind a seq (or before it, the nearest first; then the flag is True), so many at the
most."""


class AskedPeople(NamedTuple):
    """See `PeopleView.people`.

    Attributes:
        pattern: for LIKE, with the escape character `\\`; None: everybody.
        nobody: nobody can be meant.
    """

    after: int | None
    before: int | None
    limit: int
    states: frozenset[State] | None
    code: str | None
    pattern: str | None
    nobody: bool


def asked_people(
    *,
    after: int | None,
    before: int | None,
    limit: int,
    states: Collection[State] | None,
    code: str | None,
    search: str | None,
) -> AskedPeople:
    """The arguments of `PeopleView.people`, looked at.

    Raises:
        UsageError: see there.
    """
    if after is not None and before is not None:
        raise UsageError(f"after={after} and before={before}: give one of them")
    if limit < 1:
        raise UsageError(f"limit={limit}: give at least 1")
    after, before = _in_range(after), _in_range(before)
    wanted = None if states is None else frozenset(states)
    nobody = wanted == frozenset() or not all(map(_may_be_kept, (code or "", search or "")))
    pattern = f"%{search.translate(_WILDCARDS)}%" if search else None
    return AskedPeople(after, before, limit, wanted, code, pattern, nobody)


def _in_range(seq: int | None) -> int | None:
    return None if seq is None else min(max(seq, -1), _BEHIND_ALL)


def may_be_a_number(seq: int) -> bool:
    """Whether a recipient may have that seq."""
    return 0 <= seq < _BEHIND_ALL


def _may_be_kept(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text and len(text) <= _LONGEST


def page_of(asked: AskedPeople, find: Find) -> PeoplePage:
    """The page: all that is found in both directions takes one look at each recipient at the most."""
    if asked.nobody:
        return PeoplePage()
    if asked.before is not None:
        found = find(asked.before, True, asked.limit + 1)
        people = tuple(reversed(found[: asked.limit]))
        later = bool(find(asked.before - 1, False, 1))
        return PeoplePage(people=people, has_earlier=len(found) > asked.limit, has_later=later)
    after = -1 if asked.after is None else asked.after
    found = find(after, False, asked.limit + 1)
    earlier = asked.after is not None and bool(find(after + 1, True, 1))
    return PeoplePage(
        people=tuple(found[: asked.limit]),
        has_earlier=earlier,
        has_later=len(found) > asked.limit,
    )


def request_id_of_calls(
    record: CampaignRecord, key: str, own: str | None, generation: int
) -> str | None:
    """The idempotency key of the calls for one recipient; see `Person.request_id`."""
    if not is_asked_again(record):
        return None
    if own is not None or record.channel != "alipay":
        return own
    from promomsg.alipay.codec import derive_request_id

    return derive_request_id(record.run_id, key, generation)
