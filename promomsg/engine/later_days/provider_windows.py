"""Until when the provider can be asked about a campaign, and what is to be said of its clicks. Pure: all
of it follows from the campaign's record, its group sends, what is kept, and the time.

Clicks can be had from the China-time day after a send, move for 7 days, and are gone after 90; the result of
a group send is gone after 7 (docs/facts/wechat.md, "Windows").
"""

from __future__ import annotations

import datetime
import shlex
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum, auto
from typing import Final

from promomsg.clock import DAY, china_date, china_day, china_day_begins, china_minute
from promomsg.delivery import RESULT_LIFE
from promomsg.durations import format_age
from promomsg.engine.later_days.due_days import (
    CLICKS_KEPT,
    CLICKS_MOVE,
    ClickQuestion,
    can_be_looked_for,
    click_questions,
    clicks_asked_at,
    lost_groups,
)
from promomsg.journal.records import CampaignRecord, ClickDay, GroupRow
from promomsg.model import GROUP_CHANNELS
from promomsg.states import GroupState

__all__ = ["click_notes", "closing_windows"]

_CLICKS_NOTICE: Final = 7
"""Days before a day's clicks are gone at which it is said."""
_RESULT_NOTICE: Final = 2 * DAY
"""Seconds before a group's result is gone at which it is said, when nobody follows it."""
_FILE_LOST: Final = "the failure file could not be had"
"""In a warning of `Poller`: it has counted failures whose names it could not get."""


def closing_windows(
    record: CampaignRecord,
    groups: Sequence[GroupRow],
    kept: Sequence[ClickDay],
    sent_days: Sequence[str],
    *,
    unnamed: int,
    running: bool,
    journal: str | None,
    now: float,
) -> list[str]:
    """What the provider soon does not say any more and nobody has asked for, a warning each.

    Args:
        kept: what was kept of clicks.
        sent_days: the days of its single sends.
        unnamed: recipients of groups whose failures nobody named.
        running: whether a sender is at work, which follows its group sends itself.
        journal: its path, or `fleet:NAME`.
        now: Unix seconds.
    """
    if record.channel not in GROUP_CHANNELS:
        return []
    place = "JOURNAL" if journal is None else shlex.quote(journal)
    found = list(_closing_clicks(groups, kept, sent_days, place, now))
    for group in groups:
        if group.sent_at is None or not 0 <= now - group.sent_at < RESULT_LIFE:
            continue
        found += _closing_group(record, group, place, now, unnamed=unnamed, running=running)
    return found


def _closing_clicks(
    groups: Sequence[GroupRow],
    kept: Sequence[ClickDay],
    sent_days: Sequence[str],
    place: str,
    now: float,
) -> Iterator[str]:
    closing = {
        question.day
        for question in click_questions(groups, sent_days)
        if clicks_asked_at(question, kept, now=now, spread=0.0) is not None
        and _age(question.day, now) >= CLICKS_KEPT - _CLICKS_NOTICE
    }
    if closing:
        first = min(closing)
        ends = china_day_begins(_last_day(first)) + DAY
        yield (
            f"the clicks of {_said(closing)} can be had until {_last_day(first)} (China time), "
            f"{format_age(now - ends)}: `promomsg clicks {place}` keeps them"
        )


def _closing_group(
    record: CampaignRecord,
    group: GroupRow,
    place: str,
    now: float,
    *,
    unnamed: int,
    running: bool,
) -> Iterator[str]:
    assert group.sent_at is not None
    name = f"group {group.group_no}"
    ends = group.sent_at + RESULT_LIFE
    until = f"until {china_minute(ends)} (China time), {format_age(now - ends)}"
    if group.state is GroupState.ACCEPTED and not running and ends - now <= _RESULT_NOTICE:
        yield (
            f"{name} ({group.msg_id}): its result can be had {until}: `promomsg resume {place}` "
            "follows it"
        )
    elif lost_groups([group]) and can_be_looked_for(group, now):
        if not any(text.startswith(f"{name}: its answer was lost") for text in record.warnings):
            yield (
                f"{name}: its answer was lost, and it can be looked for {until}: "
                f"`promomsg reconcile {place}`"
            )
    elif (
        group.state is GroupState.DONE
        and unnamed
        and any(text.startswith(f"{name} (") and _FILE_LOST in text for text in record.warnings)
    ):
        file = shlex.quote(record.campaign_file or "FILE")
        yield (
            f"{name} ({group.msg_id}): whom it did not reach can be asked {until}: "
            f"`promomsg follow {group.msg_id} --campaign {file}` names them"
        )


def click_notes(
    record: CampaignRecord,
    groups: Sequence[GroupRow],
    kept: Sequence[ClickDay],
    sent_days: Sequence[str],
    *,
    journal: str | None,
    now: float,
) -> list[str]:
    """What to know of a campaign's clicks beside the figures: what they are of, which of them are still to
    come, and which nobody has.

    Args: as `closing_windows` has them.
    """
    if record.channel == "alipay":
        return ["the API of Alipay+ wallets has no clicks"]
    if record.channel not in GROUP_CHANNELS:
        return [f"{record.channel} has no clicks"]
    questions = click_questions(groups, sent_days)
    if not questions:
        return []
    notes = ["WeChat counts clicks by group send, and never says who clicked"]
    if any(not question.by_message for question in questions):
        notes = [
            "WeChat counts clicks on single sends by message type and day, those of other campaigns too, "
            "and never says who clicked"
        ]
    days: dict[tuple[_Known, str], set[str]] = {}
    for question in questions:
        days.setdefault(_known(question, kept, now), set()).add(question.day)
    place = "JOURNAL" if journal is None else shlex.quote(journal)
    for (known, asked), of in days.items():
        notes += _note(known, f"the clicks of {_said(of)}", asked, place)
    return notes


class _Known(Enum):
    """What is known of the clicks of one day, and can be."""

    TOO_EARLY = auto()
    NOT_ASKED = auto()
    NEVER_ASKED = auto()
    MOVING = auto()
    EARLIER = auto()
    EARLIER_FOR_EVER = auto()
    FINAL = auto()


def _known(question: ClickQuestion, kept: Sequence[ClickDay], now: float) -> tuple[_Known, str]:
    """It, and the day on which they were asked for; empty: they were not."""
    age = _age(question.day, now)
    of_it = (question.day, question.by_message)
    asked = next((one.asked_at for one in kept if (one.day, one.by_message) == of_it), None)
    if age < 1:
        return _Known.TOO_EARLY, ""
    if asked is None:
        return (_Known.NEVER_ASKED if age > CLICKS_KEPT else _Known.NOT_ASKED), ""
    if _age(question.day, asked) > CLICKS_MOVE:
        return _Known.FINAL, ""
    if age <= CLICKS_MOVE:
        return _Known.MOVING, ""
    return (_Known.EARLIER_FOR_EVER if age > CLICKS_KEPT else _Known.EARLIER), china_day(asked)


def _note(known: _Known, clicks: str, asked: str, place: str) -> list[str]:
    match known:
        case _Known.TOO_EARLY:
            return [f"{clicks} can be had from the day after on (China time)"]
        case _Known.NOT_ASKED:
            return [f"{clicks} were not asked for yet: `promomsg clicks {place}` keeps them"]
        case _Known.NEVER_ASKED:
            return [f"{clicks} could be had for 90 days and were not asked for: nobody has them"]
        case _Known.MOVING:
            return [f"{clicks} still move, until the 7th day after the send"]
        case _Known.EARLIER:
            return [
                f"{clicks} are those of {asked}, when they still moved: `promomsg clicks {place}` "
                "asks once more"
            ]
        case _Known.EARLIER_FOR_EVER:
            return [
                f"{clicks} are those of {asked}: what came later was not asked for within 90 days, "
                "and nobody has it"
            ]
        case _Known.FINAL:
            return []


def _age(day: str, now: float) -> int:
    """China-time days from a day to the one of `now`."""
    return (china_date(now) - datetime.date.fromisoformat(day)).days


def _last_day(day: str) -> datetime.date:
    return datetime.date.fromisoformat(day) + datetime.timedelta(days=CLICKS_KEPT)


def _said(days: Iterable[str]) -> str:
    """`2026-11-24`, or the first and the last of several."""
    first, last = min(days), max(days)
    return first if first == last else f"{first} to {last}"
