"""What is drawn while a campaign runs: a few lines at the foot of the terminal, redrawn in place."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from promomsg.cli.language.terminal_language import _
from promomsg.cli.language.wide_text import folded, padded, width, wrapped
from promomsg.cli.output.printing import shown_duration
from promomsg.cli.output.progress import (
    PlainView,
    View,
    group_lines,
    single_sends,
    trouble_text,
    waiting_text,
)
from promomsg.cli.output.terminal_page import is_drawable, style_of_count, style_of_word
from promomsg.control_characters import escaped
from promomsg.rate_meter import RateMeter

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["FallbackView", "LiveView", "live_lines", "make_view"]

_WIDEST: Final = 100
"""Columns that the view takes at the most: a terminal made narrower then has to break none of its lines."""
_LONGEST_BAR: Final = 60
_RATE: Final = 9
"""Columns of `1234.5/s`."""
_LEFT: Final = 22
"""Columns of `about 59 min 59 s left`."""
_BARS: Final = ("━", "─")
_PLAIN_BARS: Final = ("=", "-")
_STYLES: Final = {"alarm": "red", "doubt": "yellow", "good": "green", "": ""}


def live_lines(
    document: Mapping[str, Any], meter: RateMeter, in_flight: int, *,
    columns: int, now: float, bars: tuple[str, str] = _BARS,
) -> list[Text]:  # fmt: skip
    """The lines of a campaign as it stands: name and state, how far it is, counts, rate, groups.

    Each fits, and a number that grows moves nothing beside it.

    Args:
        columns: of the terminal.
        now: Unix seconds.
        bars: what the done part of the bar is drawn with, and the rest.
    """
    from rich.text import Text

    columns = min(columns, _WIDEST)
    state = document["state"]
    title = f"{escaped(document['campaign'])}: {_(state)}"
    lines = [Text(line, _STYLES[style_of_word(state)]) for line in folded(title, columns)]
    for line in lines:
        line.stylize("bold")
    lines.append(_bar(document, columns, bars))
    lines += _counts(document, columns)
    lines += [Text(line) for line in _side_by_side(_speed(document, meter, in_flight), columns)]
    if state == "waiting":
        lines += [Text(line) for line in wrapped(waiting_text(document, now), columns)]
    elif state == "sending" and (trouble := trouble_text(document, meter, in_flight)):
        lines += [Text(line, "yellow") for line in wrapped(trouble, columns)]
    for text in group_lines(document, now, aligned=True):
        lines += [Text(line) for line in folded(text, columns)]
    return lines


def _bar(document: Mapping[str, Any], columns: int, bars: tuple[str, str]) -> Text:
    from rich.text import Text

    planned = document["planned"]
    done = planned - document["pending"]
    share = done / planned if planned else 1.0
    # 100% is said when nobody is left, and not a moment before.
    percent = 100 if done == planned else min(int(100 * share), 99)
    text = _("{0:,} of {1:,}").format(done, planned)
    text = " " * (width(_("{0:,} of {1:,}").format(planned, planned)) - width(text)) + text
    figures = f" {percent:3d}%  {text}"
    long = max(min(columns - width(figures), _LONGEST_BAR), 5)
    full = int(long * share)
    line = Text().append(bars[0] * full, "green")
    line.append(bars[1] * (long - full), "dim")
    line.append(figures)
    return line


def _counts(document: Mapping[str, Any], columns: int) -> Iterator[Text]:
    """Side by side, as many as fit, each as wide as it can become."""
    from rich.text import Text

    names = ["sent", "failed", "unknown", "pending"]
    names += [name for name in ("skipped", "cancelled") if document[name]]
    number = len(f"{document['planned']:,}")
    word = max(width(_(name)) for name in names)
    each = word + 1 + number
    in_a_row = max((columns + 3) // (each + 3), 1)
    for at in range(0, len(names), in_a_row):
        line = Text()
        for name in names[at : at + in_a_row]:
            line.append("   " if line else "").append(padded(_(name), word) + " ")
            style = _STYLES[style_of_count(name, document[name])]
            line.append(f"{document[name]:{number},}", style)
        yield line


def _speed(document: Mapping[str, Any], meter: RateMeter, in_flight: int) -> Iterator[str]:
    """How fast it is, how long still, and what is out; each padded, so that the next one stays in its place."""
    if document["state"] != "waiting":
        yield padded(_("{0:.1f}/s").format(meter.rate), _RATE)
        left = meter.left(single_sends(document).pending)
        if left is not None and not document["reason"]:
            yield padded(_("about {0} left").format(shown_duration(left)), _LEFT)
    if in_flight:
        yield _("{0} in flight").format(in_flight)
    few = document.get("first", {})
    if few.get("phase") == "sending":
        answered = few["planned"] - few["pending"]
        yield _("{0:,} of the first {1:,} answered").format(answered, few["planned"])


def _side_by_side(parts: Iterable[str], columns: int) -> Iterator[str]:
    """Lines of as many parts as fit, none of them broken."""
    line = ""
    for part in parts:
        if line and width(f"{line}   {part.rstrip()}") > columns:
            yield line.rstrip()
            line = ""
        line += f"   {part}" if line else part
    if line:
        yield line.rstrip()


class LiveView:
    """Draws it by rich, at the width that the terminal has at that moment."""

    def __init__(self, console: Any = None) -> None:
        from rich.console import Console
        from rich.live import Live

        self._meter = RateMeter()
        self._console = console or Console(stderr=True, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._live.start()

    def show(self, document: Mapping[str, Any], in_flight: int) -> None:
        """Draws a document."""
        from rich.console import Group

        self._meter.record(single_sends(document).settled)
        bars = _BARS if self._console.encoding.startswith("utf") else _PLAIN_BARS
        lines = live_lines(
            document, self._meter, in_flight,
            columns=self._console.width, now=time.time(), bars=bars,
        )  # fmt: skip
        self._live.update(Group(*lines), refresh=True)

    def close(self) -> None:
        """Takes it off the terminal."""
        self._live.stop()


class FallbackView:
    """A live view that is replaced by plain lines when it fails: the campaign goes on.

    Args:
        make: makes the view to show as long as it works.
    """

    def __init__(self, make: Callable[[], View] = LiveView) -> None:
        self._view: View = PlainView()
        with suppress(Exception):  # a terminal that cannot be drawn on must not stop the campaign
            self._view = make()

    def show(self, document: Mapping[str, Any], in_flight: int) -> None:
        """Draws a document."""
        try:
            self._view.show(document, in_flight)
        except Exception:  # noqa: BLE001 - see above
            self.close()
            self._view = PlainView()

    def close(self) -> None:
        """Takes it off the terminal."""
        with suppress(Exception):
            self._view.close()


def make_view() -> View:
    """The live one when stderr is a terminal that can be drawn on; plain lines elsewhere, with their
    time where nobody looks on."""
    is_terminal = sys.stderr.isatty()
    if is_drawable(is_terminal, os.environ):
        return FallbackView()
    return PlainView(stamped=not is_terminal)
