"""Group sends whose answer was lost, looked for among what the provider says was sent.

A lost answer leaves no `msg_id`. From the China-time day after, the click data lists messages
with `msg_id` and time, and a look at each returns its content, path, list type and ids.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from promomsg.argument_checks import check_channel, check_yes_or_no
from promomsg.channels.base import Channel, CompiledMessage, Following, has_groups
from promomsg.clock import SYSTEM_CLOCK, Clock
from promomsg.engine.prepare.resume_checks import check_account
from promomsg.errors import PromoError, UsageError
from promomsg.journal.contract import Handle, Journal
from promomsg.journal.locate import existing_journal
from promomsg.journal.records import GroupRow
from promomsg.model import Delivery
from promomsg.states import GroupState

__all__ = ["Match", "pair", "reconcile"]

_BEFORE: Final = 120.0
_AFTER: Final = 900.0
"""Seconds around our call in which the provider may have noted the message: clocks differ, and
an answer can be lost after a long wait."""
_LIST_TYPE: Final = {"roles": 1, "retailers": 2, "everyone": 0}


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """What was found for one lost group send.

    Attributes:
        group: its number in the journal.
        members: how many recipients it has.
        sent_at: Unix seconds of our call.
        msg_id: the one message that it must be; None when there is none or more than one.
        candidates: messages that it may be.
        reason: why it could not be matched; empty when it was.
        adopted: whether the journal has taken it over.
    """

    group: int
    members: int
    sent_at: float | None
    msg_id: str | None = None
    candidates: tuple[str, ...] = ()
    reason: str = ""
    adopted: bool = False


def pair(fits: dict[int, Sequence[str]]) -> dict[int, str]:
    """Groups and messages that can only be each other's.

    Args:
        fits: per group, the messages that it may be.
    """
    claims: dict[str, int] = {}
    for messages in fits.values():
        for msg_id in messages:
            claims[msg_id] = claims.get(msg_id, 0) + 1
    return {
        group: messages[0]
        for group, messages in fits.items()
        if len(messages) == 1 and claims[messages[0]] == 1
    }


async def reconcile(
    journal: str | os.PathLike[str] | Journal,
    channel: Channel,
    *,
    adopt: bool = False,
    clock: Clock = SYSTEM_CLOCK,
) -> list[Match]:
    """Looks for every lost group send of a campaign; nothing is ever sent.

    Args:
        journal: the campaign's; a path, or a `Journal`.
        adopt: take over the unambiguous ones: their members are pending again and `resume` polls
            them. Without it the journal is not changed.

    Raises:
        JournalError: it is another account's, or (with `adopt`) somebody is sending it.
        UsageError: the channel has no group sends.
    """
    check_channel(channel, "promomsg.reconcile(journal, channel)")
    check_yes_or_no(adopt=adopt)
    journal = existing_journal(journal)
    if not has_groups(channel):
        raise UsageError(f"reconcile: {channel.name} has no group sends")
    handle = await journal.open(write=adopt)
    try:
        check_account(handle.record, channel)
        compiled = channel.compile_snapshot(handle.record.message)
        return await _reconcile(handle, channel, compiled, adopt, clock)
    finally:
        await handle.close()


async def _reconcile(
    handle: Handle, channel: Following, compiled: CompiledMessage, adopt: bool, clock: Clock
) -> list[Match]:
    groups = await handle.groups()
    known = {g.msg_id for g in groups if g.msg_id is not None}
    lost = [g for g in groups if g.state is GroupState.UNKNOWN and g.msg_id is None]
    seen: dict[str, Delivery] = {}
    fits: dict[int, Sequence[str]] = {}
    reasons: dict[int, str] = {}
    for group in lost:
        try:
            fits[group.group_no] = await _candidates(handle, channel, compiled, group, known, seen)
        except PromoError as error:
            reasons[group.group_no] = str(error)
            continue
        count = len(fits[group.group_no])
        if count == 0:
            reasons[group.group_no] = (
                "no message of that time has its content and recipients; "
                "one that nobody clicked may not be listed"
            )
        elif count > 1:
            reasons[group.group_no] = f"{count} messages fit: which one it is cannot be said"
    pairs = pair(fits)
    matches = []
    for group in lost:
        msg_id = pairs.get(group.group_no)
        reason = reasons.get(group.group_no, "")
        if msg_id is None and not reason:
            reason = "the message that fits it fits another lost group as well"
        if msg_id is not None and adopt:
            now = clock.time()
            await handle.adopt_group(group.group_no, msg_id, now, now)
        matches.append(
            Match(
                group=group.group_no,
                members=group.planned,
                sent_at=group.sent_at,
                msg_id=msg_id,
                candidates=tuple(fits.get(group.group_no, ())),
                reason="" if msg_id is not None else reason,
                adopted=msg_id is not None and adopt,
            )
        )
    return matches


async def _candidates(
    handle: Handle,
    channel: Following,
    compiled: CompiledMessage,
    group: GroupRow,
    known: set[str],
    seen: dict[str, Delivery],
) -> list[str]:
    if group.sent_at is None:
        raise UsageError("the journal does not say when it was sent")
    listed = await channel.group_sends_between(
        compiled, group.sent_at - _BEFORE, group.sent_at + _AFTER
    )
    members: frozenset[str] | None = None
    fitting = []
    for msg_id in listed:
        if msg_id in known:
            continue
        if msg_id not in seen:
            seen[msg_id] = await channel.get_delivery(msg_id)
        delivery = seen[msg_id]
        if members is None and group.audience is None:
            members = frozenset(await handle.group_members(group.group_no))
        if channel.same_message(compiled, group.values, delivery) and _same_people(
            group.audience, members, delivery
        ):
            fitting.append(msg_id)
    return fitting


def _same_people(
    audience: dict[str, Any] | None, members: frozenset[str] | None, delivery: Delivery
) -> bool:
    """Whether a message went to the people of this group.

    An answer that does not say to whom is no match: two groups of one campaign have the same
    content, and adopting the wrong one would be a guess.
    """
    if audience is None:
        return delivery.list_type == 3 and frozenset(delivery.ids) == members
    [(kind, value)] = audience.items()
    if delivery.list_type != _LIST_TYPE[kind]:
        return False
    if kind == "roles":
        return sorted(delivery.role_ids) == sorted(value)
    return kind == "everyone" or sorted(delivery.retail_ids) == sorted(value)
