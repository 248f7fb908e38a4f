"""When to ask how a group send went, when it is complete, and who was not reached. Pure.

Used by the engine's poller over its journal, and by `channels.following` for people without a
campaign (docs/design.md, "Following a group").
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from promomsg.errors import UsageError
from promomsg.model import Delivery, Failure
from promomsg.plural import counted

__all__ = [
    "RESULT_LIFE",
    "EarlierFailures",
    "MergedFailures",
    "PollPolicy",
    "adds_up",
    "is_complete",
    "later_poll_in",
    "merge_failures",
    "needs_failure_file",
    "next_poll_in",
]

RESULT_LIFE: Final = 7 * 86_400.0
"""Seconds after the send in which its result can be had (docs/facts/wechat.md, "Windows")."""

_FIRST_AFTER: Final = 60.0
_FIRST_AFTER_ON_LOOPBACK: Final = 1.0
_LATER_PART: Final = 12
_LATER_CEILING: Final = 3 * 3600.0
_LAST_LOOK: Final = 600.0
"""Seconds before its result is gone in which a group is looked at once more."""
_NAMES_KEPT: Final = 100_000
"""Failures of unfinished groups that one process keeps by name: some 20 MB."""
_MORE_POLLS_AT_100: Final = 2
"""More polls of a group that is at 100 percent but whose counts do not add up yet."""


class PollPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When to ask how a group send went.

    Attributes:
        first_after: seconds until the first poll; the page advises minutes. Default: 60, and 1 on a
            loopback base URL, where a sandbox has nothing to wait for.
        every: seconds between polls at the most (a ceiling); default 120.
        give_up_after: seconds of following in this process, then the groups stay pending and the
            campaign can be resumed; default 7,200. Workers of a fleet follow them on, more seldom.
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
        """Seconds until the first poll; `first_after`, or its default."""
        return _FIRST_AFTER if self.first_after is None else self.first_after

    def resolved(self, *, loopback: bool) -> PollPolicy:
        """This policy for a provider that is on this machine, or is not."""
        if self.first_after is not None or not loopback:
            return self
        return msgspec.structs.replace(self, first_after=_FIRST_AFTER_ON_LOOPBACK)


def next_poll_in(
    policy: PollPolicy, *, waited: float, percent: int | None, before: int | None
) -> float:
    """Seconds until the next poll, by the progress seen between the last two.

    With progress: when it would reach 100 at that rate. Without: half as long again as the last
    wait. Never shorter than the first wait, never longer than `policy.every`.

    Args:
        waited: seconds between the poll before (or the send) and this one.
        percent, before: progress at this poll and at the one before.
    """
    floor = min(policy.first_wait, policy.every)
    if percent is not None and percent > (before or 0):
        pace = (percent - (before or 0)) / max(waited, 0.001)
        return min(max((100 - percent) / pace, floor), policy.every)
    return min(max(waited * 1.5, floor), policy.every)


def later_poll_in(policy: PollPolicy, *, wait: float, followed: float, age: float) -> float:
    """Seconds until the next poll where nobody stays for it: whoever is there then makes it, so that a
    group is followed until its result is gone, and not given up.

    Once a process would have given it up (`give_up_after`), the pause is a twelfth of the time for which
    it is followed, and three hours at the most. It is looked at once more before its result is gone, and
    right after that.

    Args:
        wait: as a process would wait (`next_poll_in`).
        followed: seconds for which it is polled by now.
        age: seconds since it was sent.
    """
    if followed + wait > policy.give_up_after:
        wait = max(wait, min(followed / _LATER_PART, _LATER_CEILING))
    left = RESULT_LIFE - age
    return min(wait, left - _LAST_LOOK if left > _LAST_LOOK else max(left, 0.0) + 1.0)


def is_complete(delivery: Delivery, planned: int) -> bool:
    """Whether this group is complete: nothing more will come of it.

    At percent 100; a missing percent is done only when `send_cnt` has reached the planned number
    and `fail_cnt` is there (docs/facts/wechat.md, "Wire oddities", `percent`).
    """
    if delivery.percent is not None:
        return delivery.percent >= 100
    return (
        delivery.send_cnt is not None
        and delivery.send_cnt >= planned
        and delivery.fail_cnt is not None
    )


def needs_failure_file(delivery: Delivery) -> bool:
    """Whether the answer names fewer failures than it counts and says where the rest are."""
    if delivery.fail_info_url is None:
        return False
    return delivery.fail_cnt is None or len(delivery.failures) < delivery.fail_cnt


class MergedFailures(msgspec.Struct, frozen=True):
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


class EarlierFailures:
    """Failures that polls named before a group was complete. A provider may name some in one answer and
    others in the next; whether it does is not known.

    Args:
        limit: how many are kept over all groups, so that memory does not grow with the list. What is beyond
            it is forgotten, and those members may end as not known.
    """

    def __init__(self, limit: int = _NAMES_KEPT) -> None:
        self._room = limit
        self._named: dict[int, dict[str, Failure]] = {}

    def add(self, group_no: int, failures: Iterable[Failure]) -> None:
        """Keeps what a poll of this group named; of a promoter the first record."""
        for failure in failures:
            named = self._named.setdefault(group_no, {})
            if failure.id not in named and self._room > 0:
                named[failure.id] = failure
                self._room -= 1

    def of(self, group_no: int) -> tuple[Failure, ...]:
        """What the polls of this group have named."""
        return tuple(self._named.get(group_no, {}).values())

    def drop(self, group_no: int) -> None:
        """Forgets a group that is not followed any more."""
        self._room += len(self._named.pop(group_no, {}))


def merge_failures(
    delivery: Delivery,
    from_file: Iterable[Failure],
    planned: int,
    members: frozenset[str] | None = None,
    earlier: Iterable[Failure] = (),
) -> MergedFailures:
    """Merges the answer's `fail_info` with its failure file: one record per recipient.

    Args:
        planned: how many members the group has.
        members: their ids; None when they are not known (an audience).
        earlier: what earlier polls named. It fills up what the last answer counts and does not name, when
            all of it fits in there; else some of it was taken back, and nothing says which.

    `send_cnt` includes failures (inferred: docs/facts/wechat.md, "Delivery result"): under
    `planned` at the end means that some members were never handled, and nothing says whose they
    are.
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
    before = {
        f.id: f for f in earlier if f.id not in named and (members is None or f.id in members)
    }
    if len(named) + len(before) <= (delivery.fail_cnt or 0):
        named.update(before)
    warnings = list(delivery.warnings)
    who = f"group {delivery.msg_id}"
    if strangers:
        warnings.append(
            f"{who}: {counted(strangers, 'failure names an id that is not its member', 'failures name ids that are not its members')}"
        )
    if repeats:
        warnings.append(
            f"{who}: {counted(repeats, 'member is', 'members are')} named twice with different codes"
        )
    unnamed = 0
    if delivery.fail_cnt is None:
        unnamed = max(planned - len(named), 0)
        warnings.append(f"{who}: no fail_cnt: who was reached cannot be said")
    elif len(named) < delivery.fail_cnt:
        unnamed = delivery.fail_cnt - len(named)
        warnings.append(
            f"{who}: {counted(delivery.fail_cnt, 'failure is', 'failures are')} counted and {counted(len(named), 'member')} named"
        )
    elif len(named) > delivery.fail_cnt:
        warnings.append(
            f"{who}: {counted(len(named), 'member is', 'members are')} named and {counted(delivery.fail_cnt, 'failure')} counted"
        )
    if members is not None and (delivery.send_cnt is None or delivery.send_cnt < planned):
        short = planned - (delivery.send_cnt or 0)
        unnamed = max(unnamed, short)
        said = "no send_cnt" if delivery.send_cnt is None else f"send_cnt {delivery.send_cnt}"
        warnings.append(
            f"{who}: {said} for {counted(planned, 'member')}: who was left out cannot be said"
        )
    return MergedFailures(tuple(named.values()), unnamed, tuple(warnings))


def adds_up(merged: MergedFailures, polls_at_100: int) -> bool:
    """Whether a complete group is taken as it is; False: poll again, its counts do not add up yet.

    `fail_cnt` is "updated after all sent" (docs/facts/wechat.md, "Delivery result"): it may come
    later than `percent` 100.

    Args:
        polls_at_100: how many polls found it complete, this one included.
    """
    return merged.unnamed == 0 or polls_at_100 > _MORE_POLLS_AT_100
