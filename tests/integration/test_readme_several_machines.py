"""The lines of the README that lead from one machine to several work as they are printed."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_campaigns import campaign, running

import promomsg
from promomsg.sandbox import Sandbox

README = Path(__file__).parents[2] / "README.md"
URL = "postgresql://promomsg@db.example/fleet"
INSTALL = "python -m pip install '.[cli,fleet]'"


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with running() as sandbox:
        yield sandbox


def machine(folder: Path, lines: str, fleet: str) -> subprocess.Popen[str]:
    """A shell on a machine where promomsg is installed already."""
    script = lines.replace(URL, f'"{fleet}"').replace(INSTALL, ":")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.Popen(
        ["bash", "-ec", script],
        cwd=folder,
        env={**os.environ, "PATH": path, "WECHAT_SECRET": "a-secret-of-nobody"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_several_machines_send_one_campaign(postgres: str, box: Sandbox, tmp_path: Path) -> None:
    page = README.read_text(encoding="utf-8").partition("## From one machine to several\n")[2]
    (block,) = re.findall(r"```sh\n(.*?)```", page.partition("\n## ")[0], re.DOTALL)
    lines = block.splitlines(keepends=True)
    assert len(lines) <= 10
    everywhere = "".join(line for line in lines if "# everywhere" in line)
    once, worker, anywhere = (
        everywhere + "".join(line for line in lines[2:] if line.startswith(beginning))
        for beginning in (
            "promomsg fleet init",
            "promomsg worker",
            ("promomsg send", "promomsg fleet status", "promomsg report"),
        )
    )
    assert len((once + worker + anywhere).splitlines()) == len(lines) + 4
    worker = worker.replace("worker &", "worker")  # the shell of another machine
    journal = promomsg.Fleet(postgres).journal("autumn")
    journal.discard()
    for name in ("planner", "one", "two"):
        (tmp_path / name).mkdir()
    campaign(tmp_path / "planner", box.url, 1300, title="{name}", pace="singles_per_second = 400")
    workers: list[subprocess.Popen[str]] = []
    try:
        said, _ = (prepared := machine(tmp_path, once, postgres)).communicate(timeout=60)
        assert prepared.returncode == 0, said
        workers = [machine(tmp_path / name, worker, postgres) for name in ("one", "two")]
        for one in workers:
            assert one.stdout is not None
            assert "working for" in one.stdout.readline()
        planner = machine(tmp_path / "planner", anywhere, postgres)
        said, _ = planner.communicate(timeout=90)
        assert planner.returncode == 0, said
        assert "1,300" in said
        with (tmp_path / "planner" / "not-sent.csv").open(encoding="utf-8") as file:
            assert list(csv.DictReader(file)) == []
        with promomsg.open_journal(journal) as opened:
            assert opened.report().sent == 1300
        assert box.ledger.total == 1300
        assert box.ledger.twice() == []
    finally:
        for one in workers:
            os.killpg(one.pid, signal.SIGTERM)
        left = [one.communicate(timeout=30)[0] for one in workers]
        journal.discard()
    assert [one.returncode for one in workers] == [0, 0], left
    assert all("1 calls" not in text and "calls in" in text for text in left), left
