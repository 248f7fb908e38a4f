"""What is printed: lines for a person, tables that stream, and the one JSON document on stdout."""

from __future__ import annotations

import errno
import io
import json
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Final

from promomsg.cli.exit_status import ALL_SENT, WRONG
from promomsg.cli.language.terminal_language import _, translated
from promomsg.cli.language.wide_text import padded, width
from promomsg.cli.output.standard_streams import utf8_stdout, write_error_of
from promomsg.control_characters import escaped
from promomsg.durations import format_duration
from promomsg.errors import UsageError
from promomsg.private_files import replaced_file

__all__ = [
    "command_line",
    "counted",
    "finish_output",
    "format_size",
    "format_time",
    "print_json",
    "print_line",
    "print_table",
    "print_to_stderr",
    "private_file",
    "shown_duration",
    "text_over",
]

_SAMPLE: Final = 200
"""Rows that a table's column widths are taken from; it streams, so it cannot wait for all."""
_WIDEST: Final = 60
_NUMBERS: Final = frozenset({
    "planned", "sent", "failed", "unknown", "skipped", "cancelled", "pending", "percent", "send_cnt", "fail_cnt",
    "attempts", "people", "clicks", "members", "size",
})  # fmt: skip
"""Headings of columns of numbers."""


def print_line(text: str = "") -> None:
    """One line on stdout, in the language of the terminal."""
    print(translated(text), file=sys.stdout)


def print_to_stderr(text: str) -> None:
    """One line on stderr, at once, in the language of the terminal."""
    print(translated(text), file=sys.stderr, flush=True)


def print_json(document: Any) -> None:
    """The one JSON document on stdout, UTF-8 in any locale."""
    print(json.dumps(document, ensure_ascii=False, indent=2), file=utf8_stdout(), flush=True)


def finish_output() -> int:
    """The status of a command that only shows something: 0 when stdout has taken all of it."""
    sys.stdout.flush()
    error = write_error_of(sys.stdout)
    if error is None:
        return ALL_SENT
    if error.errno != errno.EPIPE:
        print_to_stderr(f"promomsg: standard output cannot be written: {error.strerror}")
    return WRONG


def command_line(*words: str) -> str:
    """A `promomsg` command to be copied, quoted for a shell."""
    return shlex.join(["promomsg", *words])


def counted(number: int, one: str, many: str | None = None) -> str:
    """`1 group call`, `1,200 single calls`, in the language of the terminal."""
    return _(f"{{0:,}} {one if number == 1 else many or one + 's'}").format(number)


def shown_duration(seconds: float) -> str:
    """`3 min 20 s`, in the language of the terminal."""
    return translated(format_duration(seconds))


def format_size(size: int) -> str:
    """`512 B`, `1.4 MB`: thousands, as file managers and disks count them."""
    scaled = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if scaled < 1000 or unit == "GB":
            break
        scaled /= 1000
    return f"{size} B" if unit == "B" else f"{scaled:.1f} {unit}"


def format_time(at: float | None) -> str:
    """A Unix time as ISO 8601 in UTC, `2026-11-24T12:00:00.250+00:00`; empty for None."""
    if at is None:
        return ""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def print_table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], *, file: IO[str] | None = None
) -> int:
    """Prints rows under headings as they come; returns how many. Memory does not grow with them.

    The headings are shown in the language of the terminal; the cells as they are, numbers to the right.
    """
    out = file or sys.stdout
    to_the_right = [heading in _NUMBERS for heading in headings]
    headings = [_(heading) for heading in headings]
    stream = iter(rows)
    first = [tuple(map(escaped, row)) for row in islice(stream, _SAMPLE)]
    widths = [
        min(max(width(row[i]) for row in [tuple(headings), *first]), _WIDEST)
        for i in range(len(headings))
    ]

    def put(row: Sequence[str]) -> None:
        cells = [
            " " * (wide - width(cell)) + cell if right else padded(cell, wide)
            for cell, wide, right in zip(row, widths, to_the_right, strict=True)
        ]
        print("  ".join(cells).rstrip(), file=out)

    put(headings)
    put(["─" * w for w in widths])
    number = 0
    for row in chain(first, (tuple(map(escaped, row)) for row in stream)):
        put(row)
        number += 1
    return number


@contextmanager
def private_file(path: Path, *, bom: bool = False) -> Iterator[IO[str]]:
    """A text file that only its owner can read, put in place in one step when the block ends well.

    Raises:
        UsageError: it cannot be written; an earlier file of that name is untouched.
    """
    try:
        with replaced_file(path) as raw, text_over(raw, bom=bom) as file:
            yield file
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None


@contextmanager
def text_over(raw: IO[bytes], *, bom: bool = False) -> Iterator[IO[str]]:
    """UTF-8 text onto a file of bytes, complete when the block ends well; `raw` stays open."""
    encoding = "utf-8-sig" if bom else "utf-8"
    file = io.TextIOWrapper(raw, encoding, errors="replace", newline="")
    try:
        yield file
        file.flush()
    finally:
        with suppress(
            OSError, ValueError
        ):  # what was written is there already, or the block failed
            file.detach()
