"""Which journal a path or a name means."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from promomsg import open_journal
from promomsg.errors import UsageError
from promomsg.journal.locate import journal_at
from promomsg.journal.sqlite.journal import SqliteJournal

URL = "postgresql://nobody@localhost:1/none"


def test_a_path_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in ("autumn.db", Path("autumn.db"), "./fleet:autumn", Path("fleet:autumn")):
        assert isinstance(journal_at(path), SqliteJournal)


def test_a_name_of_the_fleet_is_a_campaign_of_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMOMSG_FLEET", URL)
    journal = journal_at("fleet:autumn")
    assert (journal.path, journal.address) == (None, "fleet:autumn")
    assert "nobody" not in repr(journal) or "@" not in repr(journal)
    with pytest.raises(UsageError, match="name"):
        journal_at("fleet:")


def test_without_its_database_or_its_extra_a_fleet_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PROMOMSG_FLEET", raising=False)
    for look in (journal_at, open_journal):
        with pytest.raises(UsageError) as caught:
            look("fleet:autumn")
        assert str(caught.value) == (
            "journal 'fleet:autumn': which database? set PROMOMSG_FLEET to its URL "
            "(postgresql://host/database)"
        )
    monkeypatch.setenv("PROMOMSG_FLEET", URL)
    monkeypatch.setitem(sys.modules, "promomsg.journal.postgres.journal", None)
    with pytest.raises(UsageError) as caught:
        journal_at("fleet:autumn")
    assert str(caught.value) == (
        "journal 'fleet:autumn': a fleet's journal is on PostgreSQL: pip install 'promomsg[fleet]'"
    )


def test_a_file_needs_nothing_of_a_fleet() -> None:
    code = (
        "import sys; from promomsg.journal.locate import journal_at; journal_at('a.db');"
        "assert not any('psycopg' in name or 'postgres' in name for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


WITHOUT = "import sys; sys.modules['psycopg'] = sys.modules['procrastinate'] = None; "


@pytest.mark.parametrize(
    "words",
    [
        ["worker"],
        ["fleet", "init"],
        ["fleet", "status"],
        ["fleet", "workers"],
        ["fleet", "drain"],
        ["fleet", "prune"],
        ["status", "fleet:autumn"],
        ["resume", "fleet:autumn", "--yes"],
        ["report", "fleet:autumn"],
        ["pause", "fleet:autumn"],
    ],
)
def test_the_terminal_names_the_extra_that_is_missing(words: list[str]) -> None:
    text = f"{WITHOUT}from promomsg.cli import main; sys.exit(main({words!r}))"
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=60,
        env={**os.environ, "PROMOMSG_FLEET": "postgresql://db.example/fleet"},
    )  # fmt: skip
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "pip install 'promomsg[fleet]'" in line
