"""Where a report may be written: never over a journal, a folder, a disk, or whatever is no file."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

from promomsg.cli.journal_place import JournalPlace
from promomsg.cli.output.printing import text_over
from promomsg.errors import UsageError
from promomsg.journal.locate import ALL_ENDINGS
from promomsg.private_files import replaced_file
from promomsg.sqlite_header import HEADER_SIZE, is_sqlite

__all__ = ["raw_report_file", "report_file"]

_THEN: Final = "give another --output"


@contextmanager
def report_file(path: Path, journal: JournalPlace, *, bom: bool = False) -> Iterator[IO[str]]:
    """A text file for a report of `journal`, as `raw_report_file`."""
    with raw_report_file(path, journal) as raw, text_over(raw, bom=bom) as file:
        yield file


@contextmanager
def raw_report_file(path: Path, journal: JournalPlace) -> Iterator[IO[bytes]]:
    """A file for a report of `journal`; an earlier report of that name is replaced.

    A link is followed. A terminal, a pipe or `/dev/null` is written to as it is; anything else is
    a private file, put in place in one step when the block ends well.

    Raises:
        UsageError: it is the journal, a file beside it, a link to it, or another SQLite database;
            a folder or a device; or it cannot be written. Nothing of it was touched.
    """
    mode = _mode(path)
    if mode is not None and (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
        with _straight(path) as file:
            yield file
        return
    if mode is not None and not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "not a file"
        raise UsageError(f"{path} is {kind}; give --output the name of a file")
    real = Path(os.path.realpath(path))
    if isinstance(journal, Path):
        _refuse_own(path, real, Path(os.path.realpath(journal)))
    _refuse_journals(path, real)
    try:
        with replaced_file(real) as file:
            yield file
    except OSError as error:
        raise UsageError(f"{real} cannot be written: {error.strerror}") from None


def _mode(path: Path) -> int | None:
    """What is there, a link followed; None for nothing."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None


@contextmanager
def _straight(path: Path) -> Iterator[IO[bytes]]:
    try:
        with path.open("wb") as file:
            yield file
    except BrokenPipeError:
        raise  # a reader that has what it wanted
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None


def _refuse_own(path: Path, real: Path, journal: Path) -> None:
    for side in ("", *ALL_ENDINGS):
        ours = journal.with_name(journal.name + side)
        if real == ours or _same(real, ours):
            what = f"the journal's {side}" if side else "the journal itself"
            raise UsageError(f"{path} is {what}; {_THEN}")


def _refuse_journals(path: Path, real: Path) -> None:
    if _is_sqlite(real):
        raise UsageError(f"{path} is a SQLite database, perhaps a journal; {_THEN}")
    for side in ALL_ENDINGS:
        base = real.with_name(real.name.removesuffix(side) or ".")
        if real.name.endswith(side) and _is_sqlite(base):
            raise UsageError(f"{path} belongs to the SQLite database {base.name}; {_THEN}")


def _same(one: Path, other: Path) -> bool:
    """Whether they are one file, by whatever names."""
    with suppress(OSError):
        return one.samefile(other)
    return False


def _is_sqlite(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return is_sqlite(file.read(HEADER_SIZE))
    except OSError:
        return False
