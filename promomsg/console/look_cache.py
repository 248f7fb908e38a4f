"""Looks that are kept while they are good, and how fast each campaign goes between them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from promomsg.clock import SYSTEM_CLOCK
from promomsg.console.console_types import Look
from promomsg.rate_meter import RateMeter, SingleSends
from promomsg.states import GROUP_OPEN

__all__ = ["Key", "LookCache"]

_FRESH_FOR: Final = 1.0
"""Seconds that a look is good for at a campaign that somebody may be sending."""
_ERROR_FOR: Final = 5.0
"""Seconds until a journal that could not be read is tried again, though it has not changed."""
_CHANGING: Final = frozenset({"sending", "following", "waiting", "paused", "planning"})
"""States that can end without a change of any file: time goes on, a sender dies."""
_MOST_LOOKS: Final = 400
_MOST_GROUPS: Final = 20_000
"""Group sends in all looks that are kept: one campaign may have many thousand."""
_MOST_METERS: Final = 256
_MEASURED_FOR: Final = 2.0
"""Seconds of looks that a rate is taken from at least."""
_WATCHED: Final = 30.0
"""Seconds without a look after which a rate is measured anew."""

Key = tuple[str, str]
"""The place and the name of a campaign."""


class _Kept(NamedTuple):
    signature: object
    look: Look
    at: float


class _Metered:
    """How fast one campaign goes, by looks at it."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.meter = RateMeter(now)
        self.since = self.last = now()


class LookCache:
    """The last look at each campaign; the latest ones, bounded.

    Args:
        now: monotonic seconds.
    """

    def __init__(self, now: Callable[[], float] = SYSTEM_CLOCK.monotonic) -> None:
        self._now = now
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()
        self._groups = 0
        self._meters: OrderedDict[Key, _Metered] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def good(self, key: Key, signature: object = None) -> Look | None:
        """The last look, when it says how the campaign stands now.

        Args:
            signature: of the journal's files now; None: there is none, and only time counts.
        """
        kept = self._kept.get(key)
        if kept is None or kept.signature != signature:
            return None
        look, age = kept.look, self._now() - kept.at
        if look.error:
            return look if age <= _ERROR_FOR else None
        if signature is not None and look.state not in _CHANGING:
            return look
        return look if age <= _FRESH_FOR else None

    def keep(self, look: Look, signature: object = None) -> Look:
        """Keeps a new look; returns it with the rate since those before."""
        key = (look.place, look.name)
        look = self._with_rate(key, look)
        self._forget(key)
        self._kept[key] = _Kept(signature, look, self._now())
        self._groups += _groups_of(look)
        while len(self._kept) > _MOST_LOOKS or (
            self._groups > _MOST_GROUPS and len(self._kept) > 1
        ):
            self._forget(next(iter(self._kept)))
        return look

    def _forget(self, key: Key) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._groups -= _groups_of(kept.look)

    def _with_rate(self, key: Key, look: Look) -> Look:
        report, now = look.report, self._now()
        if report is None or look.state != "sending":
            self._meters.pop(key, None)
            return look
        metered = self._meters.pop(key, None)
        if metered is None or now - metered.last > _WATCHED:
            metered = _Metered(self._now)
        self._meters[key] = metered
        metered.last = now
        singles = SingleSends.among(
            report.planned,
            report.pending,
            ((group.planned, group.state in GROUP_OPEN) for group in report.groups),
        )
        metered.meter.record(singles.settled)
        while len(self._meters) > _MOST_METERS:
            self._meters.popitem(last=False)
        if now - metered.since < _MEASURED_FOR:
            return look
        return msgspec.structs.replace(
            look, rate=metered.meter.rate, seconds_left=metered.meter.left(singles.pending)
        )


def _groups_of(look: Look) -> int:
    return 0 if look.report is None else len(look.report.groups)
