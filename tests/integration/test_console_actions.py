"""What the console may do, done to real senders and counted at the provider."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_campaigns import ENV, campaign, finished, promomsg
from console_desk import Desk, desk_over, halted, once_each, sending, unlimited
from waiting import wait_for

from promomsg.crashpoints import VARIABLE
from promomsg.sandbox import Fault, FaultPlan, Sandbox


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with desk_over(tmp_path / "autumn.db") as one:
        yield one


def test_a_pause_is_obeyed_and_a_resume_sends_the_rest_by_a_process_of_its_own(
    served: Sandbox, tmp_path: Path, desk: Desk
) -> None:
    sender = sending(served, tmp_path)
    assert "is sending it" in desk.asked("resume").why_not
    assert desk.press("pause").done == "Its sender was asked to pause: calls in flight finish."
    finished(sender)
    assert sender.returncode == 5
    assert desk.asked("pause").why_not == "it is paused already"

    at_pause = desk.report
    asked = desk.asked("resume")
    assert asked.command == f"promomsg resume {desk.path}"
    assert f"Still to be sent to: {at_pause.pending}, at {served.url}." in asked.says
    assert f"Sent to already, and not again: {at_pause.sent}." in asked.says
    assert any("40 singles a second" in text for text in asked.says)
    unlimited(tmp_path)
    desk.agree("resume", asked.agreed)
    assert desk.ended() == 0
    assert once_each(served, 120)
    news = desk.processes.news(desk.campaign)
    assert news is not None
    assert news.meaning == "all that was to be sent was sent"
    assert news.command == asked.command
    assert desk.asked("resume").why_not == "it has ended"


def test_a_cancel_ends_it_whether_somebody_sends_or_nobody(
    served: Sandbox, tmp_path: Path, desk: Desk
) -> None:
    sender = sending(served, tmp_path)
    asked = desk.asked("cancel")
    assert "at most" in asked.says[0]
    assert desk.agree("cancel", asked.agreed).done.startswith("Its sender was asked to cancel")
    finished(sender)
    assert sender.returncode == 3
    report = desk.report
    assert report.sent == served.calls["singlesendmsg"]
    assert report.sent + report.cancelled == 120
    assert desk.asked("cancel").why_not == "it was cancelled"

    other = Desk(tmp_path / "winter.db")
    file = campaign(tmp_path, served.url, 20, name="winter", title="{name}")
    served.faults = FaultPlan([Fault(endpoint="singlesendmsg", errcode=45009)])
    assert promomsg("send", file, "--yes") == 5
    assert f"It stopped by itself: {other.report.reason}" in other.asked("resume").says
    assert f"Cancelled at once: {other.report.pending} who were not sent to." in (
        other.asked("cancel").says
    )
    assert other.press("cancel").done == "What was not sent is cancelled."
    assert (other.report.state, other.report.cancelled) == ("cancelled", 20)


def test_a_retry_sends_to_exactly_those_who_failed(
    served: Sandbox, tmp_path: Path, desk: Desk
) -> None:
    """A row without a value was refused when the list was read: it stays as it is."""
    served.settings.refuse_single = {"1003": 43101, "1007": 43101}
    rows = "key,id,name\n" + "".join(f"k{n},{1000 + n},c{n}\n" for n in range(12))
    file = campaign(tmp_path, served.url, rows + "k99,1099,\n", title="{name}")
    assert promomsg("send", file, "--yes") == 3
    before = desk.asked("retry")
    assert "To be sent to again: 2 who failed" in before.says[0]
    assert any(text.startswith("2 x 43101: ") for text in before.says)
    assert any("when the list was read, and not sent to: 1." in text for text in before.says)

    # Somebody else is quicker: the yes was to two, and one is left.
    served.settings.refuse_single = {"1007": 43101}
    assert promomsg("retry", desk.path, "--failed", "--yes") == 3
    again = desk.agree("retry", before.agreed).ask
    assert again is not None
    assert again.says[0].startswith("The campaign has changed since you were asked")
    assert "To be sent to again: 1 who failed" in again.says[1]

    served.settings.refuse_single = {}
    desk.agree("retry", again.agreed)
    assert desk.ended() == 3
    assert (desk.report.sent, desk.report.failed) == (12, 1)
    assert once_each(served, 12)
    assert "mend the list" in desk.asked("retry").why_not


def test_the_sender_goes_on_when_the_console_is_killed(served: Sandbox, tmp_path: Path) -> None:
    halted(served, tmp_path)
    desk = Desk(tmp_path / "autumn.db")
    agreed = desk.asked("resume").agreed
    console = subprocess.Popen(
        [sys.executable, "-c", CONSOLE, str(desk.path), agreed],
        stdout=subprocess.PIPE,
        text=True,
        env={**ENV, "PYTHONPATH": os.pathsep.join([ENV["PYTHONPATH"], *sys.path])},
    )
    assert console.stdout is not None
    number = int(console.stdout.readline())
    console.kill()
    console.communicate()
    assert desk.journal.senders() == [f"process {number}"]
    assert os.getsid(number) == number
    wait_for(lambda: not desk.journal.is_being_sent(), seconds=20)
    assert desk.report.state == "done"
    assert once_each(served, 120)


@pytest.mark.parametrize("action", ["resume", "retry"])
def test_a_sender_that_is_killed_is_said_and_another_console_goes_on(
    served: Sandbox, tmp_path: Path, desk: Desk, action: str
) -> None:
    """Killed when its first calls may have left, and the console right after."""
    if action == "resume":
        halted(served, tmp_path)
        unlimited(tmp_path)
        before = 10
    else:
        served.settings.refuse_single = {str(1000 + n): 43101 for n in range(0, 120, 10)}
        assert promomsg("send", campaign(tmp_path, served.url, 120, title="{name}"), "--yes") == 3
        served.settings.refuse_single = {}
        before = 108
    first = Desk(desk.path, **{VARIABLE: "results-durable:1"})
    assert first.press(action).done
    assert first.ended() == -signal.SIGKILL
    news = first.processes.news(first.campaign)
    assert news is not None
    assert news.meaning == "a signal ended it (number 9); resume goes on with it"
    first.processes.close()

    assert before < served.ledger.total <= 120
    report = desk.report
    assert report.pending + report.sent + report.unknown == 120
    assert desk.processes.news(desk.campaign) is None
    desk.press("resume")
    assert desk.ended() in (0, 4)
    assert desk.report.sent + desk.report.unknown == 120
    assert served.ledger.twice() == []


CONSOLE = """
import sys
from pathlib import Path
from console_desk import Desk
desk = Desk(Path(sys.argv[1]))
desk.agree("resume", sys.argv[2])
print(desk.processes.running_for(desk.campaign), flush=True)
sys.stdin.read()
"""


def test_without_the_secret_the_commands_own_line_is_what_is_shown(
    served: Sandbox, tmp_path: Path, desk: Desk
) -> None:
    halted(served, tmp_path)
    (tmp_path / "secret.txt").unlink()
    assert desk.press("resume").done == "The process has ended; what it said is shown."
    assert desk.ended() == 1
    assert "secret.txt" in desk.said()
    news = desk.processes.news(desk.campaign)
    assert news is not None
    assert news.meaning == "wrong use or configuration, nothing sent"
    desk.processes.forget(desk.campaign)
    assert desk.processes.news(desk.campaign) is None


def test_the_others_follow_the_first_few_by_a_word(
    served: Sandbox, tmp_path: Path, desk: Desk
) -> None:
    served.settings.refuse_single = {str(who): 43101 for who in range(1000, 1100) if who % 3 == 0}
    keys = 'route = "single"\nfirst = 20\nfirst_wait = "0s"\n'
    assert promomsg("send", campaign(tmp_path, served.url, 100, campaign=keys), "--yes") == 5
    called = served.calls["singlesendmsg"]
    assert "let them follow, or cancel" in desk.asked("resume").why_not
    asked = desk.asked("approve")
    assert asked.command == f"promomsg resume {desk.path} --approve"
    assert asked.says[0].startswith("How the first 20 came out: ")
    assert asked.says[1].startswith("Warning: ")
    pending = desk.report.pending
    assert f"To be sent to by your word: {pending} others, at {served.url}." in asked.says
    desk.agree("approve", asked.agreed)
    assert desk.ended() == 3
    assert served.calls["singlesendmsg"] == called + pending
    assert desk.asked("approve").why_not == "it has ended"
    assert served.ledger.twice() == []
