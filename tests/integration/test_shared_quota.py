"""One account, several senders on this machine: its quota holds over all of them, at the server."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from bisect import bisect_right
from pathlib import Path

import pytest
from campaigning import MESSAGE, QUICK, ids, wechat
from cli_campaigns import campaign, finished, one_document, promomsg, started
from waiting import until

import promomsg as sdk
from promomsg import Campaign, Pace
from promomsg.sandbox import Sandbox


def times_of(ledger: Path) -> list[float]:
    """When the single sends arrived."""
    lines = map(json.loads, ledger.read_text().splitlines())
    return sorted(line["at"] for line in lines if line["what"] == "single")


def worst(times: list[float]) -> int:
    """The most calls in any window of a second, less what a busy machine may bring two calls closer
    together on their way: a bunch too many would still be seen."""
    return max(i + 1 - bisect_right(times, at - 0.9) for i, at in enumerate(times))


def sending(folder: Path, url: str, name: str, rows: int) -> subprocess.Popen[str]:
    """A terminal that sends one campaign of the account at 20 a second."""
    (folder / name).mkdir()
    file = campaign(
        folder / name,
        url,
        rows,
        name=name,
        pace="singles_per_second = 20",
        campaign='route = "single"',
    )
    return started("send", file, "--yes", "--json")


@pytest.mark.asyncio
async def test_two_terminals_share_the_windows_of_their_account_and_use_them(
    tmp_path: Path,
) -> None:
    """In real time, since it is other processes whose calls are counted."""
    ledger = tmp_path / "ledger.jsonl"
    async with Sandbox(ledger=ledger) as box:
        both = [sending(tmp_path, box.url, name, 70) for name in ("one", "two")]
        done = await asyncio.gather(*(asyncio.to_thread(finished, one, 60.0) for one in both))
    times = times_of(ledger)
    assert [json.loads(out)["sent"] for out, _ in done] == [70, 70]
    assert worst(times) <= 20
    # Between the beginning of the later one and the end of the earlier one.
    first, last = times[0] + 1.0, times[-1] - 1.0
    sent = bisect_right(times, last) - bisect_right(times, first)
    assert sent >= 0.9 * 20 * (last - first) - 5, "and a bunch that lies across"


@pytest.mark.asyncio
async def test_a_terminal_that_is_killed_holds_nobody_up(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    async with Sandbox(ledger=ledger) as box:
        both = [
            sending(tmp_path, box.url, name, rows) for name, rows in (("one", 60), ("two", 300))
        ]
        await until(lambda: box.ledger.singles >= 40, 30.0)
        both[1].kill()
        done = [await asyncio.to_thread(finished, one, 60.0) for one in both]
    times = times_of(ledger)
    assert json.loads(done[0][0])["sent"] == 60
    assert worst(times) <= 20


@pytest.mark.asyncio
async def test_a_hold_is_known_to_the_other_client_within_a_second(box: Sandbox) -> None:
    pace = Pace(singles_per_second=200)
    async with wechat(box, pace=pace) as first, wechat(box, pace=pace) as second:
        await first.pacer.open()
        async with Campaign(second, MESSAGE, ids(500), route="single", **QUICK) as run:
            await until(lambda: run.report.sent >= 100)
            first.pacer.singles.throttled(1.0)
            held = second.pacer.singles
            async with asyncio.timeout(1.0):
                await until(lambda: held.held_until is not None)
            assert (await run.wait()).sent == 500


@pytest.mark.asyncio
async def test_two_campaigns_one_after_the_other_share_the_day(box: Sandbox) -> None:
    pace = Pace(singles_per_second=100, singles_per_day=10)
    sent = []
    for start in (1_000, 2_000):
        async with wechat(box, pace=pace) as channel:
            report = await sdk.send(channel, MESSAGE, ids(8, start), route="single", **QUICK)
            sent.append((report.sent, report.state))
    assert sent == [(8, "done"), (2, "halted")]
    assert box.ledger.singles == 10
    async with wechat(
        box, pace=Pace(singles_per_second=100, singles_per_day=10, shared_quota=False)
    ) as own:
        report = await sdk.send(own, MESSAGE, ids(3, 3_000), route="single", **QUICK)
    assert report.sent == 3, "off: each client has the quota for itself"


@pytest.mark.asyncio
async def test_campaigns_at_once_in_one_process_share_the_day(box: Sandbox) -> None:
    pace = Pace(singles_per_second=100, singles_per_day=30)

    async def send(start: int) -> int:
        async with wechat(box, pace=pace) as channel:
            report = await sdk.send(channel, MESSAGE, ids(25, start), route="single", **QUICK)
            return report.sent

    sent = await asyncio.gather(send(1_000), send(2_000))
    assert sum(sent) == 30
    assert box.ledger.singles == 30


@pytest.mark.asyncio
async def test_where_the_folder_cannot_be_written_the_report_says_so_and_all_are_sent(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "state").write_text("a file")
    monkeypatch.setenv("PROMOMSG_STATE", str(tmp_path / "state"))
    async with wechat(box, pace=Pace(singles_per_second=1000)) as channel:
        report = await sdk.send(channel, MESSAGE, ids(20), route="single", **QUICK)
    assert report.sent == 20
    [warning] = report.warnings
    assert "the quota is not shared with other processes" in warning
    assert "PROMOMSG_STATE" in warning


def test_doctor_says_whether_the_quota_is_shared(
    served: Sandbox,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def finding(pace: str) -> tuple[str, str]:
        file = campaign(tmp_path, served.url, 1, pace=pace)
        promomsg("doctor", file, "--json")
        [found] = [f for f in one_document(capsys)["findings"] if f["what"] == "shared quota"]
        return found["level"], found["detail"]

    assert finding("singles_per_second = 5")[0] == "ok"
    assert finding("shared_quota = false") == ("ok", "off: each process has the quota for itself")
    assert finding("unlimited = true")[1].startswith("off")
    (tmp_path / "state").write_text("a file")
    monkeypatch.setenv("PROMOMSG_STATE", os.fspath(tmp_path / "state"))
    level, detail = finding("singles_per_second = 5")
    assert level == "warn"
    assert "name another folder in PROMOMSG_STATE" in detail


def test_doctor_says_that_a_campaign_in_a_database_shares_with_every_machine(
    served: Sandbox,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    postgres: str,
) -> None:
    def finding(url: str) -> tuple[str, str]:
        monkeypatch.setenv("PROMOMSG_FLEET", url)
        file = campaign(tmp_path, served.url, 1, pace="singles_per_second = 5")
        file.write_text(file.read_text().replace('"autumn.db"', '"fleet:autumn"'))
        promomsg("doctor", file, "--json")
        [found] = [f for f in one_document(capsys)["findings"] if f["what"] == "shared quota"]
        return found["level"], found["detail"]

    assert finding(postgres) == (
        "ok",
        "with everybody who sends from that database, on every machine",
    )
    level, detail = finding("postgresql://postgres@127.0.0.1:1/nowhere")
    assert level == "warn"
    assert "it cannot be reached now" in detail
