"""What `-v` and `--log-json` show on stderr: the events of promomsg's log, for a person or a machine."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from promomsg.cli.language.terminal_language import translated
from promomsg.cli.output.printing import format_time
from promomsg.control_characters import escaped
from promomsg.log_events import EVENTS

__all__ = ["JsonLines", "TextLines", "show_log", "translated_warnings"]


class TextLines(logging.Handler):
    """`2026-11-24 09:00:01 hold: the provider asks for fewer calls: …`, in local time and in the
    language of the terminal."""

    def emit(self, record: logging.LogRecord) -> None:
        """Prints a record."""
        at = datetime.fromtimestamp(record.created).astimezone()
        name = getattr(record, "event", record.levelname.lower())
        text = escaped(translated(record.getMessage()))
        print(f"{at:%Y-%m-%d %H:%M:%S} {name}: {text}", file=sys.stderr, flush=True)


class JsonLines(logging.Handler):
    """One JSON object a line: `at` (ISO 8601, UTC), `level`, `logger`, `event`, `message` and the
    event's values; `error` with the kind of an exception."""

    def emit(self, record: logging.LogRecord) -> None:
        """Prints a record."""
        event = getattr(record, "event", None)
        line: dict[str, Any] = {
            "at": format_time(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": event,
            "message": record.getMessage(),
        }
        line |= {name: getattr(record, name, None) for name in EVENTS.get(event or "", ())}
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
        text = json.dumps(line, ensure_ascii=False, default=str)
        print(text, file=sys.stderr, flush=True)


class _Warnings(logging.Handler):
    """What logging shows when nobody has asked for a log: a warning as it is, in the language of the
    terminal."""

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record) if record.exc_info else escaped(translated(record.getMessage()))
        print(text, file=sys.stderr, flush=True)


@contextmanager
def translated_warnings() -> Iterator[None]:
    """Has logging's last resort, which prints warnings that no handler takes, print them translated."""
    before, logging.lastResort = logging.lastResort, _Warnings(logging.WARNING)
    try:
        yield
    finally:
        logging.lastResort = before


def show_log(verbose: int, as_json: bool) -> None:
    """Shows promomsg's log from now on; without either option nothing changes.

    Args:
        verbose: how often `-v` was given: once for what happens, twice for each retry too.
        as_json: one JSON object a line.
    """
    if not verbose and not as_json:
        return
    log = logging.getLogger("promomsg")
    log.setLevel(logging.DEBUG if verbose > 1 else logging.INFO)
    log.handlers[:] = [JsonLines() if as_json else TextLines()]
    log.propagate = False
