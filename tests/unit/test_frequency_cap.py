"""What a cap on messages per person says, and which files of a folder are counted for it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from journal_rows import record, row, sealed

from promomsg.engine.frequency.frequency_cap import parse_frequency_cap
from promomsg.errors import JournalError, UsageError
from promomsg.intake.suppression.journal_since import split_age
from promomsg.journal.sqlite.frequency.folder import FolderLock, journals_in
from promomsg.journal.sqlite.journal import SqliteJournal


@pytest.mark.parametrize(
    ("text", "most", "window"),
    [
        ("2 in 7d", 2, 604_800.0),
        ("1 in 24h", 1, 86_400.0),
        (" 3  IN 1w ", 3, 604_800.0),
        ("10 in 1d 12h", 10, 129_600.0),
    ],
)
def test_a_cap_is_a_number_and_a_time(text: str, most: int, window: float) -> None:
    assert parse_frequency_cap(text)[:2] == (most, window)


@pytest.mark.parametrize(
    "text", ["", "2", "2 in", "2 in 7", "in 7d", "2.5 in 7d", "2 per 7d", None]
)
def test_what_is_no_cap_is_refused_with_an_example(text: object) -> None:
    with pytest.raises(UsageError, match='like "2 in 7d"'):
        parse_frequency_cap(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("autumn.db since 7d", ("autumn.db", 604_800.0)),
        ("fleet:autumn SINCE 2w", ("fleet:autumn", 1_209_600.0)),
        ("a since b.db since 1h30m", ("a since b.db", 5_400.0)),
        ("left since 2024", None),
        ("left since 7d.csv", None),
        ("since 7d", None),
        ("autumn.db", None),
    ],
)
def test_an_age_is_a_duration_with_its_unit_at_the_end(
    text: str, found: tuple[str, float] | None
) -> None:
    assert split_age(text) == found


def test_every_journal_of_a_folder_is_found_and_nothing_else(tmp_path: Path) -> None:
    async def make(name: str) -> None:
        handle = await sealed(SqliteJournal(tmp_path / name), [row(0)])
        await handle.close()

    for name in ("own.db", "autumn", "winter.journal", "spring.db"):
        asyncio.run(make(name))
    os.symlink(tmp_path / "spring.db", tmp_path / "again.db")
    os.symlink(tmp_path / "nowhere", tmp_path / "gone.db")
    (tmp_path / "folder.db").mkdir()
    (tmp_path / "notes.txt").write_text("SQLite format 3\0", encoding="utf-8")
    os.mkfifo(tmp_path / "pipe.db")
    half = asyncio.run(_half_plan(tmp_path / "half.db"))
    found = journals_in(str(tmp_path), str(tmp_path / "own.db"))
    assert [Path(path).name for path in found] == ["spring.db", "autumn", "winter.journal"]
    assert half
    (tmp_path / "spoilt.db").write_bytes(b"\0" * 4096)
    with pytest.raises(JournalError, match=r"spoilt\.db is no journal by its first bytes"):
        journals_in(str(tmp_path), str(tmp_path / "own.db"))


async def _half_plan(path: Path) -> bool:
    """Leaves a half plan there, as a killed process does; whether it is there."""
    handle = await SqliteJournal(path).create(record())
    copy = Path(f"{path}.planning").read_bytes()
    await handle.close()
    Path(f"{path}.planning").write_bytes(copy)
    return True


def test_one_counts_at_a_time_and_a_killed_process_keeps_nobody_out(tmp_path: Path) -> None:
    lock, other = FolderLock(str(tmp_path)), FolderLock(str(tmp_path))
    assert lock.take()
    assert lock.take(), "it is its own already"
    assert not other.take()
    lock.release()
    assert other.take()
    other.release()
    program = (
        "import os, sys; from promomsg.journal.sqlite.frequency.folder import FolderLock;"
        "lock = FolderLock(sys.argv[1]); print(lock.take(), flush=True); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, check=False
    )
    assert (killed.stdout, killed.returncode) == (b"True\n", -9)
    assert lock.take()
    lock.release()
    with pytest.raises(JournalError, match="cannot be locked"):
        FolderLock(str(tmp_path / "nowhere")).take()
