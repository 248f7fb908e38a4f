"""Two press at once, a form is old, another campaign is in its place: a yes holds for what was asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_campaigns import campaign, promomsg
from console_desk import Desk, desk_over, halted, once_each, unlimited
from waiting import wait_for

from promomsg.console.action_sentences import CHANGED
from promomsg.console.take_action import ActionResult
from promomsg.sandbox import Fault, FaultPlan, Sandbox


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with desk_over(tmp_path / "autumn.db") as one:
        yield one


def test_two_presses_start_one_process_and_a_paused_one_is_followed_by_another(
    served: Sandbox, tmp_path: Path, desk: Desk
) -> None:
    halted(served, tmp_path)
    asked = desk.asked("resume")

    async def both() -> list[ActionResult]:
        look = desk.look()
        return await asyncio.gather(
            *(desk.actions.take(look, desk.journal, "resume", asked.agreed) for _ in range(2))
        )

    results = [result.done for result in asyncio.run(both())]
    assert sorted(text.startswith("It was begun already") for text in results) == [False, True]
    number = desk.processes.running_for(desk.campaign)
    assert desk.journal.senders() == [f"process {number}"]

    # Like one at a terminal it ends when it is paused: pressed at once, a resume needs another.
    desk.press("pause")
    wait_for(lambda: desk.report.state == "paused")
    unlimited(tmp_path)
    asked = desk.asked("resume")
    assert asked.is_possible
    desk.agree("resume", asked.agreed)
    assert desk.ended() == 0
    assert once_each(served, 120)


def test_what_is_pressed_while_a_process_begins_is_not_said_to_be_done(
    served: Sandbox, tmp_path: Path, desk: Desk
) -> None:
    halted(served, tmp_path)
    asked = {name: desk.asked(name) for name in ("resume", "cancel", "pause")}

    async def all_at_once() -> list[ActionResult]:
        look = desk.look()
        return await asyncio.gather(
            *(
                desk.actions.take(look, desk.journal, name, one.agreed)
                for name, one in asked.items()
            )
        )

    resumed, cancelled, paused = asyncio.run(all_at_once())
    assert resumed.done == "A process of its own sends it now."
    for one in (cancelled, paused):
        assert not one.done
        assert "nothing else was done: try again" in one.error
    assert desk.report.cancelled == 0
    assert desk.press("cancel").done.startswith("Its sender was asked to cancel")
    assert desk.ended() == 3
    assert desk.report.cancelled > 0


def test_a_pause_that_comes_before_a_resume_is_not_ended_by_it(
    served: Sandbox, tmp_path: Path, desk: Desk
) -> None:
    halted(served, tmp_path)
    asked = {name: desk.asked(name) for name in ("pause", "resume")}

    async def both() -> list[ActionResult]:
        look = desk.look()
        return await asyncio.gather(
            *(
                desk.actions.take(look, desk.journal, name, one.agreed)
                for name, one in asked.items()
            )
        )

    paused, resumed = asyncio.run(both())
    assert paused.done == "It is paused: nothing is sent until somebody resumes it."
    assert resumed.ask is not None
    assert "Somebody has asked for a pause as well: it ends with this." in resumed.ask.says
    assert desk.processes.news(desk.campaign) is None


def test_a_yes_is_to_one_campaign_and_not_to_another_in_its_place(
    served: Sandbox, tmp_path: Path, desk: Desk
) -> None:
    """Both have as many people, the same pace and the same host."""
    halted(served, tmp_path)
    asked = {name: desk.asked(name) for name in ("resume", "cancel")}
    other = tmp_path / "other"
    other.mkdir()
    halted(served, other)
    (other / "autumn.db").replace(desk.path)
    for name, one in asked.items():
        result = desk.agree(name, one.agreed)
        assert (result.done, result.error) == ("", "")
        assert result.ask is not None
        assert result.ask.says[0] == CHANGED
        assert any(": 110" in text for text in one.says)
        assert any(": 110" in text for text in result.ask.says)
    assert desk.processes.news(desk.campaign) is None
    assert desk.report.cancelled == 0


def test_a_form_that_is_sent_again_sends_to_nobody_a_second_time(
    served: Sandbox, tmp_path: Path, desk: Desk
) -> None:
    """Of the one whom it is unknown it is unknown again: the numbers are those of the first question."""
    served.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="drop_after_delivering")])
    assert promomsg("send", campaign(tmp_path, served.url, 1, title="{name}"), "--yes") == 4
    asked = desk.asked("retry-unknown")
    served.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="drop_after_delivering")])
    assert desk.agree("retry-unknown", asked.agreed).done
    assert desk.ended() == 4
    assert desk.asked("retry-unknown").says == asked.says
    calls = served.calls["singlesendmsg"]
    again = desk.agree("retry-unknown", asked.agreed)
    assert (again.done, again.error) == ("", "")
    assert again.ask is not None
    assert again.ask.says == (CHANGED, *asked.says)
    assert served.calls["singlesendmsg"] == calls
