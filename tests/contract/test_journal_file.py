"""The SQLite journal as a file: who may read it, what survives, and what a user is told."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from journal_process import child, end, told
from journal_rows import DAY, NOW, adds_up, beside, record, row, sealed, states, take

from promomsg.errors import JournalError, UsageError
from promomsg.journal.records import Control
from promomsg.journal.sqlite.journal import JournalReader, SqliteJournal

pytestmark = pytest.mark.asyncio

ROOT = Path(__file__).parents[2]


async def test_only_its_owner_can_read_it_whatever_the_umask(journal: SqliteJournal) -> None:
    before = os.umask(0)
    try:
        handle = await journal.create(record())
        await handle.add_rows([row(0)])
        assert beside(journal) == ["autumn.db.lock", "autumn.db.planning"]
        modes = {
            stat.S_IMODE(os.stat(f"{journal.path}{e}").st_mode) for e in (".lock", ".planning")
        }
        await handle.seal(record(planned_at=NOW), chunk_size=8)
        await handle.warn("hello")
        names = beside(journal)
        ours = ["autumn.db-mark", "autumn.db-shm", "autumn.db-wal", "autumn.db.lock"]
        assert names == ["autumn.db", *ours]
        folder = Path(journal.path).parent
        modes |= {stat.S_IMODE((folder / name).stat().st_mode) for name in names}
        assert modes == {0o600}
        await handle.close()
    finally:
        os.umask(before)
    assert beside(journal) == ["autumn.db"]


async def test_people_can_query_it(journal: SqliteJournal) -> None:
    handle = await sealed(journal, [row(seq) for seq in range(3)], groups=[2])
    await handle.close()
    db = sqlite3.connect(journal.path)
    rows = db.execute("SELECT key, state, code, msg_id FROM outcomes ORDER BY seq").fetchall()
    db.close()
    assert rows == [
        ("k0", "pending", "", "1"),
        ("k1", "pending", "", "1"),
        ("k2", "pending", "", None),
    ]


@pytest.mark.parametrize("where", ["here", "there"])
async def test_a_second_sender_is_refused_and_a_reader_is_not(
    journal: SqliteJournal, where: str
) -> None:
    await (await sealed(journal, [row(0)])).close()
    process = None
    if where == "there":
        code = "handle = await journal.open(write=True); print('open', flush=True); input()"
        process = child(code, journal.path)
        told(process, "open")
    else:
        handle = await journal.open(write=True)
    assert journal.is_being_sent()
    with pytest.raises(JournalError, match="a sender has it open"):
        await journal.open(write=True)
    reader = await journal.open()
    assert (await reader.counts()).pending == 1
    await reader.close()
    await journal.request(Control.PAUSE)
    if process is not None:
        end(process)
    else:
        await handle.close()
    assert not journal.is_being_sent()
    handle = await journal.open(write=True)
    assert (await handle.control()).requested is Control.PAUSE
    await handle.close()


async def test_another_name_for_the_file_is_the_same_journal(
    journal: SqliteJournal, tmp_path: Path
) -> None:
    handle = await sealed(journal, [row(0)])
    (tmp_path / "link.db").symlink_to(journal.path)
    with pytest.raises(JournalError, match="a sender has it open"):
        await SqliteJournal(tmp_path / "link.db").open(write=True)
    await handle.close()


async def test_what_was_committed_survives_a_kill(journal: SqliteJournal) -> None:
    code = """
    handle = await sealed(journal, [row(seq) for seq in range(20)], chunk_size=10)
    lease = await take(handle)
    assert await handle.intend(lease, list(range(10)), NOW, DAY)
    assert await handle.settle(lease, [result(seq) for seq in range(6)])
    print("done", flush=True)
    input()
    """
    process = child(code, journal.path)
    told(process, "done")
    process.send_signal(signal.SIGKILL)
    end(process, kill=False)
    assert "autumn.db.lock" in beside(journal)
    with JournalReader(journal.path) as reader:
        assert (reader.counts().sent, reader.counts().pending) == (6, 14)
    handle = await journal.open(write=True)
    found = await handle.recover(idempotent=False, at=NOW, day=DAY, recent=100)
    assert (found.unknown, len(found.recent)) == (4, 10)
    assert await states(handle) == "ssssssuuuupppppppppp"
    assert adds_up(await handle.counts())
    await handle.close()


@pytest.mark.parametrize(("place", "appears"), [("plan-batch:2", False), ("plan-sealed", True)])
async def test_a_kill_while_planning_leaves_all_of_the_plan_or_nothing(
    journal: SqliteJournal, place: str, appears: bool
) -> None:
    code = """
    handle = await journal.create(record())
    for seq in range(3):
        await handle.add_rows([row(seq)])
    await handle.seal(record(planned_at=NOW), chunk_size=8)
    """
    process = child(code, journal.path, PROMOMSG_CRASH_AT=place)
    end(process, kill=False)
    assert process.returncode == -signal.SIGKILL
    assert os.path.exists(journal.path) is appears
    if appears:
        handle = await journal.open(write=True)
        assert (await handle.counts()).pending == 3
    else:
        with pytest.raises(JournalError, match="not completed and nothing was sent"):
            await journal.open()
        handle = await sealed(journal, [row(7)])
        assert (await handle.counts()).pending == 1
    await handle.close()
    assert beside(journal) == ["autumn.db"]


async def test_a_plan_in_the_making_is_not_thrown_away_by_another(journal: SqliteJournal) -> None:
    code = "handle = await journal.create(record()); print('made', flush=True); input()"
    process = child(code, journal.path)
    told(process, "made")
    with pytest.raises(JournalError, match="a sender has it open"):
        await journal.create(record())
    assert "autumn.db.planning" in beside(journal)
    end(process)


async def test_a_full_disk_mid_run_is_one_clear_error_and_resumable(
    journal: SqliteJournal,
) -> None:
    code = """
    import os, resource, signal
    handle = await sealed(journal, [row(seq) for seq in range(400)], chunk_size=400)
    lease = await take(handle)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limit = os.path.getsize(journal.path + "-wal") + 60_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    done = 0
    try:
        while await handle.intend(lease, [done, done + 1], NOW, DAY):
            done += 2
    except Exception as error:
        print(type(error).__name__, error)
    print(done)
    later = await asyncio.gather(
        handle.settle(lease, [result(0)]), handle.warn("x"), return_exceptions=True
    )
    print(*(type(answer).__name__ for answer in later))
    await handle.close()
    """
    process = child(code, journal.path)
    error, done, later = process.communicate()[0].splitlines()
    assert error.startswith(f"JournalError {journal.path}: ")
    assert error.endswith("then resume")
    assert later == "JournalError JournalError"
    handle = await journal.open(write=True)
    found = await handle.recover(idempotent=False, at=NOW, day=DAY, recent=0)
    assert 0 < found.unknown == int(done) < 400
    assert adds_up(await handle.counts())
    await handle.close()


async def test_a_full_disk_while_planning_leaves_nothing(journal: SqliteJournal) -> None:
    handle = await journal.create(record())
    handle._access.writer.db.execute("PRAGMA max_page_count = 20")  # type: ignore[union-attr] # a full disk
    with pytest.raises(JournalError, match="full; free some space"):
        await handle.add_rows([row(seq) for seq in range(5_000)])
    await handle.close()
    assert beside(journal) == []


async def test_a_disk_that_turns_read_only_breaks_nothing(journal: SqliteJournal) -> None:
    handle = await sealed(journal, [row(0)])
    lease = await take(handle)
    handle._access.writer.db.execute("PRAGMA query_only = ON")  # type: ignore[union-attr] # read-only
    with pytest.raises(JournalError, match="writable for you, then resume"):
        await handle.intend(lease, [0], NOW, DAY)
    assert await states(handle) == "p"
    await handle.close()


async def test_a_commit_mark_that_cannot_be_made_is_no_lost_commit(journal: SqliteJournal) -> None:
    """As on a full disk: nothing was sent since it was closed, and the next sender need not be told."""
    handle = await sealed(journal, [row(seq) for seq in range(4)])
    await handle.close()
    in_the_way = Path(f"{journal.path}-mark.partial")
    in_the_way.mkdir()
    with pytest.raises(JournalError, match="mark"):
        await journal.open(write=True)
    in_the_way.rmdir()
    handle = await journal.open(write=True)
    assert handle.record.warnings == []
    await handle.close()
    assert beside(journal) == ["autumn.db"]


@pytest.mark.parametrize("folder", ["missing", "autumn.txt"])
async def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, folder: str) -> None:
    (tmp_path / "autumn.txt").write_text("a file")
    journal = SqliteJournal(tmp_path / folder / "a.db")
    with pytest.raises(JournalError, match=r"a\.db: its folder cannot be written"):
        await journal.create(record())
    with pytest.raises(JournalError, match="there is no journal"):
        await journal.open(write=True)
    journal.discard()


async def test_other_files_and_versions_are_refused_and_left_alone(
    journal: SqliteJournal, tmp_path: Path
) -> None:
    text = tmp_path / "notes.db"
    text.write_text("no journal " * 500)
    campaign = tmp_path / "autumn.toml"
    campaign.write_text("[campaign]\n" * 100)
    other = tmp_path / "other.db"
    stranger = sqlite3.connect(other)
    stranger.executescript("CREATE TABLE t (x)")
    stranger.close()
    await (await sealed(journal, [row(0)])).close()
    db = sqlite3.connect(journal.path)
    db.execute("PRAGMA user_version = 5")
    db.close()
    for path, words in (
        (text, "it is not a journal"),
        (campaign, "a campaign file, not a journal; give its journal, which is autumn.db unless"),
        (other, "not a promomsg journal"),
        (Path(journal.path), "version 5, and this promomsg reads version 4"),
    ):
        before = path.read_bytes()
        strange = SqliteJournal(path)
        for call in (strange.open(), strange.open(write=True), strange.request(Control.PAUSE)):
            with pytest.raises(JournalError, match=words):
                await call
        with pytest.raises(JournalError, match="there is a journal already"):
            await strange.create(record())
        assert path.read_bytes() == before


async def test_a_name_that_was_taken_meanwhile_is_not_overwritten(journal: SqliteJournal) -> None:
    handle = await journal.create(record())
    Path(journal.path).write_text("precious")
    with pytest.raises(JournalError, match="has appeared"):
        await handle.seal(record(planned_at=NOW), chunk_size=8)
    await handle.close()
    assert Path(journal.path).read_text() == "precious"


async def test_a_folder_is_no_journal_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "there"
    folder.mkdir()
    with pytest.raises(JournalError, match="there: it is a folder"):
        await SqliteJournal(folder).create(record())
    assert list(tmp_path.iterdir()) == [folder]
    with pytest.raises(UsageError, match="the path is empty"):
        SqliteJournal("")


async def test_settings_that_do_not_exist_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="power"):
        SqliteJournal(tmp_path / "a.db", durability="moon")  # type: ignore[arg-type]
    journal = SqliteJournal(tmp_path / "a.db")
    assert repr(journal) == f"SqliteJournal({str(tmp_path / 'a.db')!r}, durability='power')"
    handle = await sealed(journal, [row(0)])
    level = handle._access.writer.db.execute("PRAGMA synchronous").fetchone()  # type: ignore[attr-defined]
    assert level == (2,)
    await handle.close()
    await handle.close()


async def test_a_crash_point_is_the_nth_passing_and_costs_nothing_unset() -> None:
    code = "from promomsg.crashpoints import reached\nfor n in range(9): print(n); reached('a')"
    for place, lines in (("a:3", 3), ("a", 1), ("b", 9), ("", 9)):
        done = subprocess.run(
            [sys.executable, "-u", "-c", code],
            env={**os.environ, "PYTHONPATH": str(ROOT), "PROMOMSG_CRASH_AT": place},
            capture_output=True,
            text=True,
            check=False,
        )
        assert len(done.stdout.split()) == lines
        assert done.returncode == (0 if lines == 9 else -signal.SIGKILL)


async def test_a_copy_that_takes_its_place_before_anything_is_sent_is_noticed(
    journal: SqliteJournal, tmp_path: Path
) -> None:
    await (await sealed(journal, [row(0)])).close()
    handle = await journal.open(write=True)
    copy = tmp_path / "copy.db"
    copy.write_bytes(Path(journal.path).read_bytes())
    copy.replace(journal.path)
    assert "replaced" in (await handle.missing() or "")
    await handle.close()
