"""Campaigns at their times on real sockets: counted by the provider's ledger and clock, and by parts."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from campaigning import MESSAGE, PERSONAL, QUICK, honest, ids, wechat
from cli_campaigns import campaign, started
from clocks import FakeClock, china, utc
from fleet_working import new_fleet, quick_looks, working
from waiting import until

import promomsg
from promomsg import Campaign, Pace, Report, open_journal
from promomsg.engine.joining import Part, do_part
from promomsg.journal.contract import Journal
from promomsg.sandbox import Sandbox

pytestmark = pytest.mark.asyncio

SENDS = Part(singles=True, groups=True)
FAR = "2035-11-11 09:00"
FAR_AT = china(FAR)


@pytest_asyncio.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """A sandbox that writes down when it delivered to whom."""
    async with Sandbox(ledger=tmp_path / "ledger.jsonl") as box:
        yield box


def delivered_at(folder: Path) -> list[float]:
    """When the sandbox delivered, by its own clock: single and group sends."""
    lines = map(json.loads, (folder / "ledger.jsonl").read_text().splitlines())
    return [line["at"] for line in lines if line["what"] in ("single", "group")]


def report_of(journal: Journal) -> Report:
    with open_journal(journal) as opened:
        return opened.report()


@pytest.mark.parametrize(
    ("zone", "begin", "between", "windows"),
    [
        # At 01:00 UTC the clocks there are set from 02:00 to 03:00.
        (
            "Europe/Berlin",
            "2026-03-29 00:54",
            ["01:55-02:30", "03:05-03:30"],
            [("2026-03-29 00:55", "2026-03-29 01:00"), ("2026-03-29 01:05", "2026-03-29 01:30")],
        ),
        # At 01:00 UTC they are set from 03:00 to 02:00.
        (
            "Europe/Berlin",
            "2026-10-25 00:54",
            ["02:55-03:05"],
            [("2026-10-25 00:55", "2026-10-25 01:00"), ("2026-10-25 01:55", "2026-10-25 02:05")],
        ),
        (
            "Asia/Shanghai",
            "2026-10-25 00:54",
            ["08:55-09:00", "09:05-09:30"],
            [("2026-10-25 00:55", "2026-10-25 01:00"), ("2026-10-25 01:05", "2026-10-25 01:30")],
        ),
    ],
)
async def test_the_provider_counts_nobody_outside_the_hours(
    ledger: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    zone: str,
    begin: str,
    between: Sequence[str],
    windows: Sequence[tuple[str, str]],
) -> None:
    clock = FakeClock(start=utc(begin))
    monkeypatch.setattr(ledger.clock, "time", clock.time)
    pace = Pace(singles_per_minute=2)
    async with (
        wechat(ledger, clock=clock, pace=pace) as channel,
        Campaign(
            channel,
            PERSONAL,
            ids(14),
            clock=clock,
            journal=tmp_path / "hours.db",
            between=between,
            zone=zone,
            **QUICK,
        ) as run,
    ):
        await clock.advance_until(lambda: not run.progress.pending, 5.0)
        report = await run.wait()
    assert (report.state, report.sent) == ("done", 14)
    times = delivered_at(tmp_path)
    counted = [sum(utc(first) <= at < utc(last) for at in times) for first, last in windows]
    assert sum(counted) == 14
    assert all(counted), "both of them are used"


async def test_a_campaign_that_was_killed_while_it_waited_goes_on_at_its_hour(
    ledger: Sandbox, tmp_path: Path
) -> None:
    file = campaign(tmp_path, ledger.url, 12, campaign=f'start_at = "{FAR}"')
    process = started("send", file, "--yes")
    journal = tmp_path / "autumn.db"
    await until(lambda: journal.exists() and _state(journal) == "waiting", seconds=20)
    process.kill()
    process.communicate()
    killed = report_of(promomsg.SqliteJournal(journal))
    assert (killed.state, killed.pending, killed.waits_until) == ("waiting", 12, FAR_AT)
    assert killed.reason == f"it starts at {FAR} (Asia/Shanghai)"
    assert any("nobody is there" in warning for warning in killed.warnings)
    clock = FakeClock(start=FAR_AT - 45.0)
    async with (
        promomsg.WeChatPromoter(
            "wx0123456789abcdef", "s", base_url=ledger.url, pace=Pace(unlimited=True), clock=clock
        ) as channel,
        Campaign.resume(journal, channel, clock=clock, **QUICK) as run,
    ):
        await clock.advance_until(lambda: clock.time() >= FAR_AT - 6.0, 2.0)
        assert (run.progress.state, ledger.ledger.total) == ("waiting", 0)
        await clock.advance_until(lambda: not run.progress.pending, 1.0)
        report = await run.wait()
    assert report.sent == ledger.ledger.total == 12
    assert ledger.ledger.twice() == []


def _state(journal: Path) -> str:
    try:
        return report_of(promomsg.SqliteJournal(journal)).state
    except promomsg.JournalError:
        return ""


async def test_what_is_handed_over_is_parked_until_its_start(
    box: Sandbox, journal: Journal, tmp_path: Path
) -> None:
    async with wechat(box) as channel:
        await Campaign(
            channel, MESSAGE, ids(60), journal=journal, start_at=FAR, **QUICK
        ).hand_over()
        handle = await journal.open()
        assert (await handle.control()).parked_until == FAR_AT
        await handle.close()
        early = await do_part(journal, channel, SENDS, now=lambda: FAR_AT - 60.0)
        assert (early.state, early.calls, early.parked_until) == ("waiting", 0, FAR_AT)
        assert box.ledger.total == 0
        # This machine's clock says another year; the one that all go by says that it is time.
        done = await do_part(journal, channel, SENDS, now=lambda: FAR_AT)
        assert (done.state, done.calls) == ("following", 1)
        assert box.ledger.total == 60


async def test_a_part_that_finds_the_hours_over_parks_what_is_left(
    box: Sandbox, journal: Journal
) -> None:
    night, morning = utc("2026-12-12 15:00"), utc("2026-12-13 01:00")  # eleven there, and nine
    async with wechat(box) as channel:
        async with Campaign(
            channel, PERSONAL, ids(20), journal=journal, between="09:00-21:00",
            clock=FakeClock(start=night), **QUICK,
        ):  # fmt: skip
            pass
        for _ in range(2):
            done = await do_part(journal, channel, SENDS, now=lambda: night)
            assert (done.state, done.calls, done.parked_until) == ("waiting", 0, morning)
        # A clock that is not known sends nothing either.
        assert (await do_part(journal, channel, SENDS, now=lambda: None)).calls == 0
        assert box.ledger.total == 0
        done = await do_part(journal, channel, SENDS, now=lambda: morning + 1.0)
        assert (done.state, done.calls) == ("done", 20)
    honest(report_of(journal), box)


async def test_a_part_cancels_what_finish_by_leaves(box: Sandbox, journal: Journal) -> None:
    async with wechat(box) as channel:
        await Campaign(
            channel, PERSONAL, ids(20), journal=journal, finish_by=FAR, **QUICK
        ).hand_over()
        done = await do_part(journal, channel, SENDS, now=lambda: FAR_AT + 5.0)
        assert (done.state, done.calls, done.work_left) == ("cancelled", 0, False)
    report = report_of(journal)
    assert report.by_code == {"FINISH_BY": 20}
    honest(report, box)


async def test_workers_begin_at_the_start_and_the_fleet_says_until_when_it_waits(
    ledger: Sandbox, postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_looks(monkeypatch)
    with new_fleet(postgres) as url:
        fleet = promomsg.Fleet(url)
        await fleet.prepare()
        async with wechat(ledger) as channel, working(fleet, channel):
            start = (
                time.time() + 1.5
            )  # by the server's clock, so it is real time that is waited for
            options: dict[str, Any] = {"start_at": datetime.fromtimestamp(start, UTC)}
            await Campaign(
                channel, PERSONAL, ids(20), journal=fleet.journal("dawn"), **options, **QUICK
            ).hand_over()
            await until(lambda: _is_idle(fleet, "dawn"))
            [found] = await fleet.campaigns()
            assert (found.state, ledger.ledger.total) == ("waiting", 0)
            assert found.report is not None
            assert found.report.waits_until == pytest.approx(start)
            report = await fleet.wait("dawn")
    assert report.sent == 20
    assert min(delivered_at(tmp_path)) >= start


def _is_idle(fleet: promomsg.Fleet, name: str) -> bool:
    with open_journal(fleet.journal(name)) as opened:
        return opened.report().pending == 20
