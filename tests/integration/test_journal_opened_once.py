"""How often a command opens a journal's file, and how often it reads every recipient of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from cli_campaigns import campaign, one_document, promomsg, running, started
from waiting import wait_for

from promomsg.journal.sqlite import connect as connecting
from promomsg.sandbox import Fault, FaultPlan, Sandbox


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with running() as served:
        yield served


class Opened:
    """The connections to a journal's file that this process has made, and what ran on them.

    Attributes:
        modes: how each of them was opened, in order.
    """

    def __init__(self) -> None:
        self.modes: list[str] = []
        self._statements: list[str] = []

    def connect(self, uri: str, /, **how: Any) -> sqlite3.Connection:
        self.modes.append("rw" if "mode=rw" in uri else "ro")
        db = sqlite3.connect(uri, **how)
        db.set_trace_callback(self._statements.append)
        return db

    def scans(self, journal: Path) -> list[str]:
        """The statements that read the whole table of recipients, as SQLite plans them."""
        found = []
        with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as db:
            for sql in self._statements:
                if sql.startswith("PRAGMA quick_check"):
                    found.append(sql)
                if not sql.lstrip().startswith(("SELECT", "UPDATE", "DELETE")):
                    continue
                with suppress(sqlite3.OperationalError):  # of a table of the sender's own
                    plan = db.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()
                    if any(_reads_all(step) for *_, step in plan):
                        found.append(sql)
        return found


def _reads_all(step: str) -> bool:
    return step in ("SCAN recipient", "SEARCH recipient") or "AUTOMATIC" in step


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    seen = Opened()
    monkeypatch.setattr(connecting, "sqlite3", _Sqlite(seen))
    return seen


class _Sqlite:
    """The module `sqlite3` with another `connect`."""

    def __init__(self, opened: Opened) -> None:
        self.connect = opened.connect

    def __getattr__(self, name: str) -> Any:
        return getattr(sqlite3, name)


@pytest.fixture
def halted(box: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A campaign of ten with some of them pending."""
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", errcode=48001, calls=[4])])
    assert promomsg("send", campaign(tmp_path, box.url, title="{name}"), "--yes") == 5
    box.faults = FaultPlan([])
    capsys.readouterr()
    return tmp_path / "autumn.db"


def test_a_resume_opens_the_journal_once_to_look_and_once_to_send(
    halted: Path, opened: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    assert promomsg("resume", halted, "--yes", "--json") == 0
    assert one_document(capsys)["sent"] == 10
    assert opened.modes == ["ro", "rw"]
    pages, values, counting, pending, sample = opened.scans(halted)
    assert counting.startswith("SELECT count(*), total(state = 2), max(at)")
    assert pages.startswith("PRAGMA quick_check")
    assert "typeof" in values
    assert pending.startswith("SELECT count(*)")
    assert sample.endswith("LIMIT 3")


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_a_report_opens_the_journal_once_and_counts_nobody(
    halted: Path, opened: Opened, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert promomsg("report", halted, "--all", "--format", form) == 0
    assert opened.modes == ["ro"]
    assert opened.scans(halted) == []


def test_status_opens_it_once_and_looks_at_no_recipient(
    halted: Path, opened: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    assert promomsg("status", halted, "--json") == 0
    assert opened.modes == ["ro"]
    assert opened.scans(halted) == []


def test_neither_does_it_look_at_them_when_its_sender_was_killed(
    box: Sandbox, tmp_path: Path, opened: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="hang", after=4)])
    sender = started("send", campaign(tmp_path, box.url, title="{name}"), "--yes")
    wait_for(lambda: box.calls["singlesendmsg"] == 10)
    sender.kill()
    sender.communicate()
    journal = tmp_path / "autumn.db"
    assert promomsg("status", journal, "--json") == 0
    assert one_document(capsys)["unknown"] >= 6
    assert opened.modes == ["ro"]
    assert opened.scans(journal) == []
