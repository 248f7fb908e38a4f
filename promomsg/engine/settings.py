"""How a campaign is run: one frozen value, each field with its unit and default."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final, Literal, TypedDict, TypeVar

import msgspec

from promomsg.argument_checks import check_yes_or_no, is_text
from promomsg.delivery import PollPolicy
from promomsg.engine.frequency.frequency_cap import FrequencyCap, parse_frequency_cap
from promomsg.engine.schedule.first_options import (
    FIRST_STOP_ABOVE,
    FIRST_WAIT,
    FirstOptions,
    check_first_is_there,
    checked_first,
)
from promomsg.engine.schedule.time_options import TimeOptions, checked_times, given_times
from promomsg.errors import JournalError, UsageError
from promomsg.model import GROUP_THRESHOLD
from promomsg.suggest import did_you_mean

__all__ = ["Options", "RetryPolicy", "Settings", "settings_of", "with_options_shown"]

F = TypeVar("F", bound=Callable[..., Any])

_SMALLEST_GROUP_LIMIT: Final = 2 * GROUP_THRESHOLD - 1
"""From 99 on, any set of 50 or more splits into groups that are none of them under 50."""
_CONCURRENCY: Final = 64
_NO_SETTINGS: Final = ("pace", "carried", "idempotent")
"""What a journal keeps beside them, under their names."""
_MOST_AT_ONCE: Final = 1_000
"""Calls in flight: the campaign file's limit too."""


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is tried again, how often, and with what pauses (docs/design.md, "Budgets").

    Attributes:
        attempts: calls for one recipient at the most; default 8.
        retry_share, retry_allowance: how many retries all recipients together may have: this share
            of the calls (0.25 is a quarter) plus this number; 0.25 and 100.
        first_pause, longest_pause: seconds before a recipient's second attempt, and the longest
            pause; it doubles in between, with jitter; 0.5 and 30.
        outage_after: failures in a row, with no call getting through in between, after which the
            campaign stops fanning out and probes with one call at a time; default 3.
    """

    attempts: int = 8
    retry_share: float = 0.25
    retry_allowance: int = 100
    first_pause: float = 0.5
    longest_pause: float = 30.0
    outage_after: int = 3

    def __post_init__(self) -> None:
        for name, least in (("attempts", 1), ("retry_allowance", 0), ("outage_after", 1)):
            _whole(f"RetryPolicy: {name}", getattr(self, name), least)
        for name, unit in (
            ("retry_share", "of the calls"),
            ("first_pause", "seconds"),
            ("longest_pause", "seconds"),
        ):
            value = getattr(self, name)
            if not _number(value) or not 0 <= value < math.inf:
                raise UsageError(f"RetryPolicy: {name}={value!r}: a number of 0 or more ({unit})")


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `send` and `Campaign` take beside the channel, the message and the recipients.

    Attributes:
        concurrency: calls in flight at once, 1 to 1,000; default 64.
        route: `"single"` or `"group"` overrides the 50 threshold; None lets the planner decide.
        resolve: map openids to promoter ids through `getpromoter` first.
        expand: make every authorised promoter of an audience a recipient of its own.
        max_group_size: most members of one group call, at least 99; default 10,000.
        groups_in_flight: group calls out at once, 1 to 1,000; one lost answer costs one group;
            default 1.
        max_error_rate: halt when more than this share of the last outcomes are not `sent`; off.
        on_daily_quota: `"stop"` (resumable) or `"wait"` for the next China-time day.
        max_recipients: refuse a plan with more than this many to send to.
        only: send to these keys alone, an iterable of strings; the rest is skipped
            (`NOT_SELECTED`).
        durability: `"power"` survives a power cut, `"process"` a killed process.
        poll, retry: see `PollPolicy` and `RetryPolicy`.
        start_at, finish_by: nothing goes out before the one and from the other on; who was not sent to
            by then becomes `cancelled` (`FINISH_BY`). A datetime with its zone, or text, like
            `"2026-12-12 09:00"`. In a resume, `start_at="now"` takes the start back.
        between: nothing goes out outside of these hours: `"09:00-21:00"`, `"Mon-Fri 09:00-21:00"`, or a
            list of them.
        zone: the time zone of the three, by name; default `"Asia/Shanghai"` for WeChat.
        zone_column: the column of the list that names the zone of each recipient.
        first: so many are sent to first, and the others once it is seen how that went: a whole number,
            or a share of those to be sent to, like `"2%"`; None: all at once.
        first_stop_above: the share of them, 0 to 1, over which failed and unknown ones stop the
            campaign; default 0.1.
        first_wait: how long they are looked at once the last of them is answered: seconds, or text
            such as `"10m"`, the default.
        first_ask: stop after that in any case, until `resume(approve=True)`.
        max_per_person: nobody gets more messages than that, `"2 in 7d"`, counted over the campaigns of
            the same account whose journals are in the same folder, or fleet; the others are skipped
            (`MAX_PER_PERSON`). None: not counted.
    """

    concurrency: int = _CONCURRENCY
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
    start_at: str | None = None
    finish_by: str | None = None
    between: tuple[str, ...] | None = None
    zone: str | None = None
    zone_column: str | None = None
    first: int | str | None = None
    first_stop_above: float = FIRST_STOP_ABOVE
    first_wait: float | str = FIRST_WAIT
    first_ask: bool = False
    max_per_person: str | None = None

    def __post_init__(self) -> None:
        _whole("concurrency", self.concurrency, 1, _MOST_AT_ONCE)
        _whole("groups_in_flight", self.groups_in_flight, 1, _MOST_AT_ONCE)
        if self.max_recipients is not None:
            _whole("max_recipients", self.max_recipients, 1)
        if self.route is not None:
            _one_of("route", self.route, "single", "group")
        _one_of("on_daily_quota", self.on_daily_quota, "stop", "wait")
        _one_of("durability", self.durability, "power", "process")
        check_yes_or_no(resolve=self.resolve, expand=self.expand)
        _whole("max_group_size", self.max_group_size, 1)
        if self.max_group_size < _SMALLEST_GROUP_LIMIT:
            raise UsageError(
                f"max_group_size={self.max_group_size}: at least {_SMALLEST_GROUP_LIMIT}, so that "
                f"no group ends up under {GROUP_THRESHOLD}"
            )
        rate = self.max_error_rate
        if rate is not None and (not _number(rate) or not 0 < rate <= 1):
            raise UsageError(f"max_error_rate={rate!r}: a share over 0 and up to 1, like 0.2")
        if not isinstance(self.poll, PollPolicy):
            raise UsageError(
                f"poll={self.poll!r}: give promomsg.PollPolicy(first_after=60, every=120), in seconds"
            )
        if not isinstance(self.retry, RetryPolicy):
            raise UsageError(f"retry={self.retry!r}: give promomsg.RetryPolicy(attempts=8)")
        if self.only is not None:
            msgspec.structs.force_setattr(self, "only", _keys(self.only))
        self.cap  # noqa: B018 - refuses what is none
        msgspec.structs.force_setattr(self, "first_wait", self._checked_first().wait)
        self._set_times(checked_times(**msgspec.structs.asdict(given_times(self))))

    def _set_times(self, times: TimeOptions) -> None:
        for name in times.__struct_fields__:
            msgspec.structs.force_setattr(self, name, getattr(times, name))

    @property
    def times(self) -> TimeOptions:
        """The options that say when it is sent."""
        return given_times(self)

    def in_zone_of(self, channel: str) -> Settings:
        """The same with the time zone named that its times are in, and each moment with its offset.

        Args:
            channel: its name, `"wechat"`.

        Raises:
            UsageError: no zone is known, or a moment is not one there.
        """
        return msgspec.structs.replace(
            self, **msgspec.structs.asdict(self.times.of_channel(channel))
        )

    def _checked_first(self) -> FirstOptions:
        return checked_first(
            self.first,
            stop_above=self.first_stop_above,
            wait=self.first_wait,
            ask=self.first_ask,
        )

    @property
    def first_few(self) -> FirstOptions | None:
        """When the others follow the first few; None: everybody is sent to at once."""
        return None if self.first is None else self._checked_first()

    @property
    def cap(self) -> FrequencyCap | None:
        """How many messages a person may have; None: nobody counts."""
        return None if self.max_per_person is None else parse_frequency_cap(self.max_per_person)

    @property
    def wanted_connections(self) -> int:
        """Connections that the client should have room for; 0 with the default concurrency.

        Nobody asked for the default, so a client with fewer connections (`max_connections`) keeps
        its own limit.
        """
        return 0 if self.concurrency == _CONCURRENCY else self.concurrency

    def snapshot(self) -> dict[str, Any]:
        """What the journal keeps, so that a resume runs the same way."""
        kept: dict[str, Any] = msgspec.to_builtins(self)
        return kept

    @classmethod
    def from_snapshot(cls, kept: dict[str, Any]) -> Settings:
        """The settings a journal kept, beside the pace (`default_pace.pace_of`) and what hooks carry.

        Raises:
            JournalError: one that this version does not have, or a value of another type: to run
                without it would not be the campaign that was begun.
            UsageError: a value out of its range.
        """
        try:
            return msgspec.convert({n: v for n, v in kept.items() if n not in _NO_SETTINGS}, cls)
        except msgspec.ValidationError as error:
            raise JournalError(f"its settings are of another version: {error}") from None


def _whole(name: str, value: object, least: int, most: float = math.inf) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        wanted = f"of {least} or more" if most == math.inf else f"from {least} to {most}"
        raise UsageError(f"{name}={value!r}: a whole number {wanted}")


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _one_of(name: str, value: object, *words: str) -> None:
    if not isinstance(value, str) or value not in words:
        raise UsageError(f"{name}={value!r}: say {' or '.join(map(repr, words))}")


def _keys(only: Any) -> tuple[str, ...]:
    """The keys of `only`. Of a bare string, each character would be taken for somebody's key."""
    if isinstance(only, (str, bytes, Mapping)) or not isinstance(only, Iterable):
        raise UsageError(f"only={only!r}: give a list of keys, like only=[{str(only)!r}]")
    keys = tuple(only)
    for key in keys:
        if not is_text(key):
            raise UsageError(f"only: {key!r} is not a str; keys are text, like {str(key)!r}")
    if not keys:
        raise UsageError("only is empty: nobody would be sent to; name a key, or leave it out")
    return keys


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
    only: Iterable[str] | None
    durability: Literal["power", "process"]
    poll: PollPolicy
    retry: RetryPolicy
    start_at: datetime | str | None
    finish_by: datetime | str | None
    between: str | Iterable[str] | None
    zone: str | None
    zone_column: str | None
    first: int | str | None
    first_stop_above: float
    first_wait: float | str
    first_ask: bool
    max_per_person: str | None


def settings_of(options: Any) -> Settings:
    """The settings, with the nearest known name for one that is not.

    Raises:
        UsageError: an unknown option, or a value out of its range.
    """
    known = Settings.__struct_fields__
    for name in options:
        if name not in known:
            raise UsageError(f"there is no option {name!r}{did_you_mean(name, known)}")
    check_first_is_there(options)
    return Settings(**options)


def with_options_shown(function: F) -> F:
    """Lets `inspect.signature` and `help` show the options themselves instead of `**options`."""
    signature = inspect.signature(function)
    shown = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    defaults = Settings()
    for name, annotation in Options.__annotations__.items():
        text = getattr(annotation, "__forward_arg__", annotation)
        kind = inspect.Parameter.KEYWORD_ONLY
        shown.append(
            inspect.Parameter(name, kind, default=getattr(defaults, name), annotation=text)
        )
    function.__signature__ = signature.replace(parameters=shown)  # type: ignore[attr-defined]
    return function
