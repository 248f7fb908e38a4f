"""What somebody has put beside a journal under SQLite's names: not written into, and not believed."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from journal_rows import record, row, sealed

from promomsg.errors import JournalError
from promomsg.journal.sqlite.crash_safety.side_files import SIDE_FILES
from promomsg.journal.sqlite.journal import SqliteJournal
from promomsg.journal.sqlite.readers.journal_reader import JournalReader

pytestmark = pytest.mark.anyio

PLANTS: list[Callable[[Path, Path], None]] = [os.symlink, os.link]
SIDES = pytest.mark.parametrize("side", [*SIDE_FILES, ".lock"])


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim"
    path.write_text("precious")
    path.chmod(0o644)
    return path


def untouched(victim: Path) -> bool:
    return victim.read_text() == "precious" and stat.S_IMODE(victim.stat().st_mode) == 0o644


@SIDES
@pytest.mark.parametrize("plant", PLANTS)
async def test_a_campaign_is_not_begun_beside_a_planted_link(
    side: str, plant: Callable[[Path, Path], None], victim: Path, tmp_path: Path
) -> None:
    plant(victim, tmp_path / f"a.db{side}")
    with pytest.raises(JournalError, match=rf"a\.db{side}: it .*link.*remove it"):
        await SqliteJournal(tmp_path / "a.db").create(record())
    assert untouched(victim)
    assert not (tmp_path / "a.db").exists()


@SIDES
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
async def test_what_is_no_file_is_named(
    side: str, make: Callable[[Path], None], tmp_path: Path
) -> None:
    make(tmp_path / f"a.db{side}")
    with pytest.raises(JournalError, match=r"not a regular file|[Dd]irectory"):
        await SqliteJournal(tmp_path / "a.db").create(record())
    assert not (tmp_path / "a.db").exists()


@pytest.mark.parametrize("side", SIDE_FILES)
@pytest.mark.parametrize("plant", PLANTS)
async def test_a_journal_is_not_looked_at_beside_a_planted_link(
    side: str, plant: Callable[[Path, Path], None], victim: Path, tmp_path: Path
) -> None:
    await (await sealed(SqliteJournal(tmp_path / "a.db"), [row(0)])).close()
    plant(victim, tmp_path / f"a.db{side}")
    with pytest.raises(JournalError, match="remove it"):
        JournalReader(tmp_path / "a.db")
    with pytest.raises(JournalError, match="remove it"):
        await SqliteJournal(tmp_path / "a.db").open(write=True)
    assert untouched(victim)


@pytest.mark.parametrize("side", SIDE_FILES)
async def test_what_an_earlier_journal_left_empty_and_open_to_others_goes(
    side: str, tmp_path: Path
) -> None:
    left = tmp_path / f"a.db{side}"
    left.touch()
    left.chmod(0o666)
    handle = await sealed(SqliteJournal(tmp_path / "a.db"), [row(0)])
    assert {stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()} == {0o600}
    await handle.close()


async def test_a_folder_under_the_plans_name_is_said_and_the_lock_is_given_back(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.db.planning").mkdir()
    with pytest.raises(JournalError, match="directory"):
        await SqliteJournal(tmp_path / "a.db").create(record())
    (tmp_path / "a.db.planning").rmdir()
    assert list(tmp_path.iterdir()) == []
    await (await SqliteJournal(tmp_path / "a.db").create(record())).close()
