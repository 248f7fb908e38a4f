"""What the console may do with a fleet's campaigns, done with real workers and counted at the provider."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from cli_campaigns import ENV, campaign, finished, running, started
from console_desk import once_each
from console_serving import Asked, Served, serving
from fleet_working import new_fleet, rows
from waiting import until

from promomsg import Fleet, open_journal
from promomsg.engine.report import Report
from promomsg.sandbox import Fault, FaultPlan, Sandbox

pytestmark = pytest.mark.asyncio

ONE = "/campaigns/fleet/autumn"
SLOW = "singles_per_second = 40"
Start = Callable[[], "subprocess.Popen[str]"]


@pytest.fixture
def fleet(postgres: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A database of the test's own: its URL."""
    with new_fleet(postgres) as url:
        monkeypatch.setenv("PROMOMSG_FLEET", url)
        monkeypatch.setitem(ENV, "PROMOMSG_FLEET", url)
        asyncio.run(Fleet(url).prepare())
        yield url


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with running() as sandbox:
        yield sandbox


@pytest.fixture
def worker(fleet: str, box: Sandbox, tmp_path: Path) -> Iterator[Start]:
    """Starts a worker of the account, and waits until it is there."""
    (tmp_path / "accounts.toml").write_text(
        '[[account]]\nchannel = "wechat"\nappid = "wx0123456789abcdef"\n'
        f'secret = "file:secret.txt"\nbase_url = "{box.url}"\n'
    )
    begun: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        process = started("worker", "--accounts", tmp_path / "accounts.toml")
        begun.append(process)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("working for ")
        return process

    yield start
    for process in begun:
        if process.poll() is None:
            process.terminate()
            finished(process, 30)


@pytest_asyncio.fixture
async def console(
    fleet: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Served]:
    monkeypatch.setenv("PYTHONPATH", ENV["PYTHONPATH"])
    monkeypatch.chdir(tmp_path)
    async with serving(tmp_path, fleet_url=fleet) as served:
        yield served


async def press(console: Served, name: str) -> Asked:
    """Opens the page of an action, and sends its form; returns the campaign's page behind it."""
    path = f"{ONE}/{name}"
    page = (await console.get(path)).text
    agreed = page.partition('name="agreed" value="')[2].partition('"')[0]
    answer = await console.post(path, {"csrf": await console.csrf(path), "agreed": agreed})
    assert (answer.status, answer.place) == (303, ONE), answer.text
    return await console.get(ONE)


def stands(fleet: str) -> Report:
    with open_journal(Fleet(fleet).journal("autumn")) as opened:
        return opened.report()


async def command(*words: object) -> None:
    """Runs a command in a process of its own."""
    await asyncio.to_thread(lambda: finished(started(*words), 30))


async def handed_over(box: Sandbox, folder: Path, people: int, name: str = "autumn") -> None:
    """A campaign that workers send, and without any the command; returns at its end, or its halt."""
    file = campaign(folder, box.url, people, title="{name}")
    await command("send", file, "--yes", "--journal", f"fleet:{name}")


async def test_workers_pause_go_on_and_cancel_as_they_are_told(
    fleet: str, box: Sandbox, worker: Start, tmp_path: Path, console: Served
) -> None:
    (tmp_path / "secret.txt").write_text("a-secret-of-nobody")
    await asyncio.to_thread(worker)
    file = campaign(tmp_path, box.url, 400, title="{name}", pace=SLOW)
    watching = started("send", file, "--yes", "--journal", "fleet:autumn")
    await until(lambda: box.calls["singlesendmsg"] > 5, seconds=20)
    page = await press(console, "pause")
    assert "calls in flight finish" in page.text
    await until(lambda: stands(fleet).state == "paused", seconds=10)
    await until(lambda: stands(fleet).sent == box.ledger.total, seconds=10)
    sent = box.ledger.total

    asked = (await console.get(f"{ONE}/resume")).text
    assert f"Still to be sent to: {400 - sent}, at {box.url}." in asked
    page = await press(console, "resume")
    assert "The workers go on with it" in page.text
    await until(lambda: box.ledger.total > sent, seconds=20)

    await press(console, "cancel")
    await until(lambda: stands(fleet).state == "cancelled", seconds=20)
    await asyncio.to_thread(finished, watching)
    report = stands(fleet)
    assert report.sent == box.ledger.total
    assert report.sent + report.cancelled == 400
    assert box.ledger.twice() == []
    refusal = await console.get(f"{ONE}/cancel")
    assert "it was cancelled" in refusal.text


async def test_a_retry_is_handed_to_the_workers_by_a_process_of_the_consoles(
    fleet: str, box: Sandbox, worker: Start, tmp_path: Path, console: Served
) -> None:
    """The database's URL, password and all, stands on no command line."""
    (tmp_path / "secret.txt").write_text("a-secret-of-nobody")
    box.settings.refuse_single = {"1003": 43101, "1007": 43101}
    await asyncio.to_thread(worker)
    await handed_over(box, tmp_path, 12)
    await until(lambda: stands(fleet).state == "done", seconds=20)
    box.settings.refuse_single = {}
    asked = (await console.get(f"{ONE}/retry")).text
    assert "To be sent to again: 2 who failed" in asked
    assert "hands it over to the workers" in asked
    assert "promomsg retry fleet:autumn --failed" in asked
    await press(console, "retry")
    await until(lambda: stands(fleet).sent == 12, seconds=20)
    await until(lambda: box.ledger.total == 12, seconds=20)
    assert once_each(box, 12)


async def test_without_workers_a_process_of_the_consoles_sends_it(
    fleet: str, box: Sandbox, tmp_path: Path, console: Served
) -> None:
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", errcode=45009, after=10)])
    await handed_over(box, tmp_path, 30)
    assert stands(fleet).state == "halted"
    box.faults = FaultPlan()
    asked = (await console.get(f"{ONE}/resume")).text
    assert "It stopped by itself: 45009" in asked
    assert "Still to be sent to: 20" in asked
    page = await press(console, "resume")
    assert "promomsg resume fleet:autumn" in page.text
    await until(lambda: stands(fleet).state == "done", seconds=20)
    assert once_each(box, 30)


async def test_where_the_campaign_file_is_not_found_no_process_is_started(
    fleet: str,
    box: Sandbox,
    tmp_path: Path,
    console: Served,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A database's word for a path of this machine is not followed."""
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", errcode=45009, after=2)])
    await handed_over(box, tmp_path, 10)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    asked = (await console.get(f"{ONE}/resume")).text
    assert "does not lie in the folder that the console was started in" in asked
    assert "<form class=" not in asked
    assert "does not lie in the folder" in (await console.get(ONE)).text
    answer = await console.post(f"{ONE}/resume", {"csrf": "", "agreed": ""})
    assert answer.status == 403


async def test_a_yes_does_not_hold_for_another_campaign_of_the_same_name(
    fleet: str, box: Sandbox, tmp_path: Path, console: Served
) -> None:
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", errcode=45009)])
    await handed_over(box, tmp_path, 10)
    path = f"{ONE}/cancel"
    page = (await console.get(path)).text
    agreed = page.partition('name="agreed" value="')[2].partition('"')[0]
    csrf = await console.csrf(path)
    await handed_over(box, tmp_path, 10, "winter")
    for old, new in (("autumn", "summer"), ("winter", "autumn")):
        rows(fleet, "UPDATE campaign SET journal = %s WHERE journal = %s", new, old)
    answer = await console.post(path, {"csrf": csrf, "agreed": agreed})
    assert answer.status == 409
    assert "The campaign has changed since you were asked" in answer.text
    assert stands(fleet).cancelled == 0
