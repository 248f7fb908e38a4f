"""How a campaign is run: one frozen value, each field with its unit and default."""

from __future__ import annotations

from typing import Any, Final, Literal, TypedDict

import msgspec

from promomsg.channels.follow import PollPolicy
from promomsg.errors import UsageError
from promomsg.model import GROUP_THRESHOLD
from promomsg.suggest import nearest

__all__ = ["Options", "RetryPolicy", "Settings", "settings_of"]

_SMALLEST_GROUP_LIMIT: Final = 2 * GROUP_THRESHOLD - 1
"""From 99 on, any set of 50 or more splits into groups that are none of them under 50."""


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What is tried again, how often, and with what pauses (DESIGN §3, Budgets).

    Attributes:
        attempts: calls for one recipient at the most; default 8.
        share, floor: retries over all are at most `share` of the calls plus `floor`; 25% and 100.
        base, ceiling: seconds of the first pause and of the longest one; it doubles in between,
            with full jitter; 0.5 and 30.
        outage_after: failures in a row, with no call getting through in between, after which the
            campaign stops fanning out and probes with one call at a time; default 3.
    """

    attempts: int = 8
    share: float = 0.25
    floor: int = 100
    base: float = 0.5
    ceiling: float = 30.0
    outage_after: int = 3


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What `send` and `Campaign` take beside the channel, the message and the recipients.

    Attributes:
        concurrency: calls in flight at once; default 64.
        route: `"single"` or `"group"` overrides the 50 threshold; None lets the planner decide.
        resolve: map openids to promoter ids through `getpromoter` first.
        expand: make every authorised promoter of an audience a recipient of its own.
        max_group_size: most members of one group call, at least 99; default 10,000.
        groups_in_flight: group calls out at once; one lost answer costs one group; default 1.
        max_error_rate: halt when more than this share of the last outcomes are not `sent`; off.
        on_daily_quota: `"stop"` (resumable) or `"wait"` for the next China-time day.
        max_recipients: refuse a plan with more than this many to send to.
        only: send to these keys alone; the rest is skipped (`NOT_SELECTED`).
        durability: `"power"` survives a power cut, `"process"` a killed process.
        poll, retry: see `PollPolicy` and `RetryPolicy`.
    """

    concurrency: int = 64
    route: Literal["single", "group"] | None = None
    resolve: bool = False
    expand: bool = False
    max_group_size: int = 10_000
    groups_in_flight: int = 1
    max_error_rate: float | None = None
    on_daily_quota: Literal["stop", "wait"] = "stop"
    max_recipients: int | None = None
    only: tuple[str, ...] | None = None
    durability: Literal["power", "process"] = "power"
    poll: PollPolicy = msgspec.field(default_factory=PollPolicy)
    retry: RetryPolicy = msgspec.field(default_factory=RetryPolicy)

    def __post_init__(self) -> None:
        _whole("concurrency", self.concurrency, 1)
        _whole("groups_in_flight", self.groups_in_flight, 1)
        if self.max_recipients is not None:
            _whole("max_recipients", self.max_recipients, 1)
        if self.route not in (None, "single", "group"):
            raise UsageError(f"route={self.route!r}: say 'single', 'group' or nothing")
        if self.on_daily_quota not in ("stop", "wait"):
            raise UsageError(f"on_daily_quota={self.on_daily_quota!r}: say 'stop' or 'wait'")
        if self.durability not in ("power", "process"):
            raise UsageError(f"durability={self.durability!r}: say 'power' or 'process'")
        _whole("max_group_size", self.max_group_size, 1)
        if self.max_group_size < _SMALLEST_GROUP_LIMIT:
            raise UsageError(
                f"max_group_size={self.max_group_size}: at least {_SMALLEST_GROUP_LIMIT}, so that "
                f"no group ends up under {GROUP_THRESHOLD}"
            )
        rate = self.max_error_rate
        if rate is not None and (isinstance(rate, bool) or not 0 < rate <= 1):
            raise UsageError(f"max_error_rate={rate!r}: a share over 0 and up to 1, like 0.2")

    def snapshot(self) -> dict[str, Any]:
        """What the journal keeps, so that a resume runs the same way."""
        kept: dict[str, Any] = msgspec.to_builtins(self)
        return kept

    @classmethod
    def from_snapshot(cls, kept: dict[str, Any]) -> Settings:
        """The settings a journal kept."""
        return msgspec.convert(kept, cls)


def _whole(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UsageError(f"{name}={value!r}: a whole number of {least} or more")


class Options(TypedDict, total=False):
    """The keyword arguments that `send` and `Campaign` share; `Settings` documents each."""

    concurrency: int
    route: Literal["single", "group"] | None
    resolve: bool
    expand: bool
    max_group_size: int
    groups_in_flight: int
    max_error_rate: float | None
    on_daily_quota: Literal["stop", "wait"]
    max_recipients: int | None
    only: tuple[str, ...] | None
    durability: Literal["power", "process"]
    poll: PollPolicy
    retry: RetryPolicy


def settings_of(options: Any) -> Settings:
    """The settings, with the nearest known name for one that is not.

    Raises:
        UsageError: an unknown option, or a value out of its range.
    """
    known = Settings.__struct_fields__
    for name in options:
        if name not in known:
            meant = nearest(name, known)
            hint = f"; did you mean {meant}?" if meant else ""
            raise UsageError(f"there is no option {name!r}{hint}")
    return Settings(**options)
