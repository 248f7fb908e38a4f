"""When the provider is asked again about days that are over: for their clicks, and for group sends whose
answer was lost. Pure: the time is passed in, and everything else stands in the journal, so that any
process, days later, comes to the same.

All days are China time (docs/facts/wechat.md, "Windows"). The account's campaigns need not all ask at
midnight: each is `spread_of` seconds late.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from promomsg.clock import DAY, china_date, china_day, china_day_begins, next_china_midnight
from promomsg.delivery import RESULT_LIFE
from promomsg.journal.records import ClickDay, GroupRow
from promomsg.states import GroupState

__all__ = [
    "CLICKS_KEPT",
    "CLICKS_MOVE",
    "ClickQuestion",
    "can_be_looked_for",
    "click_questions",
    "clicks_asked_at",
    "earliest",
    "lost_groups",
    "next_day",
    "next_look_for",
    "spread_of",
]

CLICKS_MOVE: Final = 7
CLICKS_KEPT: Final = 90
"""Days after the send on which its clicks still move, and after which nobody has them
(docs/facts/wechat.md, "Windows")."""
_LONGEST_SPREAD: Final = 7_200
_CLOCKS_DIFFER: Final = 120.0
"""Seconds: a group sent so near to midnight may be of the other day at the provider."""


class ClickQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked about one day.

    Attributes:
        day: the China-time day of the sends, `2026-11-24`.
        by_message: each group send by itself; False: the message type as a whole.
        msg_ids: the campaign's own group sends of that day; what the answer has of others is not kept.
    """

    day: str
    by_message: bool
    msg_ids: frozenset[str] = frozenset()


def spread_of(run_id: str) -> float:
    """Seconds after midnight at which a campaign asks; always the same for one campaign."""
    return float(int(run_id[:8], 16) % _LONGEST_SPREAD)


def next_day(now: float, spread: float) -> float:
    """When a campaign asks on the day after `now`, Unix seconds."""
    return next_china_midnight(now) + spread


def earliest(moments: Iterable[float | None]) -> float | None:
    """The first of some moments, of which None never comes."""
    return min((moment for moment in moments if moment is not None), default=None)


def click_questions(groups: Sequence[GroupRow], single_days: Sequence[str]) -> list[ClickQuestion]:
    """Everything that is ever asked about a campaign: by message for the days of its group sends, by
    type for those of its single sends, whose messages have no numbers."""
    sent: dict[str, set[str]] = {}
    for group in groups:
        if group.msg_id is not None and group.sent_at is not None:
            for at in (group.sent_at - _CLOCKS_DIFFER, group.sent_at + _CLOCKS_DIFFER):
                sent.setdefault(china_day(at), set()).add(group.msg_id)
    asked = [
        ClickQuestion(day=day, by_message=True, msg_ids=frozenset(ids)) for day, ids in sent.items()
    ]
    asked += [ClickQuestion(day=day, by_message=False) for day in single_days]
    return sorted(asked, key=lambda one: (one.day, not one.by_message))


def clicks_asked_at(
    question: ClickQuestion, kept: Sequence[ClickDay], *, now: float, spread: float
) -> float | None:
    """When a question is asked next, Unix seconds; in the past: now. None: never.

    From the day after the sends on, once a day while the figures move, and once more when they do not
    any more; after that what is kept stands.

    Args:
        kept: what was kept of the campaign so far.
    """
    day = datetime.date.fromisoformat(question.day)
    last = next(
        (
            found.asked_at
            for found in kept
            if (found.day, found.by_message) == (question.day, question.by_message)
        ),
        None,
    )
    due = china_day_begins(day) + DAY + spread
    if last is not None:
        if (china_date(last) - day).days > CLICKS_MOVE:
            return None
        due = max(due, next_day(last, spread))
    if (china_date(max(due, now)) - day).days > CLICKS_KEPT:
        return None
    return due


def lost_groups(groups: Sequence[GroupRow]) -> list[GroupRow]:
    """Group sends whose answer was lost, and that nobody has found since."""
    return [
        group
        for group in groups
        if group.state is GroupState.UNKNOWN and group.msg_id is None and group.sent_at is not None
    ]


def can_be_looked_for(group: GroupRow, now: float) -> bool:
    """Whether the provider lists what was sent on the day of a lost group by now, and still says how it
    went (7 days)."""
    sent_at = group.sent_at
    return sent_at is not None and next_china_midnight(sent_at) <= now < sent_at + RESULT_LIFE


def next_look_for(group: GroupRow, *, now: float, spread: float) -> float | None:
    """When a lost group is looked for after `now`: once a day for as long as it can be; None: never."""
    assert group.sent_at is not None
    due = next_day(max(group.sent_at, now), spread)
    return due if due < group.sent_at + RESULT_LIFE else None
