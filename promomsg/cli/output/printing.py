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
from promomsg.cli.output.fitted_table import FittedTable
from promomsg.cli.output.standard_streams import utf8_stdout, write_error_of
from promomsg.cli.output.terminal_page import Page
from promomsg.clock import china_date, china_day, china_day_begins
from promomsg.control_characters import escaped
from promomsg.durations import format_duration
from promomsg.errors import UsageError
from promomsg.plural import counted
from promomsg.private_files import replaced_file

__all__ = [
    "command_line",
    "finish_output",
    "format_china_time",
    "format_local_time",
    "format_time",
    "local_zone",
    "print_json",
    "print_line",
    "print_table",
    "print_to_stderr",
    "private_file",
    "shown_count",
    "shown_duration",
    "text_over",
]

_SAMPLE: Final = 200
"""Rows that a table's column widths are taken from; it streams, so it cannot wait for all."""
_WIDEST: Final = 60
_NUMBERS: Final = frozenset({
    "planned", "sent", "failed", "unknown", "skipped", "cancelled", "pending", "percent", "send_cnt", "fail_cnt",
    "attempts", "concurrency", "people", "clicks", "members", "size",
})  # fmt: skip
"""Headings of columns of numbers."""


def print_line(text: str = "") -> None:
    """One line on stdout, in the language of the terminal."""
    Page().put(translated(text))


def print_to_stderr(text: str) -> None:
    """One line on stderr, at once, in the language of the terminal."""
    Page(sys.stderr).put(translated(text))
    sys.stderr.flush()


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


def shown_count(number: int, one: str, many: str = "") -> str:
    """`1 group call`, `1,200 single calls`, in the language of the terminal; see `promomsg.plural.counted`."""
    return translated(counted(number, one, many))


def shown_duration(seconds: float) -> str:
    """`3 min 20 s`, in the language of the terminal."""
    return translated(format_duration(seconds))


def format_time(at: float | None) -> str:
    """A Unix time as ISO 8601 in UTC, `2026-11-24T12:00:00.250+00:00`; empty for None."""
    if at is None:
        return ""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def format_local_time(at: float | None) -> str:
    """A Unix time to the second by the machine's zone as it is now, `2026-11-24 20:00:00`; empty for None."""
    if at is None:
        return ""
    from datetime import datetime

    return f"{datetime.fromtimestamp(at, datetime.now().astimezone().tzinfo):%Y-%m-%d %H:%M:%S}"


def format_china_time(at: float | None) -> str:
    """A Unix time to the second in China time; empty for None."""
    if at is None:
        return ""
    minutes, seconds = divmod(int(at - china_day_begins(china_date(at))), 60)
    return f"{china_day(at)} {minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}"


def local_zone() -> str:
    """The zone of `format_local_time`: `UTC`, `UTC+08:00`."""
    from datetime import datetime

    offset = f"{datetime.now().astimezone():%z}"
    return "UTC" if int(offset) == 0 else f"UTC{offset[:3]}:{offset[3:5]}"


def print_table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    file: IO[str] | None = None,
    indent: int = 0,
    optional: Sequence[str] = (),
    elsewhere: str = "",
) -> int:
    """Prints rows under headings as they come; returns how many. Memory does not grow with them.

    The headings are shown in the language of the terminal; the cells as they are, numbers to the right. On a
    terminal the table fits into it.

    Args:
        indent: columns before each line.
        optional: headings of columns that a narrow terminal does not show, the first of them first.
        elsewhere: says which are not shown, `{0}`, and where they are to be had.
    """
    page = Page(file)
    to_the_right = [heading in _NUMBERS for heading in headings]
    stream = (tuple(map(escaped, row)) for row in rows)
    first = list(islice(stream, _SAMPLE))
    if page.columns is None:
        return _print_whole(page.file, headings, first, stream, to_the_right, indent)
    table = FittedTable(
        page, headings, first, to_the_right=to_the_right, optional=optional, indent=indent
    )
    number = table.print(chain(first, stream))
    if table.left_out and number:
        text = elsewhere.format(_(", ").join(map(_, table.left_out)))
        page.put(text, indent=indent, style="faint")
    return number


def _print_whole(
    out: IO[str], headings: Sequence[str], first: Sequence[Sequence[str]],
    stream: Iterable[Sequence[str]], to_the_right: Sequence[bool], indent: int,
) -> int:  # fmt: skip
    """A table that goes into a file or a pipe, as wide as it is."""
    shown = [_(heading) for heading in headings]
    widths = [
        min(max(width(row[i]) for row in [tuple(shown), *first]), _WIDEST)
        for i in range(len(headings))
    ]

    def put(row: Sequence[str]) -> None:
        cells = [
            " " * (wide - width(cell)) + cell if right else padded(cell, wide)
            for cell, wide, right in zip(row, widths, to_the_right, strict=True)
        ]
        print(" " * indent + "  ".join(cells).rstrip(), file=out)

    put(shown)
    put(["─" * w for w in widths])
    number = 0
    for row in chain(first, stream):
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
