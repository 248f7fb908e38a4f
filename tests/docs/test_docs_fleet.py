"""What docs/fleet.md says of sizes is what the simulation counts, and its files name what there is."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
from markdown_blocks import ROOT, blocks, section

from benchmarks.fleet_day import Day, main, simulate
from promomsg.cli.app import COMMANDS, cli

FILES = ROOT / "examples" / "fleet"
DAY = section("docs/fleet.md", "A hundred million in a day")


def figure(name: str) -> float:
    """The last column of a row of the day's table, without its unit."""
    found = re.search(rf"^\| {re.escape(name)} \|.*\| ([\d.]+)[^|]*\|$", DAY, re.MULTILINE)
    assert found is not None, name
    return float(found[1])


def test_the_arithmetic_of_the_page_is_what_the_simulation_counts() -> None:
    day = Day(rate=2315, kills=0, restarts=0)
    found = simulate(day)
    assert found.seconds == pytest.approx(12 * 3600, rel=0.01)
    assert figure("calls in flight") == pytest.approx(2315 * day.answer, rel=0.02)
    assert figure("workers' CPU") == pytest.approx(found.worker_cores, rel=0.1)
    assert figure("server's CPU") == pytest.approx(found.server_cores, rel=0.1)
    assert figure("statements") == pytest.approx(found.statements, rel=0.01)
    assert figure("disk") == pytest.approx(found.disk / 1e9, rel=0.02)
    assert figure("WAL") == pytest.approx(found.wal / 1e9, rel=0.02)


def test_who_is_killed_costs_what_the_page_says() -> None:
    calm, rough = (simulate(Day(rate=2315, kills=kills, restarts=0)) for kills in (0, 24))
    assert calm.unknown == 0
    assert rough.unknown / 24 == pytest.approx(figure("killed, each time"), rel=0.1)


def test_the_commands_of_the_page_run(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        shlex.split(line)
        for block in blocks("docs/fleet.md", "sh")
        for line in block.text.splitlines()
        if "benchmarks" in line
    ]
    assert len(lines) == 2
    for words in lines:
        assert words[:3] == ["python", "-m", "benchmarks.fleet_day"]
        assert main(words[3:]) == 0
    assert "100,000,000" in capsys.readouterr().out


def parsed(words: list[str]) -> None:
    """Raises click's error for a command line of promomsg that there is not."""
    assert words[0] in COMMANDS
    command: click.Command | None = cli.get_command(click.Context(cli), words[0])
    rest = words[1:]
    while isinstance(command, click.Group):
        command, rest = command.commands[rest[0]], rest[1:]
    assert command is not None
    command.make_context(words[0], rest, resilient_parsing=False)


def test_the_unit_starts_a_worker_and_stops_it_softly() -> None:
    unit = (FILES / "promomsg-worker.service").read_text(encoding="utf-8")
    settings = dict(re.findall(r"^(\w+)=(.+)$", unit, re.MULTILINE))
    program, *words = shlex.split(settings["ExecStart"])
    assert Path(program).name == "promomsg"
    parsed(words)
    assert settings["KillSignal"] == "SIGTERM"
    assert int(settings["TimeoutStopSec"]) > 30  # a call's time-out


def test_a_worker_that_was_drained_is_not_started_again() -> None:
    unit = (FILES / "promomsg-worker.service").read_text(encoding="utf-8")
    assert re.findall(r"^Restart=(.+)$", unit, re.MULTILINE) == ["on-failure"]
    compose = (FILES / "compose.yaml").read_text(encoding="utf-8")
    assert re.findall(r"restart: (\S+)", compose) == ["on-failure"]


def test_the_containers_run_commands_that_there_are() -> None:
    compose = (FILES / "compose.yaml").read_text(encoding="utf-8")
    commands = re.findall(r"command: \[(.+)\]", compose)
    image = re.search(r"^CMD \[(.+)\]", (FILES / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    assert image is not None
    for found in [*commands, image[1]]:
        program, *words = [word.strip().strip('"') for word in found.split(",")]
        assert program == "promomsg"
        parsed(words)
    assert re.search(r"image: postgres:(\d+)", compose)
