"""The terminal with a campaign in a database: the same commands, documents and exit statuses as with a
file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cli_campaigns import promomsg


@pytest.fixture
def fleet(postgres: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A database of the test's own with the tables, which `$PROMOMSG_FLEET` does not name: its URL."""
    monkeypatch.delenv("PROMOMSG_FLEET", raising=False)
    name = f"{psycopg.conninfo.conninfo_to_dict(postgres)['dbname']}_cli"
    with psycopg.connect(postgres, autocommit=True) as db:
        db.execute(f"CREATE DATABASE {name}".encode())
        url = psycopg.conninfo.make_conninfo(postgres, dbname=name)
        assert promomsg("fleet", "init", "--fleet", url) == 0
        yield url
        db.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def documents(capsys: pytest.CaptureFixture[str], *words: object) -> Any:
    """What a command prints with --json."""
    capsys.readouterr()
    promomsg(*words, "--json")
    return json.loads(capsys.readouterr().out)


def test_a_database_is_prepared_once_and_says_what_is_in_it(
    fleet: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PROMOMSG_FLEET", fleet)
    assert promomsg("fleet", "init") == 0
    assert "its tables are ready" in capsys.readouterr().err
    assert promomsg("fleet", "status") == 0
    assert "no campaign yet" in capsys.readouterr().err
    assert documents(capsys, "fleet", "status")["campaigns"] == []


def test_what_is_wrong_with_a_database_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PROMOMSG_FLEET", raising=False)
    for words, wanted in (
        (("fleet", "status"), "set PROMOMSG_FLEET to its URL"),
        (("fleet", "init", "--fleet", "postgresql://me:sesame@localhost:1/x"), "cannot be reached"),
        (("fleet", "status", "--fleet", "postgresql://me:sesame@localhost:1/x"), "cannot be reached"),
    ):  # fmt: skip
        assert promomsg(*words) == 1
        said = capsys.readouterr().err
        assert wanted in said
        assert said.count("\n") == 1
        assert "sesame" not in said
