"""The sender's lock: who holds it is said, a forked child does not, and no descriptor is stdout."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from promomsg.errors import JournalError
from promomsg.journal.sqlite.lock import SenderLock, holder, is_locked

ROOT = Path(__file__).parents[2]


def python(code: str, *words: str, redirect: str = "") -> subprocess.CompletedProcess[str]:
    """Runs `code` from a shell, which can start it without its standard descriptors."""
    return subprocess.run(
        ["/bin/sh", "-c", f'exec "$0" -c "$1" "$2" {redirect}', sys.executable, code, *words],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_who_is_refused_is_told_the_holders_process(tmp_path: Path) -> None:
    path = str(tmp_path / "a.db")
    lock = SenderLock(path)
    with pytest.raises(
        JournalError, match=rf"a sender has it open already \(process {os.getpid()}\)"
    ):
        SenderLock(path)
    lock.release()
    assert holder(path) is None


@pytest.mark.parametrize("content", [b"", b"\n", b"no number\n", b"-1\n", b"9" * 400])
def test_a_lock_file_that_names_nobody_is_still_a_lock(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.db"
    lock = SenderLock(str(path))
    Path(lock.path).write_bytes(content)
    with pytest.raises(JournalError, match="a sender has it open already"):
        SenderLock(str(path))
    lock.release()


def test_a_pipe_in_the_place_of_the_lock_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.db.lock")
    code = """
import sys
from promomsg.journal.sqlite.lock import holder, is_locked
print(is_locked(sys.argv[1]), holder(sys.argv[1]))
"""
    assert python(code, str(tmp_path / "a.db")).stdout == "False None\n"


def test_a_forked_child_that_outlives_its_parent_keeps_nobody_out(tmp_path: Path) -> None:
    path = str(tmp_path / "a.db")
    code = """
import os, signal, sys
from promomsg.journal.sqlite.lock import SenderLock
lock = SenderLock(sys.argv[1])
pid = os.fork()
if pid == 0:
    os.closerange(0, 3)
    signal.pause()
print(pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    child = int(python(code, path).stdout)
    try:
        assert not is_locked(path)
        SenderLock(path).release()
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_child_that_ends_takes_nothing_from_its_parent(tmp_path: Path) -> None:
    path = str(tmp_path / "a.db")
    code = """
import os, sys
from promomsg.journal.sqlite.lock import SenderLock, is_locked
lock = SenderLock(sys.argv[1])
if os.fork() == 0:
    lock.release()
    os._exit(0)
os.wait()
print(is_locked(sys.argv[1]), os.path.exists(lock.path))
"""
    assert python(code, path).stdout == "True True\n"


def test_a_lock_that_somebody_else_has_put_there_since_is_left_alone(tmp_path: Path) -> None:
    path = str(tmp_path / "a.db")
    old = SenderLock(path)
    os.unlink(old.path)
    new = SenderLock(path)
    old.release()
    assert is_locked(path)
    new.release()
    assert not os.path.exists(new.path)


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("text")
    (tmp_path / "a.db.lock").symlink_to(precious)
    with pytest.raises(JournalError, match="it is a link"):
        SenderLock(str(tmp_path / "a.db"))
    assert precious.read_text() == "text"


@pytest.mark.parametrize("closed", ["0<&-", ">&-", "2>&-", "0<&- >&- 2>&-"])
def test_nothing_of_a_journal_becomes_a_standard_stream(tmp_path: Path, closed: str) -> None:
    """A lock or a mark as descriptor 1 would be written into by every print."""
    code = """
import asyncio, os, stat, sys
from promomsg.journal.sqlite.journal import SqliteJournal
from promomsg.journal.records import CampaignRecord
path = sys.argv[1]
record = CampaignRecord(name="a", channel="wechat", account="b", run_id="0" * 32, message={},
                        created_at=1.0, planned_at=1.0)
async def main():
    handle = await SqliteJournal(path).create(record)
    await handle.seal(record, chunk_size=8)
    ours = {os.stat(f"{path}{end}").st_ino for end in ("", "-wal", "-shm", "-mark", ".lock")}
    for fd in range(3):
        try:
            assert os.fstat(fd).st_ino not in ours, fd
        except OSError as error:
            raise SystemExit(f"descriptor {fd} is free: {error}")
    await handle.close()
    open(path + ".ok", "w").close()
asyncio.run(main())
"""
    ended = python(code, str(tmp_path / "a.db"), redirect=closed)
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "a.db.ok").exists()
