"""The terminal as a person has it: a pseudo-terminal, a question, live progress, Ctrl-C."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from cli_campaigns import (
    ENV,
    campaign,
    finished,
    one_document,
    promomsg,
    started,
)
from waiting import wait_for

from promomsg.sandbox import Sandbox


class Person:
    """Somebody at a pseudo-terminal."""

    def __init__(self, *words: object) -> None:
        self._fd, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "promomsg.cli", *map(str, words)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env={**ENV, "TERM": "xterm", "COLUMNS": "120"},
        )
        os.close(theirs)
        self.seen = ""

    def sees(self, text: str, seconds: float = 15.0) -> None:
        """Reads until `text` is there."""
        until = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < until, self.seen
            self._read()

    def _read(self) -> None:
        if select.select([self._fd], [], [], 0.1)[0]:
            try:
                self.seen += os.read(self._fd, 65536).decode(errors="replace")
            except OSError:
                self._waited_for()
                time.sleep(0.05)  # its terminal is closed: nothing to select on until it ends

    def _waited_for(self) -> None:
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self._abort()

    def _abort(self) -> None:
        """Its threads' stacks are what it says last; nothing of it disturbs later tests."""
        self.process.send_signal(signal.SIGABRT)
        until = time.monotonic() + 5
        while self.process.poll() is None and time.monotonic() < until:
            if select.select([self._fd], [], [], 0.1)[0]:
                with suppress(OSError):
                    self.seen += os.read(self._fd, 65536).decode(errors="replace")
        self.process.kill()
        self.process.wait()
        raise AssertionError(f"it did not end: {self.seen}")

    def types(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def ends(self) -> int:
        """Waits for the end; the exit status."""
        until = time.monotonic() + 20
        while self.process.poll() is None:
            if time.monotonic() > until:
                self._abort()
            self._read()
        self._read()
        os.close(self._fd)
        return self.process.returncode


def test_the_plan_is_shown_and_yes_sends_it(served: Sandbox, tmp_path: Path) -> None:
    person = Person("send", campaign(tmp_path, served.url, 60, pace="singles_per_second = 40"))
    person.sees("send to 60 recipients at ")
    assert "group calls" in person.seen
    assert served.calls["sendmsg"] == 0
    person.types("y\n")
    person.sees("autumn: done")
    assert person.ends() == 0
    assert served.calls["sendmsg"] == 1


def test_no_sends_nothing_and_leaves_nothing(served: Sandbox, tmp_path: Path) -> None:
    person = Person("send", campaign(tmp_path, served.url, 3))
    person.sees("send to 3 recipients at ")
    person.types("n\n")
    person.sees("nothing was sent")
    assert person.ends() == 1
    assert not list(tmp_path.glob("autumn.db*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_at_the_question_sends_nothing(
    served: Sandbox, tmp_path: Path, number: int
) -> None:
    person = Person("send", campaign(tmp_path, served.url, 3))
    person.sees("send to 3 recipients at ")
    person.process.send_signal(number)
    assert person.ends() == 130
    assert served.calls["singlesendmsg"] == 0
    assert not list(tmp_path.glob("autumn.db*"))


def test_progress_is_live_and_an_interrupt_says_how_to_go_on(
    served: Sandbox, tmp_path: Path
) -> None:
    file = campaign(tmp_path, served.url, 200, title="{name}", pace="singles_per_second = 40")
    person = Person("send", file, "--yes")
    person.sees("left")
    assert "/s" in person.seen
    person.process.send_signal(signal.SIGINT)
    person.sees("promomsg resume")
    assert person.ends() == 130


def test_a_retry_is_asked_for_before_anything_changes(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served.settings.refuse_single = {"1001": 43101}
    assert promomsg("send", campaign(tmp_path, served.url, 3), "--yes") == 3
    journal = tmp_path / "autumn.db"
    person = Person("retry", journal, "--failed")
    person.sees("send to them again?")
    person.types("n\n")
    assert person.ends() == 1
    capsys.readouterr()
    assert promomsg("status", journal, "--json") == 0
    assert one_document(capsys)["failed"] == 1


def test_a_kill_in_the_middle_of_planning_is_planned_again_by_resume(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = campaign(tmp_path, served.url, 200_000)
    planning = tmp_path / "autumn.db.planning"
    sender = started("send", file, "--yes")
    wait_for(lambda: planning.exists() and planning.stat().st_size > 100_000)
    sender.kill()
    sender.communicate()
    assert planning.exists()
    campaign(tmp_path, served.url, 5)
    assert promomsg("resume", tmp_path / "autumn.db", "--yes", "--json") == 0
    out = capsys.readouterr()
    assert '"sent": 5' in out.out
    assert not planning.exists()


def test_status_watch_ends_with_the_sender_or_with_an_interrupt(
    served: Sandbox, tmp_path: Path
) -> None:
    # Slow enough for two more processes to start meanwhile, on a busy machine too.
    file = campaign(tmp_path, served.url, 60, title="{name}", pace="singles_per_second = 10")
    sender = started("send", file, "--yes", "--json")
    wait_for(lambda: served.calls["singlesendmsg"] > 1)
    watcher = started("status", tmp_path / "autumn.db", "--watch", "--json")
    other = Person("status", tmp_path / "autumn.db", "--watch")
    other.sees("of 60")
    other.process.send_signal(signal.SIGINT)
    assert other.ends() == 130
    out, _ = finished(watcher)
    assert watcher.returncode == 0
    assert '"state": "done"' in out
    finished(sender)
    assert sender.returncode == 0
