"""`list`, `archive` and `purge`: what is there, what is kept elsewhere, and what may go."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from campaigning import MESSAGE, QUICK, ids, wechat
from cli_campaigns import one_document, promomsg

import promomsg as package
from promomsg.cli.commands import archive as archive_command
from promomsg.housekeeping import archive_files
from promomsg.journal.sqlite.lock import SenderLock
from promomsg.sandbox import Sandbox

LONG_AGO = 100 * 86_400


@pytest.fixture
def folder(served: Sandbox, tmp_path: Path) -> Path:
    """Three campaigns: one that is done, one that was left in the middle, one done long ago."""
    served.settings.refuse_single = {"500002": 43101}

    async def send() -> None:
        async with wechat(served) as channel:
            for name in ("done", "old"):
                await package.send(
                    channel, MESSAGE, ids(9), name=name, journal=tmp_path / f"{name}.db", **QUICK
                )
            stopped = package.Campaign(
                channel, MESSAGE, ids(7), name="left", journal=tmp_path / "left.db", **QUICK
            )
            async with stopped as run:
                run.pause()

    asyncio.run(send())
    grow_old(tmp_path / "old.db")
    grow_old(tmp_path / "left.db")
    (tmp_path / "notes.txt").write_text("no journal")
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE mine (x)").connection.close()
    return tmp_path


def grow_old(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("UPDATE campaign SET planned_at = planned_at - ?", (LONG_AGO,))
    db.execute("UPDATE recipient_count SET last_at = last_at - ?", (LONG_AGO,))
    db.execute("UPDATE recipient SET at = at - ?", (LONG_AGO,))
    db.commit()
    db.close()


def test_a_folder_says_where_each_campaign_stands(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "broken.db").write_bytes((folder / "done.db").read_bytes()[:9000])
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert promomsg("list", folder, "--json") == 0
    by_name = {Path(one["journal"]).name: one for one in one_document(capsys)["campaigns"]}
    assert sorted(by_name) == ["broken.db", "done.db", "left.db", "old.db"]
    done, left = by_name["done.db"], by_name["left.db"]
    assert (done["state"], done["sent"], done["failed"]) == ("done", 8, 1)
    assert (left["state"], left["pending"]) == ("paused", 7)
    assert "broken.db" in by_name["broken.db"]["error"]
    assert promomsg("list", folder) == 0
    shown = capsys.readouterr()
    lines = [line.split() for line in shown.out.splitlines()[2:]]
    assert [line[0] for line in lines][:1] == ["done.db"]  # the newest first
    assert "100 days ago" in shown.out
    assert "cannot be read" in shown.err
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert promomsg("list", folder / "nowhere") == 1
    assert "give a folder" in capsys.readouterr().err


def test_an_archive_says_all_that_the_journal_said(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with package.open_journal(folder / "done.db") as opened:
        outcomes, document = list(opened.report().outcomes()), opened.report().to_dict()
    assert promomsg("archive", folder / "done.db", "--output", folder / "kept", "--yes") == 0
    assert "removed: " in capsys.readouterr().err
    assert not list(folder.glob("done.db*"))
    rows = pq.read_table(folder / "kept" / "done.archive.parquet").to_pylist()
    assert [(row["key"], row["id"], row["state"], row["code"]) for row in rows] == [
        (o.recipient.key, o.recipient.id, o.state.value, o.code) for o in outcomes
    ]
    assert [row["at"].timestamp() for row in rows] == pytest.approx([o.at for o in outcomes])
    kept = json.loads((folder / "kept" / "done.archive.json").read_text())
    assert {name: kept[name] for name in document} == document
    assert kept["record"]["account"] == "wx0001"
    assert {path.stat().st_mode & 0o777 for path in (folder / "kept").iterdir()} == {0o600}


def test_a_campaign_that_is_not_over_is_neither_archived_nor_removed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert promomsg("archive", folder / "left.db", "--yes") == 1
    assert "not over (paused); resume or cancel it first" in capsys.readouterr().err
    assert promomsg("purge", folder, "--older-than", "90d", "--yes") == 0
    assert sorted(path.name for path in folder.glob("*.db")) == ["done.db", "left.db", "other.db"]
    assert "1 journal removed" in capsys.readouterr().err


def test_without_a_terminal_nothing_is_removed_unasked(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = sorted(os.listdir(folder))
    assert promomsg("purge", folder, "--older-than", "90", "--yes") == 1
    assert "90 of what? write 90d for days, or 90s for seconds" in capsys.readouterr().err
    assert promomsg("purge", folder, "--older-than", "90d") == 1
    assert "without a terminal it takes --yes" in capsys.readouterr().err
    assert promomsg("purge", folder, "--older-than", "90d", "--dry-run", "--json") == 0
    document = one_document(capsys)
    assert document["meant"] == [str(folder / "old.db")]
    assert document["removed"] == []
    assert sorted(os.listdir(folder)) == names
    assert promomsg("archive", folder / "old.db", "--json") == 0
    assert one_document(capsys)["removed"] is False
    assert (folder / "old.db").exists()
    assert promomsg("archive", folder / "old.db") == 1  # never over an earlier one
    assert "is there already" in capsys.readouterr().err


def test_an_archive_that_is_not_what_was_written_removes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written = archive_files._sync_folder

    def lose_a_row(place: Path) -> None:
        written(place)
        path = place / "done.archive.parquet"
        pq.write_table(pa.Table.from_pylist(pq.read_table(path).to_pylist()[1:]), path)

    monkeypatch.setattr(archive_files, "_sync_folder", lose_a_row)
    assert promomsg("archive", folder / "done.db", "--yes") == 1
    assert "the journal kept" in capsys.readouterr().err
    assert (folder / "done.db").exists()
    assert not list(folder.glob("*.archive.*"))


def test_an_archive_that_was_killed_is_told_from_a_whole_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its JSON file comes last: whoever finds one has all of it."""
    (folder / "sent").mkdir()
    document = folder / "sent" / "done.archive.json"
    write = archive_files._write

    def killed(path: Path, content: bytes) -> None:
        if path == document:
            raise KeyboardInterrupt
        write(path, content)

    with monkeypatch.context() as patched:
        patched.setattr(archive_files, "_write", killed)
        with suppress(KeyboardInterrupt):
            promomsg("archive", folder / "done.db", "--output", folder / "sent", "--yes")
    assert [path.name for path in (folder / "sent").iterdir()] == ["done.archive.parquet"]
    capsys.readouterr()
    assert promomsg("archive", folder / "done.db", "--output", folder / "sent", "--yes") == 1
    said = capsys.readouterr().err
    assert "of an archive that was not completed (done.archive.json is missing)" in said
    assert (folder / "done.db").exists()
    (folder / "sent" / "done.archive.parquet").unlink()
    assert promomsg("archive", folder / "done.db", "--output", folder / "sent", "--yes") == 0
    assert document.exists()


def test_what_came_after_the_archive_is_not_removed(
    folder: Path,
    served: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    written = archive_command.write_archive

    def then_retried(*args: Any) -> Any:
        done = written(*args)
        served.settings.refuse_single = {}

        async def retry() -> None:
            async with (
                wechat(served) as channel,
                package.Campaign.retry(folder / "done.db", channel, failed=True) as run,
            ):
                await run.wait()

        asyncio.run(retry())
        return done

    monkeypatch.setattr(archive_command, "write_archive", then_retried)
    assert promomsg("archive", folder / "done.db", "--yes") == 1
    assert "something happened in it since; it was kept" in capsys.readouterr().err
    with package.open_journal(folder / "done.db") as opened:
        assert opened.report().sent == 9


def test_a_disk_that_fails_while_one_is_removed_is_no_end_for_the_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The names of people go before the journal, or nobody would find them again."""
    shutil.copy(folder / "old.db", folder / "older.db")
    names = folder / "old.db.group-1.failures"
    names.write_text("openid,errcode")
    unlink = os.unlink

    def failing(path: str) -> None:
        if str(path) == str(folder / "old.db"):
            assert not names.exists()
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        unlink(path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", failing)
        assert promomsg("purge", folder, "--older-than", "90d", "--yes", "--json") == 1
    shown = capsys.readouterr()
    document = json.loads(shown.out)
    assert document["removed"] == [str(folder / "older.db")]
    [error] = document["errors"]
    assert error.endswith("old.db: not all of it could be removed: Input/output error")
    assert f"kept: {error}" in shown.err
    assert promomsg("purge", folder, "--older-than", "90d", "--yes") == 0
    assert not list(folder.glob("old*"))


def test_a_journal_that_somebody_sends_from_stays(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = SenderLock(str(folder / "old.db"))
    try:
        assert promomsg("purge", folder, "--older-than", "90d", "--yes") == 0
    finally:
        lock.release()
    assert "kept: " in capsys.readouterr().err
    assert (folder / "old.db").exists()


def half_planned(folder: Path, name: str, age: float = LONG_AGO) -> Path:
    """What a process that was killed while it planned has left."""
    path = folder / f"{name}.planning"
    shutil.copy(folder / "done.db", path)
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def test_half_a_plan_is_listed_and_goes_when_it_is_old(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """People's names are in it, and nobody may ever send that campaign again."""
    old, new = half_planned(folder, "lost.db"), half_planned(folder, "new.db", 60.0)
    (folder / "theirs.planning").write_text("of another program")
    os.utime(folder / "theirs.planning", (0, 0))
    assert promomsg("list", folder, "--json") == 0
    by_name = {Path(one["journal"]).name: one for one in one_document(capsys)["campaigns"]}
    assert by_name["lost.db"]["state"] == by_name["new.db"]["state"] == "planning"
    assert "theirs" not in by_name
    assert promomsg("purge", folder, "--older-than", "90d", "--dry-run") == 0
    assert (
        f"would remove: {folder / 'lost.db'}  half a plan, of which nothing"
        in capsys.readouterr().err
    )
    assert old.exists()
    assert promomsg("purge", folder, "--older-than", "90d", "--yes", "--json") == 0
    document = one_document(capsys)
    assert document["removed"] == [str(folder / "old.db"), str(folder / "lost.db")]
    assert not old.exists()
    assert new.exists()
    assert (folder / "theirs.planning").exists()
    assert not list(folder.glob("*.lock"))


def test_a_plan_that_somebody_makes_stays(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = half_planned(folder, "now.db")
    lock = SenderLock(str(folder / "now.db"))
    try:
        assert promomsg("purge", folder, "--older-than", "90d", "--yes") == 0
    finally:
        lock.release()
    assert "now.db: a sender has it open already" in capsys.readouterr().err
    assert plan.exists()


def test_a_plan_that_cannot_be_removed_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, unlink = half_planned(folder, "lost.db"), os.unlink

    def failing(path: str) -> None:
        if str(path) == str(plan):
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        unlink(path)

    monkeypatch.setattr(os, "unlink", failing)
    assert promomsg("purge", folder, "--older-than", "90d", "--yes") == 1
    assert "lost.db.planning: cannot be removed: Input/output error" in capsys.readouterr().err
