"""What the provider says of a campaign on later days, asked by whoever is there then, and kept with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from promomsg.channels.base import Channel, Following, has_groups
from promomsg.clock import SYSTEM_CLOCK, Clock
from promomsg.engine.following.reconcile import Match, reconcile
from promomsg.engine.later_days.due_days import (
    ClickQuestion,
    can_be_looked_for,
    click_questions,
    clicks_asked_at,
    earliest,
    lost_groups,
    next_day,
    next_look_for,
    spread_of,
)
from promomsg.engine.prepare.resume_checks import check_account
from promomsg.errors import PromoError
from promomsg.journal.contract import Handle, Journal
from promomsg.journal.records import ClickDay
from promomsg.shielded import run_shielded

__all__ = ["LookDone", "keep_due_clicks", "look_for_lost_groups"]

_AGAIN_IN: Final = 3600.0
"""Seconds before it is tried again after the provider did not answer."""


class LookDone(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a look.

    Attributes:
        asked: questions that were answered.
        next_at: Unix seconds of the next look; None: none is to come.
        trouble: why it could not be finished; empty when it was.
    """

    asked: int = 0
    next_at: float | None = None
    trouble: str = ""


async def keep_due_clicks(
    journal: Journal, channel: Channel, *, at_once: bool = False, clock: Clock = SYSTEM_CLOCK
) -> LookDone:
    """Asks for the clicks of a campaign that are due now, and keeps them in its journal.

    From the China-time day after a send on, once a day while they move, and once more after that
    (`due_days`). Done twice, or by two at once, it changes nothing: the latest count stands.

    Args:
        journal: the campaign's; of a file nobody may be sending it.
        channel: its account.
        at_once: a person asks: not some time after midnight, as many campaigns of an account do, but from
            the day after on.

    Raises:
        JournalError: it is another account's, or cannot be written.
    """
    if not has_groups(channel):
        return LookDone()
    handle = await journal.open(write=True)
    try:
        check_account(handle.record, channel)
        spread = 0.0 if at_once else spread_of(handle.record.run_id)
        return await _keep_clicks(handle, channel, clock, spread)
    finally:
        await run_shielded(handle.close)


async def _keep_clicks(handle: Handle, channel: Following, clock: Clock, spread: float) -> LookDone:
    compiled = channel.compile_snapshot(handle.record.message)
    questions = click_questions(await handle.groups(), await handle.sent_days())
    kept = await handle.clicks()
    asked, trouble = 0, ""
    for question in questions:
        due = clicks_asked_at(question, kept, now=clock.time(), spread=spread)
        if due is None or due > clock.time():
            continue
        try:
            counts = await channel.clicks_of_day(
                compiled, question.day, by_message=question.by_message
            )
        except PromoError as error:
            trouble = f"the clicks of {question.day} could not be had: {error}"
            break
        found = ClickDay(
            day=question.day,
            by_message=question.by_message,
            asked_at=clock.time(),
            counts=tuple(
                one for one in counts if not question.by_message or one.msg_id in question.msg_ids
            ),
        )
        await handle.keep_clicks(found)
        asked += 1
    return await _clicks_done(handle, questions, asked, trouble, clock, spread)


async def _clicks_done(
    handle: Handle,
    questions: Sequence[ClickQuestion],
    asked: int,
    trouble: str,
    clock: Clock,
    spread: float,
) -> LookDone:
    now = clock.time()
    kept = await handle.clicks()
    moments = [clicks_asked_at(one, kept, now=now, spread=spread) for one in questions]
    # Of a campaign that is not over, more days may come.
    moments.append(next_day(now, spread) if (await handle.counts()).pending else None)
    next_at = earliest(moments)
    if trouble:
        next_at = now + _AGAIN_IN
    return LookDone(asked=asked, next_at=next_at, trouble=trouble)


async def look_for_lost_groups(
    journal: Journal, channel: Channel, *, clock: Clock = SYSTEM_CLOCK
) -> LookDone:
    """Looks for group sends whose answer was lost, as `reconcile` does, and says what it found as a
    warning of the campaign. It takes nothing over: that is for a person to decide.

    Once a day from the China-time day after the call on, while it can be found out.

    Raises:
        JournalError: it is another account's, or cannot be written.
    """
    if not has_groups(channel):
        return LookDone()
    handle = await journal.open(write=True)
    try:
        check_account(handle.record, channel)
        return await _look_for_lost(handle, journal, channel, clock)
    finally:
        await run_shielded(handle.close)


async def _look_for_lost(
    handle: Handle, journal: Journal, channel: Following, clock: Clock
) -> LookDone:
    now, spread = clock.time(), spread_of(handle.record.run_id)
    lost = {group.group_no: group for group in lost_groups(await handle.groups())}
    matches: list[Match] = []
    trouble = ""
    if any(can_be_looked_for(group, now) for group in lost.values()):
        try:
            matches = await reconcile(journal, channel, clock=clock)
        except PromoError as error:
            trouble = f"lost group sends could not be looked for: {error}"
    moments: list[float | None] = []
    for number, group in lost.items():
        match = next((one for one in matches if one.group == number), None)
        next_at = next_look_for(group, now=now, spread=spread)
        if match is not None and match.msg_id is not None:
            await handle.warn(
                f"group {number}: its answer was lost, and the message {match.msg_id} can only be it: "
                "`promomsg reconcile --adopt` takes it over, `promomsg resume` follows it then"
            )
            continue
        if match is not None and next_at is None:
            await handle.warn(
                f"group {number}: its answer was lost, and it was not found: {match.reason}"
            )
        moments.append(next_at)
    moments.append(next_day(now, spread) if (await handle.counts()).pending else None)
    next_at = now + _AGAIN_IN if trouble else earliest(moments)
    return LookDone(asked=len(matches), next_at=next_at, trouble=trouble)
