"""What is said while a campaign runs, and the plain lines that say it where nothing can be redrawn."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final, Protocol

from promomsg.cli.language.terminal_language import _, translated
from promomsg.cli.language.wide_text import padded, width
from promomsg.cli.output.printing import print_to_stderr, shown_count, shown_duration
from promomsg.control_characters import escaped
from promomsg.rate_meter import RateMeter, SingleSends
from promomsg.states import GROUP_OPEN

__all__ = [
    "PlainView",
    "View",
    "group_lines",
    "progress_line",
    "single_sends",
    "trouble_text",
    "waiting_text",
]

_EVERY: Final = 5.0
"""Seconds between plain lines."""
_QUIET: Final = 10.0
"""Seconds without a result after which a line says so, and again each time they are over."""
_GROUPS: Final = 8
"""Groups shown at once; the rest is shown_count."""


def single_sends(document: Mapping[str, Any]) -> SingleSends:
    """Those of a document, that a rate is taken of."""
    groups = ((group["planned"], group["state"] in GROUP_OPEN) for group in document["groups"])
    return SingleSends.among(document["planned"], document["pending"], groups)


def progress_line(
    document: Mapping[str, Any],
    meter: RateMeter | None = None,
    in_flight: int = 0,
    now: float | None = None,
) -> str:
    """The counts in one line.

    Args:
        now: Unix seconds; None: the machine's clock.
    """
    counts = _("{0}: {1:,} sent, {2:,} failed, {3:,} unknown, {4:,} pending of {5:,}")
    names = ("sent", "failed", "unknown", "pending", "planned")
    parts = [counts.format(_(document["state"]), *(document[name] for name in names))]
    if document["skipped"]:
        parts.append(_("{0:,} skipped").format(document["skipped"]))
    few = document.get("first", {})
    if few.get("phase") == "sending":
        answered = few["planned"] - few["pending"]
        text = _("{0:,} of the first {1:,} answered")
        parts.append(text.format(answered, few["planned"]))
    if document["cancelled"]:
        parts.append(_("{0:,} cancelled").format(document["cancelled"]))
    if meter is not None and document["state"] != "waiting":
        parts.append(_("{0:.1f}/s").format(meter.rate))
        left = meter.left(single_sends(document).pending)
        if left is not None and not document["reason"]:
            parts.append(_("about {0} left").format(shown_duration(left)))
    if in_flight:
        parts.append(_("{0} in flight").format(in_flight))
    if document["state"] == "waiting":
        parts.append(waiting_text(document, now))
    elif document["state"] == "sending":
        trouble = trouble_text(document, meter, in_flight)
        if trouble:
            parts.append(trouble)
    return _(", ").join(parts)


def trouble_text(document: Mapping[str, Any], meter: RateMeter | None, in_flight: int) -> str:
    """Why a campaign that is being sent does not get on; empty when it does."""
    if document["reason"]:
        return translated(document["reason"])
    if meter is None or meter.quiet < _QUIET:
        return ""
    quiet = _("no result for {0}")
    if not in_flight:
        quiet = _("no result for {0} (the rest waits for another try, or for the pace)")
    return quiet.format(shown_duration(meter.quiet))


def waiting_text(document: Mapping[str, Any], now: float | None = None) -> str:
    """For what a campaign waits, and how long still: `it starts at 2026-12-12 09:00 (…), in 2 h 05 min`.

    Args:
        now: Unix seconds; None: the machine's clock.
    """
    until, reason = document.get("waits_until"), translated(str(document["reason"]))
    if until is None:
        return reason
    left = max(until - (time.time() if now is None else now), 0.0)
    return _("{0}, in {1}").format(reason, shown_duration(left))


def _followed(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The groups that are not complete yet."""
    return [g for g in document["groups"] if g["state"] in ("intended", "accepted")]


def _next_poll(groups: Iterable[Mapping[str, Any]]) -> float | None:
    """Unix seconds of the next poll of any of them."""
    upcoming = (group.get("next_poll_at") for group in groups)
    return min((at for at in upcoming if at is not None), default=None)


def group_lines(document: Mapping[str, Any], now: float, *, aligned: bool = False) -> list[str]:
    """One line a group that is not complete yet, the first few of them, and when the next one is polled.

    Args:
        now: Unix seconds.
        aligned: the numbers one below the other, where a percent that grows moves nothing.
    """
    groups = _followed(document)
    lines = []
    names = [escaped(str(group["msg_id"] or _("no msg_id yet"))) for group in groups[:_GROUPS]]
    wide = max(map(width, names), default=0) if aligned else 0
    most = max((len(f"{group['planned']:,}") for group in groups), default=0) if aligned else 0
    for name, group in zip(names, groups, strict=False):
        percent = "?" if group["percent"] is None else group["percent"]
        lines.append(
            _("group {0} ({1}): {2}%").format(
                padded(name, wide), f"{group['planned']:{most},}", f"{percent:>{3 * aligned}}"
            )
        )
    if len(groups) > _GROUPS:
        lines.append(_("and {0}").format(shown_count(len(groups) - _GROUPS, "more group")))
    upcoming = _next_poll(groups)
    if upcoming is not None:
        lines.append(_("next poll in {0}").format(shown_duration(max(upcoming - now, 0.0))))
    return lines


class View(Protocol):
    """Where progress goes."""

    def show(self, document: Mapping[str, Any], in_flight: int) -> None: ...
    def close(self) -> None: ...


class PlainView:
    """A line on stderr when something has changed, every few seconds at the most; and while it
    sends, now and then although nothing has.

    Args:
        stamped: each line begins with the local time.
    """

    def __init__(
        self,
        every: float = _EVERY,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        *,
        stamped: bool = False,
    ) -> None:
        self._stamped = stamped
        self._every = every
        self._now = now
        self._wall = wall
        self._meter = RateMeter(now)
        self._last = now()
        self._shown: object = None

    def show(self, document: Mapping[str, Any], in_flight: int) -> None:
        """Takes a document in; says it when it is time."""
        self._meter.record(single_sends(document).settled)
        if self._now() - self._last < self._every:
            return
        groups = group_lines(document, self._wall())
        stalled = bool(document["reason"])
        # A poll that found nothing new is shown too, since the next one is later.
        percents = [g["percent"] for g in _followed(document)]
        looks = (percents, _next_poll(_followed(document)))
        # While it waits, a line an hour tells that it is still there.
        until = document.get("waits_until")
        hours_left = None if until is None else (until - self._wall()) // 3600
        counts = (document["pending"], document["planned"], hours_left)
        key = (document["state"], stalled, counts, looks)
        quiet = document["state"] == "sending" and self._now() - self._last >= _QUIET
        if key == self._shown and not quiet:
            return
        self._last = self._now()
        self._shown = key
        counts_line = progress_line(document, self._meter, in_flight, self._wall())
        line = _("; ").join([counts_line, *groups])
        if self._stamped:
            at = datetime.fromtimestamp(self._wall()).astimezone()
            line = f"{at:%Y-%m-%d %H:%M:%S} {line}"
        print_to_stderr(line)

    def close(self) -> None:
        """Nothing to close."""
