"""A campaign that is over, as two files that need no promomsg to be read: Parquet and JSON.

They are read back and compared with the journal, row by row, before anybody may remove it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import msgspec

from promomsg.engine.opened_journal import OpenedJournal
from promomsg.engine.report import ENDED, Report
from promomsg.errors import UsageError
from promomsg.model import Outcome
from promomsg.private_files import replaced_file
from promomsg.report_formats.typed_rows import batches_of, needs, record_batch, utc

__all__ = ["ARCHIVED", "Archived", "archive_names", "write_archive"]

ARCHIVED: Final = (
    "key", "id", "openid", "unionid", "request_id", "state", "code", "detail", "rid", "attempts",
    "group", "at", "extra",
)  # fmt: skip
"""The columns of the Parquet file: all that a journal keeps of a recipient but the values that were put into
their message."""


class Archived(NamedTuple):
    """What was written.

    Attributes:
        rows: outcomes in the Parquet file.
        files: the files, the failure files of groups included.
        last_at: Unix seconds of the last thing in it: what happens in the journal later is not kept.
    """

    rows: int
    files: tuple[Path, ...]
    last_at: float


def archive_names(folder: Path, name: str) -> tuple[Path, Path]:
    """The Parquet file and the JSON file of an archive."""
    return folder / f"{name}.archive.parquet", folder / f"{name}.archive.json"


def write_archive(opened: OpenedJournal, folder: Path, name: str) -> Archived:
    """Writes the archive of a campaign that is over, on the disk when this returns, and compares what is
    there with the journal. Memory does not grow with the recipients.

    Args:
        folder: where, made when there is none; name: what the files' names begin with.

    Raises:
        UsageError: the campaign is not over, a file is there already, one cannot be written, or pyarrow is
            missing. Nothing of an earlier archive is touched.
    """
    report = opened.report()
    if report.state not in ENDED:
        raise UsageError(
            f"{opened.address}: the campaign is not over ({report.state}); resume or cancel it first"
        )
    rows_file, document_file = archive_names(folder, name)
    failure_files = {
        number: folder / f"{name}.archive.group-{number}.failures"
        for number in range(1, len(report.groups) + 1)
        if opened.failure_file(number) is not None
    }
    files = (rows_file, document_file, *failure_files.values())
    _refuse_taken(files, document_file)
    try:
        _make_folder(folder)
        written = _write_rows(opened.outcomes(), rows_file)
        contents = {path: opened.failure_file(n) or b"" for n, path in failure_files.items()}
        document = _document(opened, report, written.rows, written.digest)
        # Last: an archive that has it is complete, whenever the process was killed.
        contents[document_file] = json.dumps(document, ensure_ascii=False, indent=2).encode()
        for path, content in contents.items():
            _write(path, content)
        _sync_folder(folder)
        whole = all(path.read_bytes() == content for path, content in contents.items())
        whole = whole and _read_back(rows_file) == written
    except OSError as error:
        _remove(files)
        raise UsageError(f"{folder}: the archive cannot be written: {error.strerror}") from None
    if not whole:
        _remove(files)
        raise UsageError(
            f"{rows_file}: what was written is not what the journal says (is the disk all right?); the "
            "archive was removed, the journal kept"
        )
    begun = opened.record.planned_at or 0.0
    return Archived(written.rows, files, begun + report.elapsed_s)


def _refuse_taken(files: Iterable[Path], document_file: Path) -> None:
    for path in files:
        if not os.path.lexists(path):
            continue
        if os.path.lexists(document_file):
            raise UsageError(f"{path} is there already; give another folder, or move it away")
        raise UsageError(
            f"{path} is there already, of an archive that was not completed ({document_file.name} is "
            "missing); remove it, or give another folder"
        )


def _remove(files: Iterable[Path]) -> None:
    for path in files:
        with suppress(OSError):
            path.unlink()


def _make_folder(folder: Path) -> None:
    """Makes it where there is none, on the disk when this returns."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    _sync_folder(folder.parent)


class _Content(NamedTuple):
    """How many rows, and what they say, in their order."""

    rows: int
    digest: str


def _row(outcome: Outcome) -> tuple[Any, ...]:
    who = outcome.recipient
    return (
        who.key, who.id, who.openid, who.unionid, who.request_id, outcome.state.value, outcome.code,
        outcome.detail, outcome.rid, outcome.attempts, outcome.group, utc(outcome.at),
        None if outcome.extra is None else json.dumps(outcome.extra, ensure_ascii=False),
    )  # fmt: skip


def _arrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise needs("pyarrow", "files", "an archive") from None
    return pyarrow


def _write_rows(outcomes: Iterable[Outcome], path: Path) -> _Content:
    arrow = _arrow()
    kinds = {"attempts": arrow.int64(), "at": arrow.timestamp("us", tz="UTC")}
    schema = arrow.schema([(name, kinds.get(name, arrow.string())) for name in ARCHIVED])
    digest, count = blake2b(digest_size=16), 0
    with replaced_file(path) as file:
        with arrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
            for rows in batches_of(map(_row, outcomes)):
                writer.write_batch(record_batch(arrow, schema, rows))
                count += len(rows)
                _add(digest, rows)
        _sync(file)
    return _Content(count, digest.hexdigest())


def _read_back(path: Path) -> _Content:
    arrow = _arrow()
    digest, count = blake2b(digest_size=16), 0
    with arrow.parquet.ParquetFile(path) as file:
        for batch in file.iter_batches():
            rows = [tuple(row.values()) for row in batch.to_pylist()]
            count += len(rows)
            _add(digest, rows)
    return _Content(count, digest.hexdigest())


def _add(digest: Any, rows: Iterable[tuple[Any, ...]]) -> None:
    for row in rows:
        # Times of one moment differ in how they name UTC.
        values = [v.isoformat() if isinstance(v, datetime) else v for v in row]
        digest.update(repr(values).encode("utf-8", "surrogatepass"))


def _document(opened: OpenedJournal, report: Report, rows: int, digest: str) -> dict[str, Any]:
    record = msgspec.to_builtins(opened.record)
    return {
        **report.to_dict(),
        "record": record,
        "clicks": msgspec.to_builtins(report.clicks),
        "host": report.host,
        "rows": rows,
        "rows_digest": digest,
    }


def _write(path: Path, content: bytes) -> None:
    with replaced_file(path) as file:
        file.write(content)
        _sync(file)


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
