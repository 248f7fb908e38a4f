"""The lines of the README that lead from one machine to several work as they are printed."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_campaigns import campaign, running
from waiting import wait_for

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
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_several_machines_send_one_campaign(postgres: str, box: Sandbox, tmp_path: Path) -> None:
    page = README.read_text(encoding="utf-8").partition("## From one machine to several\n")[2]
    first, other, anywhere = re.findall(r"```sh\n(.*?)```", page.partition("\n## ")[0], re.DOTALL)
    assert len((first + other + anywhere).splitlines()) == 10
    journal = promomsg.Fleet(postgres).journal("autumn")
    journal.discard()
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
        campaign(folder, box.url, 300, title="{name}", pace="singles_per_second = 30")
    (folders[1] / "people.csv").unlink()
    try:
        sends = [machine(folders[0], first, postgres)]
        wait_for(lambda: journal.exists() and journal.is_being_sent(), seconds=60)
        sends.append(machine(folders[1], other, postgres))
        said = [shell.communicate(timeout=90)[0] for shell in sends]
        assert [shell.returncode for shell in sends] == [0, 0], said
        assert "joining in" in said[1]
        asks = machine(folders[1], f"export PROMOMSG_FLEET={URL}\n{anywhere}", postgres)
        shown, _ = asks.communicate(timeout=60)
        assert asks.returncode == 0, shown
        with (folders[1] / "not-sent.csv").open(encoding="utf-8") as file:
            assert list(csv.DictReader(file)) == []
        with promomsg.open_journal(journal) as opened:
            assert opened.report().sent == 300
        assert box.ledger.twice() == []
    finally:
        journal.discard()
