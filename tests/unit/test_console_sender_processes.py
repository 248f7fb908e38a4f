"""Processes that the console starts: what is shown of them, that their ends are seen, and their number."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import wait_for

from promomsg.console import sender_processes
from promomsg.console.sender_processes import CampaignName, SenderProcesses
from promomsg.errors import UsageError

AUTUMN = CampaignName("1", "autumn.db")
WINTER = CampaignName("1", "winter.db")
STATUSES = {0: "all that was to be sent was sent", 5: "not finished; resume goes on with it"}


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[SenderProcesses]:
    """Each is a Python program instead of a command."""
    monkeypatch.setenv("SHOP_SECRET", "hunter2-of-the-shop")
    monkeypatch.setenv("SECRET_FOLDER", "/tmp")
    found = SenderProcesses(
        [sys.executable, "-c"],
        STATUSES,
        environment={"PROMOMSG_FLEET": "postgresql://me:pass-of-mine@db.example/fleet"},
    )
    yield found
    found.close()


def started(processes: SenderProcesses, code: str, campaign: CampaignName = AUTUMN) -> None:
    assert processes.start(campaign, [code], "promomsg resume autumn.db")


def ended(processes: SenderProcesses, campaign: CampaignName = AUTUMN) -> None:
    wait_for(lambda: processes.running_for(campaign) is None)


def test_what_it_said_last_is_kept_with_what_its_exit_status_means(
    processes: SenderProcesses,
) -> None:
    code = """
import os, sys
for number in range(3000):
    print("line", number)
sys.stdout.flush()
print("\\x1b[31mred", os.environ["SHOP_SECRET"], os.environ["PROMOMSG_FLEET"], "/tmp", file=sys.stderr)
sys.exit(5)
"""
    started(processes, code)
    ended(processes)
    news = processes.news(AUTUMN)
    assert news is not None
    assert (news.status, news.meaning) == (5, STATUSES[5])
    assert news.lines[:-1] == tuple(f"line {number}" for number in range(2981, 3000))
    assert news.lines[-1].endswith("red … postgresql://me:…@db.example/fleet /tmp")
    assert "\x1b" not in news.lines[-1]


def test_its_end_is_seen_and_no_zombie_is_left(processes: SenderProcesses) -> None:
    """The kernel keeps a process that ended until somebody has waited for it."""
    started(processes, "import time; time.sleep(60)")
    number = processes.running_for(AUTUMN)
    assert number is not None
    assert os.getsid(number) == number
    assert processes.running() == [f"promomsg resume autumn.db (process {number})"]
    processes.forget(AUTUMN)
    assert processes.running_for(AUTUMN) == number
    os.kill(number, 9)
    wait_for(lambda: not Path(f"/proc/{number}").exists())
    news = processes.news(AUTUMN)
    assert news is not None
    assert (news.status, news.meaning) == (
        -9,
        "a signal ended it (number 9); resume goes on with it",
    )


def test_one_campaign_has_one_process_and_there_is_a_most_of_both(
    processes: SenderProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_processes, "MOST_ALIVE", 1)
    monkeypatch.setattr(sender_processes, "MOST_KEPT", 1)
    started(processes, "import sys; sys.stdin.read(); import time; time.sleep(60)")
    number = processes.running_for(AUTUMN)
    assert number is not None
    assert not processes.start(AUTUMN, ["raise SystemExit(1)"], "promomsg resume autumn.db")
    with pytest.raises(UsageError, match="1 processes that this console has started"):
        processes.start(WINTER, ["pass"], "promomsg resume winter.db")
    os.kill(number, 9)
    ended(processes)
    started(processes, "pass", WINTER)
    assert processes.news(AUTUMN) is None
    ended(processes, WINTER)


def test_a_program_that_is_not_there_is_one_error() -> None:
    with pytest.raises(UsageError, match="no process could be started: No such file"):
        SenderProcesses(["/nowhere/python"], STATUSES).start(AUTUMN, [], "promomsg resume a.db")
