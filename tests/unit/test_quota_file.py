"""An account's quota in a file of the user's state folder: whatever is wrong with it, sending goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from promomsg import Pace
from promomsg.transport.pace import Pacer
from promomsg.transport.quota import quota_file
from promomsg.transport.quota.quota_file import QuotaFile, quota_file_name
from promomsg.transport.quota.quota_state import Bunch, QuotaState
from promomsg.transport.quota.state_folder import state_folder
from promomsg.transport.quota.store import QuotaStoreError

NAME = quota_file_name("wechat", "https://api.weixin.qq.com", "wx1")
ACCOUNT = ("wechat", "https://api.weixin.qq.com/", "wx1")


def count(state: QuotaState, now: float) -> int:
    """A change that can be seen: one more on a day."""
    state.days["d"] = state.days.get("d", 0) + 1
    return state.days["d"]


def test_where_the_file_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PROMOMSG_STATE", str(tmp_path / "own"))
    assert state_folder() == tmp_path / "own"
    monkeypatch.delenv("PROMOMSG_STATE")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    assert state_folder() == tmp_path / "xdg" / "promomsg"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state_folder() == tmp_path / ".local" / "state" / "promomsg"

    def no_home() -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(OSError, match="PROMOMSG_STATE"):
        state_folder()
    with pytest.raises(QuotaStoreError, match="no home folder"):
        QuotaFile(NAME).change("singles", count)


def test_each_account_of_each_provider_has_its_own() -> None:
    names = {
        quota_file_name(channel, origin, account)
        for channel in ("wechat", "alipay")
        for origin in (
            "https://api.weixin.qq.com",
            "http://127.0.0.1:8000",
            "http://127.0.0.1:8001",
        )
        for account in ("wx1", "wx2", "a/b", "../../etc", "ａ" * 300)
    }
    assert len(names) == 30
    for name in names:
        assert "/" not in name
        assert len(name.encode()) < 200


def test_it_is_its_owners_alone_and_keeps_what_was_written(state_folder: Path) -> None:
    old = os.umask(0)
    try:
        assert QuotaFile(NAME).change("singles", count) == 1
    finally:
        os.umask(old)
    assert QuotaFile(NAME).change("singles", count) == 2
    assert QuotaFile(NAME).change("groups", count) == 1
    folder = state_folder / "quota"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_one_that_another_process_makes_while_it_is_looked_at_is_no_foreign_file(
    state_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = quota_file._version
    others: list[int] = []

    class Slow:
        """A look between whose questions another process makes the tables."""

        def __init__(self, db: sqlite3.Connection) -> None:
            self._db = db

        def execute(self, text: str) -> sqlite3.Cursor:
            found = self._db.execute(text).fetchall()
            if not others:
                others.append(0)
                monkeypatch.setattr(quota_file, "_version", looks)
                others.append(QuotaFile(NAME).change("singles", count))
            return self._db.execute("SELECT ?", found[0])

    monkeypatch.setattr(quota_file, "_version", lambda db: looks(Slow(db)))
    assert QuotaFile(NAME).change("singles", count) == 2
    assert others == [0, 1]


@pytest.mark.parametrize("wrong", ["damaged", "foreign", "newer", "link", "folder", "row"])
def test_a_file_that_cannot_be_used_is_said_and_left_alone(
    state_folder: Path, tmp_path: Path, wrong: str
) -> None:
    path = state_folder / "quota" / NAME
    path.parent.mkdir()
    if wrong == "damaged":
        path.write_bytes(b"no database at all, but long enough to be looked at" * 100)
    elif wrong == "foreign":
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE bookmarks (url)")
        db.close()
    elif wrong == "link":
        path.symlink_to(tmp_path / "elsewhere")
    elif wrong == "folder":
        path.mkdir()
    else:
        QuotaFile(NAME).change("singles", count)
        with sqlite3.connect(path) as db:
            db.execute(
                "PRAGMA user_version = 2" if wrong == "newer" else "UPDATE quota SET state = 'x'"
            )
        db.close()
    with pytest.raises(QuotaStoreError, match="PROMOMSG_STATE") as raised:
        QuotaFile(NAME).change("singles", count)
    assert NAME in str(raised.value)
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_that_somebody_removed_is_made_again() -> None:
    file = QuotaFile(NAME)
    assert file.change("singles", count) == 1
    for path in (state_folder() / "quota").iterdir():
        path.unlink()
    assert file.change("singles", count) == 1
    assert QuotaFile(NAME).change("singles", count) == 2


def test_a_step_that_fails_changes_nothing() -> None:
    file = QuotaFile(NAME)

    def fails(state: QuotaState, now: float) -> None:
        state.days["d"] = 9
        raise ValueError

    with pytest.raises(ValueError):
        file.change("singles", fails)
    assert file.change("singles", count) == 1


def test_after_a_restart_of_the_machine_windows_begin_anew_and_the_day_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = time.monotonic()

    def fill(state: QuotaState, now: float) -> None:
        state.days["2026-11-26"] = 7
        state.bunches.append(Bunch("a", 0, now, now, 50, "2026-11-26"))
        state.latest, state.reach, state.hold_until = now, 60.03, now + 1000

    QuotaFile(NAME).change("singles", fill)
    monkeypatch.setattr(quota_file, "boot_id", lambda: "b" * 36)
    kept = QuotaFile(NAME).change("singles", lambda state, now: state)
    assert (kept.days, kept.bunches, kept.hold_until) == ({"2026-11-26": 7}, [], 0.0)
    assert kept.not_before == 60.03, "a call from before is as old as the machine's clock"
    # Where the system does not say which start it is, a time far ahead does.
    monkeypatch.setattr(quota_file, "boot_id", lambda: None)

    def ahead(state: QuotaState, now: float) -> None:
        fill(state, now)
        state.latest = now + 100_000

    QuotaFile(NAME).change("groups", ahead)
    kept = QuotaFile(NAME).change("groups", lambda state, now: state)
    assert kept.bunches == []
    assert kept.not_before >= now + 60.03


def test_a_file_that_is_busy_for_long_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quota_file, "_BUSY", 0.05)
    file = QuotaFile(NAME)
    file.change("singles", count)
    other = sqlite3.connect(state_folder() / "quota" / NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(QuotaStoreError, match="locked"):
        file.change("singles", count)
    other.close()
    assert file.change("singles", count) == 2


def test_one_that_another_process_is_about_to_make_is_waited_for(state_folder: Path) -> None:
    """SQLite waits for no lock when it changes how a file is written."""
    folder = state_folder / "quota"
    folder.mkdir(parents=True)
    other = sqlite3.connect(folder / NAME, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    done = threading.Timer(0.05, other.execute, ("COMMIT",))
    done.start()
    assert QuotaFile(NAME).change("singles", count) == 1
    done.join()
    other.close()


def test_a_killed_holder_leaves_no_lock() -> None:
    code = (
        "import os, signal\n"
        "from promomsg.transport.quota.quota_file import QuotaFile\n"
        f"QuotaFile({NAME!r}).change('singles', lambda s, n: os.kill(os.getpid(), signal.SIGKILL))"
    )
    QuotaFile(NAME).change("singles", count)
    done = subprocess.run([sys.executable, "-c", code], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert QuotaFile(NAME).change("singles", count) == 2


def test_a_forked_child_opens_the_file_anew() -> None:
    file = QuotaFile(NAME)
    file.change("singles", count)
    child = os.fork()
    if not child:  # pragma: no cover - in the child
        ok = False
        try:
            ok = file.change("singles", count) == 2
        finally:
            os._exit(0 if ok else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert file.change("singles", count) == 3


def test_processes_that_begin_at_once_make_one_file() -> None:
    code = (
        "from promomsg.transport.quota.quota_file import QuotaFile\n"
        "def step(state, now): state.days['d'] = state.days.get('d', 0) + 1\n"
        f"file = QuotaFile({NAME!r})\n"
        "for _ in range(20): file.change('singles', step)"
    )
    both = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [process.wait(60) for process in both] == [0, 0, 0]
    assert QuotaFile(NAME).change("singles", count) == 61


@pytest.mark.asyncio
async def test_a_folder_that_cannot_be_written_leaves_each_client_its_own_quota(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PROMOMSG_STATE", str(tmp_path / "file"))
    pacer = Pacer(Pace(singles_per_second=1000), account=ACCOUNT)
    await pacer.open()
    assert "not shared with other processes" in pacer.trouble
    assert "PROMOMSG_STATE" in pacer.trouble
    assert await pacer.singles.reserve(5) == 5
    assert pacer.singles.try_gate()
    await pacer.leave()


@pytest.mark.asyncio
async def test_two_clients_of_one_process_share_it_too() -> None:
    pace = Pace(singles_per_second=4, singles_per_day=3, groups_per_minute=60)
    first, second = Pacer(pace, account=ACCOUNT), Pacer(pace, account=ACCOUNT)
    assert await first.singles.reserve(2) >= 1
    assert await first.singles.gate()
    await first.leave()
    assert await second.singles.reserve(2) >= 1
    assert await second.groups.reserve(1) == 1
    rows = await asyncio.to_thread(
        QuotaFile(quota_file_name("wechat", "https://api.weixin.qq.com", "wx1")).change,
        "singles",
        lambda state, now: len({bunch.sender for bunch in state.bunches}),
    )
    assert rows == 2


@pytest.mark.asyncio
async def test_an_unlimited_pace_neither_reads_nor_writes_it(state_folder: Path) -> None:
    pacer = Pacer(Pace(unlimited=True), account=ACCOUNT)
    await pacer.open()
    assert await pacer.singles.reserve(64) == 64
    assert pacer.singles.try_gate()
    await pacer.leave()
    assert list(state_folder.iterdir()) == []
