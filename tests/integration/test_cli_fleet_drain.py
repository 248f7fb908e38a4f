"""Workers in the terminal: who is there, and having them end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from cli_campaigns import promomsg
from fleet_working import WorkerProcess, new_fleet, rows

from promomsg.sandbox import Sandbox


@pytest.fixture
def fleet(postgres: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.delenv("PROMOMSG_FLEET", raising=False)
    with new_fleet(postgres) as url:
        assert promomsg("fleet", "init", "--fleet", url) == 0
        yield url


def document(capsys: pytest.CaptureFixture[str], *words: object) -> Any:
    capsys.readouterr()
    assert promomsg(*words, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_workers_are_listed_and_end_when_they_are_drained(
    fleet: str, served: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    at = ("--fleet", fleet)
    assert promomsg("fleet", "workers", *at) == 0
    assert "no worker; `promomsg worker` is one" in capsys.readouterr().err
    assert promomsg("fleet", "drain", *at) == 0
    assert "0 workers ended" in capsys.readouterr().err
    workers = [WorkerProcess(fleet, served.url, name=name) for name in ("one", "two", "three")]
    try:
        rows(
            fleet,
            "INSERT INTO worker (name, seen_at, concurrency, version, tasks, trouble) VALUES"
            " ('killed', extract(epoch FROM now()) - 60, 1, '0.1', '{}',"
            ' \'[{"campaign": 7, "name": "autumn", "text": "no account"}]\')',
        )
        listed = document(capsys, "fleet", "workers", *at)
        assert listed["fleet"].startswith("PostgreSQL ")
        assert {one["name"]: one["state"] for one in listed["workers"]} == {
            "one": "alive", "two": "alive", "three": "alive", "killed": "gone",
        }  # fmt: skip
        [killed] = [one for one in listed["workers"] if one["name"] == "killed"]
        assert killed["trouble"] == [
            {"journal": "fleet:autumn", "task": None, "text": "no account"}
        ]
        assert promomsg("fleet", "workers", *at) == 0
        assert "killed: autumn: no account" in capsys.readouterr().out

        assert promomsg("fleet", "drain", "tow", *at) == 1
        assert "there is no worker 'tow'; did you mean 'two'?" in capsys.readouterr().err
        assert promomsg("fleet", "drain", "killed", *at) == 1
        assert "there is no worker 'killed'" in capsys.readouterr().err
        assert promomsg("fleet", "drain", "two", *at) == 0
        assert "1 worker ended" in capsys.readouterr().err
        assert workers[1].process.wait(10) == 0
        asked = document(capsys, "fleet", "drain", "one", "--no-wait", *at)
        assert (asked["ended"], asked["ending"]) == ([], ["one"])
        assert workers[0].process.wait(10) == 0
        asked = document(capsys, "fleet", "drain", *at)
        assert (asked["ended"], asked["ending"]) == (["three"], [])
        assert workers[2].process.wait(10) == 0
    finally:
        for one in workers:
            one.kill()
    assert [one["name"] for one in document(capsys, "fleet", "workers", *at)["workers"]] == [
        "killed"
    ]
