"""A journal that somebody handed over, as the terminal meets it: one line, and nothing is changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_campaigns import campaign, promomsg, running

from promomsg.sandbox import Fault, FaultPlan, Sandbox


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with running(faults=FaultPlan([Fault(endpoint="singlesendmsg", kind="daily", after=3)])) as one:
        yield one


def edit(path: Path, *statements: str) -> None:
    db = sqlite3.connect(path)
    with db:
        for statement in statements:
            db.execute(statement)
    db.close()


@pytest.mark.parametrize(
    "statements",
    [
        ("UPDATE campaign SET settings = '[]'",),
        ("UPDATE campaign SET message = '7'",),
        ("UPDATE campaign SET warnings = '{}'",),
        ("UPDATE campaign SET source = 'null'",),
        ("UPDATE campaign SET created_at = 'yesterday'",),
        ("DELETE FROM campaign",),
        ("CREATE TRIGGER t AFTER UPDATE ON recipient BEGIN DELETE FROM commit_log; END",),
        ("DROP VIEW outcomes", "CREATE VIEW outcomes AS SELECT 1"),
    ],
)
def test_every_command_says_it_in_one_line(
    box: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str], statements: tuple[str, ...]
) -> None:
    assert promomsg("send", campaign(tmp_path, box.url), "--yes") == 5
    calls = box.calls["singlesendmsg"]
    path = tmp_path / "autumn.db"
    edit(path, *statements)
    before = path.read_bytes()
    capsys.readouterr()
    for words in (("status",), ("report", "--all"), ("resume", "--yes"), ("pause",), ("cancel",)):
        assert promomsg(words[0], path, *words[1:]) == 1, words
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert "unexpected" not in said
        assert str(path) in said
    assert path.read_bytes() == before
    assert box.calls["singlesendmsg"] == calls


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("settings", '{"concurrency": "many"}'),
        ("settings", '{"poll": 7}'),
        ("message", "{}"),
        ("message", '{"content": 5}'),
        ("message", '{"content": [["title"]], "msg_type": {}, "path": []}'),
    ],
)
def test_a_message_or_settings_that_cannot_be_read_back_are_said(
    box: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str], column: str, value: str
) -> None:
    assert promomsg("send", campaign(tmp_path, box.url), "--yes") == 5
    path = tmp_path / "autumn.db"
    db = sqlite3.connect(path)
    with db:
        db.execute(f"UPDATE campaign SET {column} = ?", (value,))
    db.close()
    calls = box.calls["singlesendmsg"]
    capsys.readouterr()
    assert promomsg("resume", path, "--yes") == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "unexpected" not in said
    assert box.calls["singlesendmsg"] == calls
