"""Following a group send: when to look again, when it is done, and who was not reached.

The decisions are plain functions; `follow` is the loop for people without a campaign, and the
engine's poller makes the same decisions over its journal (DESIGN §7).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from promomsg.channels.base import Following
from promomsg.clock import Clock
from promomsg.errors import (
    Halted,
    NotFinished,
    PromoError,
    ProviderError,
    TransportError,
    UsageError,
)
from promomsg.model import Delivery, Failure
from promomsg.transport.tokens import TOKEN_REFUSED

__all__ = [
    "RESULT_LIFE",
    "Merge",
    "PollPolicy",
    "complete",
    "follow",
    "merge",
    "needs_file",
    "next_look",
    "settled",
]

RESULT_LIFE: Final = 7 * 86_400.0
"""Seconds in which a group's result can be had (seed, section II, note 2)."""

_FIRST_AFTER: Final = 60.0
_FIRST_AFTER_ON_LOOPBACK: Final = 1.0
_READ_TRIES: Final = 5
_LONGEST_WAIT: Final = 60.0
"""Seconds that a look waits in all for a provider that asked to; then it is an error."""
_LOOKS_AT_100: Final = 2
"""More looks at a group that is at 100 but whose counts do not add up yet."""


class PollPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When to ask how a group send went.

    Attributes:
        first_after: seconds until the first look; the seed advises minutes. Default: 60, and 1 on a
            loopback base URL, where a sandbox has nothing to wait for.
        every: seconds between looks at the most (a ceiling); default 120.
        give_up_after: seconds of following in this process, then the groups stay pending and the
            campaign can be resumed; default 7,200.
    """

    first_after: float | None = None
    every: float = 120.0
    give_up_after: float = 7200.0

    def __post_init__(self) -> None:
        for name in ("first_after", "every", "give_up_after"):
            value = getattr(self, name)
            if value is None and name == "first_after":
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
                raise UsageError(f"PollPolicy({name}={value!r}): give seconds, 0 or more")

    @property
    def first_wait(self) -> float:
        """Seconds until the first look, wherever the provider is."""
        return _FIRST_AFTER if self.first_after is None else self.first_after

    def resolved(self, *, loopback: bool) -> PollPolicy:
        """This policy for a provider that is on this machine, or is not."""
        if self.first_after is not None or not loopback:
            return self
        return msgspec.structs.replace(self, first_after=_FIRST_AFTER_ON_LOOPBACK)


def next_look(
    policy: PollPolicy, *, waited: float, percent: int | None, before: int | None
) -> float:
    """Seconds until the next look, by the progress seen between the last two.

    Args:
        waited: seconds between the last look (or the send) and this one.
        percent, before: progress at this look and at the one before.
    """
    floor = min(policy.first_wait, policy.every)
    if percent is not None and percent > (before or 0):
        pace = (percent - (before or 0)) / max(waited, 0.001)
        return min(max((100 - percent) / pace, floor), policy.every)
    return min(max(waited * 1.5, floor), policy.every)


def complete(delivery: Delivery, planned: int) -> bool:
    """Whether the provider is through with this group.

    At percent 100; a missing percent is done only when `send_cnt` has reached the planned number
    and `fail_cnt` is there (facts/wechat.md, Wire oddities, `percent`).
    """
    if delivery.percent is not None:
        return delivery.percent >= 100
    return (
        delivery.send_cnt is not None
        and delivery.send_cnt >= planned
        and delivery.fail_cnt is not None
    )


def needs_file(delivery: Delivery) -> bool:
    """Whether the answer names fewer failures than it counts and says where the rest are."""
    if delivery.fail_info_url is None:
        return False
    return delivery.fail_cnt is None or len(delivery.failures) < delivery.fail_cnt


class Merge(msgspec.Struct, frozen=True):
    """What a finished group came to.

    Attributes:
        failures: one record a recipient; the first one stands.
        unnamed: how many members may have failed without being named: with any, nobody unnamed is
            known to have been reached.
        warnings: what did not add up, for a person.
    """

    failures: tuple[Failure, ...]
    unnamed: int
    warnings: tuple[str, ...]


def merge(
    delivery: Delivery,
    from_file: Iterable[Failure],
    planned: int,
    members: frozenset[str] | None = None,
) -> Merge:
    """Merges the answer's `fail_info` with its failure file: one record per recipient.

    Args:
        planned: how many members the group has.
        members: their ids; None when they are not known (an audience).

    `send_cnt` includes failures (inferred, DESIGN §7): under `planned` at the end means that some
    members were never handled, and nothing says whose they are.
    """
    named: dict[str, Failure] = {}
    strangers = repeats = 0
    for failure in (*delivery.failures, *from_file):
        if members is not None and failure.id not in members:
            strangers += 1
        elif failure.id not in named:
            named[failure.id] = failure
        elif failure.code != named[failure.id].code:
            repeats += 1
    warnings = list(delivery.warnings)
    who = f"group {delivery.msg_id}"
    if strangers:
        warnings.append(f"{who}: {strangers} failures name ids that are not its members")
    if repeats:
        warnings.append(f"{who}: {repeats} members are named twice with different codes")
    unnamed = 0
    if delivery.fail_cnt is None:
        unnamed = max(planned - len(named), 0)
        warnings.append(f"{who}: no fail_cnt: who was reached cannot be said")
    elif len(named) < delivery.fail_cnt:
        unnamed = delivery.fail_cnt - len(named)
        warnings.append(
            f"{who}: {delivery.fail_cnt} failures are counted and {len(named)} members named"
        )
    elif len(named) > delivery.fail_cnt:
        warnings.append(
            f"{who}: {len(named)} members are named and {delivery.fail_cnt} failures counted"
        )
    if members is not None and (delivery.send_cnt is None or delivery.send_cnt < planned):
        short = planned - (delivery.send_cnt or 0)
        unnamed = max(unnamed, short)
        said = "no send_cnt" if delivery.send_cnt is None else f"send_cnt {delivery.send_cnt}"
        warnings.append(f"{who}: {said} for {planned} members: who was left out cannot be said")
    return Merge(tuple(named.values()), unnamed, tuple(warnings))


def settled(delivery: Delivery, merged: Merge, looks_at_100: int) -> bool:
    """Whether a group at 100 is taken as it is, or looked at again since it does not add up yet.

    `fail_cnt` is "updated after all sent" (seed, section II): it may trail `percent`.
    """
    return merged.unnamed == 0 or looks_at_100 > _LOOKS_AT_100


async def look(channel: Following, msg_id: str, clock: Clock) -> Delivery:
    """One look, tried again when the connection or the provider's moment was bad.

    Where the provider asked to wait, there is no other look before that.
    """
    patience = _LONGEST_WAIT
    for attempt in range(1, _READ_TRIES + 1):
        try:
            return await channel.get_delivery(msg_id)
        except (ProviderError, TransportError, Halted) as error:
            refused = isinstance(error, Halted) and error.code == TOKEN_REFUSED
            asked = getattr(error, "retry_after", None) or 0.0
            patience -= asked
            if patience < 0 or attempt == _READ_TRIES:
                raise
            if not (refused or channel.is_transient(error)):
                raise
            await clock.sleep(max(min(2.0**attempt * 0.25, 10.0), asked))
    raise AssertionError("unreachable")


async def follow(channel: Following, msg_id: str, policy: PollPolicy, clock: Clock) -> Delivery:
    """Polls one group send until it is done; its failures merged, its failure file fetched.

    Raises:
        ProviderError, TransportError: a look failed time and again.
        NotFinished: `give_up_after` is over.
    """
    began = clock.monotonic()
    waited, before, at_100 = policy.first_wait, None, 0
    while True:
        delivery = await look(channel, msg_id, clock)
        if complete(delivery, delivery.send_cnt or 0):
            at_100 += 1
            extra: tuple[Failure, ...] = ()
            notes: tuple[str, ...] = ()
            if needs_file(delivery) and delivery.fail_info_url is not None:
                try:
                    file = await channel.fetch_failures(
                        delivery.fail_info_url, delivery.send_cnt or 0
                    )
                    extra = file.failures
                    notes = (file.warning,) if file.warning else ()
                except PromoError as error:
                    notes = (f"group {msg_id}: the failure file could not be read: {error}",)
            merged = merge(delivery, extra, delivery.send_cnt or 0)
            if settled(delivery, merged, at_100):
                return msgspec.structs.replace(
                    delivery, failures=merged.failures, warnings=(*merged.warnings, *notes)
                )
        waited = next_look(policy, waited=waited, percent=delivery.percent, before=before)
        before = delivery.percent
        if clock.monotonic() - began + waited > policy.give_up_after:
            raise NotFinished(
                f"group {msg_id} is at {delivery.percent} percent after "
                f"{clock.monotonic() - began:.0f} s; ask again later (results stay 7 days)"
            )
        await clock.sleep(waited)
