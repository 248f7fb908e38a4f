"""A console over one journal, as its pages use it, and senders for it to act on."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli_campaigns import ENV, campaign, promomsg, started
from waiting import wait_for

from promomsg.cli.exit_status import TABLE
from promomsg.console.console_types import Action, Look
from promomsg.console.sender_processes import CampaignName, SenderProcesses
from promomsg.console.take_action import ActionResult, CampaignActions
from promomsg.engine.opened_journal import open_journal
from promomsg.engine.report import Report
from promomsg.journal.locate import journal_at
from promomsg.sandbox import Fault, FaultPlan, Sandbox

__all__ = ["Desk", "desk_over", "halted", "once_each", "sending", "unlimited"]

PLACE = "1"
SLOW = "singles_per_second = 40"
WORDS = [sys.executable, "-P", "-m", "promomsg"]


class Desk:
    """A console over one journal, as its pages use it."""

    def __init__(self, path: Path, **environment: str) -> None:
        self.path = path
        self.journal = journal_at(path)
        self.processes = SenderProcesses(
            WORDS, TABLE, environment={"PYTHONPATH": ENV["PYTHONPATH"], **environment}
        )
        self.actions = CampaignActions(self.processes)
        self.campaign = CampaignName(PLACE, path.name)

    def look(self) -> Look:
        with open_journal(self.path) as opened:
            return Look(
                place=PLACE,
                name=self.path.name,
                journal=str(self.path),
                size=1,
                record=opened.record,
                report=opened.report(),
                at=0.0,
            )

    @property
    def report(self) -> Report:
        report = self.look().report
        assert report is not None
        return report

    def asked(self, name: str) -> Action:
        action = asyncio.run(self.actions.ask(self.look(), self.journal, name))
        assert action is not None
        return action

    def agree(self, name: str, agreed: str, language: str = "en") -> ActionResult:
        return asyncio.run(
            self.actions.take(self.look(), self.journal, name, agreed, language=language)
        )

    def press(self, name: str) -> ActionResult:
        """Asks, and says yes to what was asked."""
        action = self.asked(name)
        assert action.is_possible, action.why_not
        return self.agree(name, action.agreed)

    def ended(self) -> int:
        """The exit status of the process that was started, once it has ended."""
        wait_for(lambda: self.processes.running_for(self.campaign) is None, seconds=20)
        news = self.processes.news(self.campaign)
        assert news is not None
        assert news.status is not None
        return news.status

    def said(self) -> str:
        news = self.processes.news(self.campaign)
        assert news is not None
        return "\n".join(news.lines)


@contextmanager
def desk_over(path: Path) -> Iterator[Desk]:
    """One for as long as the block runs; what it has started is ended with it."""
    one = Desk(path)
    yield one
    number = one.processes.running_for(one.campaign)
    if number is not None:
        os.kill(number, signal.SIGKILL)
        one.ended()
    one.processes.close()


def sending(served: Sandbox, folder: Path) -> subprocess.Popen[str]:
    """A sender at a terminal, which has begun and takes its time."""
    file = campaign(folder, served.url, 120, title="{name}", pace=SLOW)
    sender = started("send", file, "--yes", "--json")
    wait_for(lambda: served.calls["singlesendmsg"] > 5)
    return sender


def halted(served: Sandbox, folder: Path) -> None:
    """A campaign that stopped by itself when it had begun."""
    served.faults = FaultPlan([Fault(endpoint="singlesendmsg", errcode=45009, after=10)])
    file = campaign(folder, served.url, 120, title="{name}")
    assert promomsg("send", file, "--yes") == 5
    served.faults = FaultPlan()
    file.write_text(file.read_text().replace("unlimited = true", SLOW))


def unlimited(folder: Path) -> None:
    """The rest of the campaign goes as fast as it can."""
    file = folder / "autumn.toml"
    file.write_text(file.read_text().replace(SLOW, "unlimited = true"))


def once_each(served: Sandbox, people: int) -> bool:
    return list(served.ledger.delivered.values()) == [1] * people
