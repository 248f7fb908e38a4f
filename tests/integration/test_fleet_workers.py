"""Workers of a fleet: campaigns that are handed over to them are sent to their end, whoever ends."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
import pytest_asyncio
from campaigning import MESSAGE, QUICK, honest, ids, single
from cli_campaigns import ENV, finished, started
from fleet_working import (
    WorkerProcess,
    new_fleet,
    quick_looks,
    rows,
    sent,
    sent_at_least,
    working,
)
from postgres_server import PostgresServer
from waiting import real_time, until

import promomsg
from promomsg import Campaign, Fleet, JournalError, UsageError, WeChatPromoter
from promomsg.engine.prepare import routing
from promomsg.fleet import sweep, tasks, worker, worker_table
from promomsg.journal.postgres.access import CampaignAccess
from promomsg.journal.records import Control
from promomsg.sandbox import FaultPlan, Sandbox

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def fleet(postgres: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Fleet]:
    """A database of the test's own, and workers that look often."""
    quick_looks(monkeypatch)
    monkeypatch.setattr(routing, "_SMALLEST_CHUNK", 16)  # several chunks for a few hundred people
    with new_fleet(postgres) as url:
        found = Fleet(url)
        await found.prepare()
        yield found


def url_of(fleet: Fleet) -> str:
    return fleet._url


async def handed_over(
    fleet: Fleet, channel: WeChatPromoter, count: int, name: str = "autumn", **options: Any
) -> None:
    """A campaign that is planned, and that nobody sends yet."""
    given = {"route": "single", "concurrency": 16, **QUICK, **options}
    campaign = Campaign(channel, MESSAGE, ids(count), journal=fleet.journal(name), **given)
    await campaign.plan()
    await campaign.hand_over()


def slowly(ms: int) -> FaultPlan:
    """Answers that take so long, for campaigns that are to be met half-way."""
    return single(kind="delay", seconds=ms / 1000)


async def wait(fleet: Fleet, name: str = "autumn") -> promomsg.Report:
    return await asyncio.wait_for(fleet.wait(name), 40)


async def test_two_workers_send_a_campaign_that_was_handed_over_to_each_once(
    fleet: Fleet, channel: WeChatPromoter, box: Sandbox
) -> None:
    box.faults = slowly(20)
    await handed_over(fleet, channel, 600)
    async with working(fleet, channel, name="one"), working(fleet, channel, name="two"):
        report = await wait(fleet)
        assert {one.name for one in await fleet.workers() if one.alive} == {"one", "two"}
    assert (report.state, report.sent, report.unknown) == ("done", 600, 0)
    assert box.ledger.twice() == []
    honest(report, box)
    senders = rows(
        url_of(fleet), "SELECT DISTINCT worker FROM tally WHERE worker IN ('one', 'two')"
    )
    assert sorted(senders) == [("one",), ("two",)]
    # Nothing is left of them, and of what was queued.
    assert await fleet.workers() == []
    assert rows(url_of(fleet), "SELECT count(*) FROM procrastinate_jobs") == [(0,)]


async def test_groups_are_sent_and_followed_to_their_end_by_whoever_is_there(
    fleet: Fleet, channel: WeChatPromoter, box: Sandbox
) -> None:
    await handed_over(fleet, channel, 300, route="group", max_group_size=100)
    async with working(fleet, channel, name="one"):
        await until(lambda: rows(url_of(fleet), "SELECT 1 FROM group_send WHERE polls > 0"), 20)
    async with working(fleet, channel, name="two"):
        report = await wait(fleet)
    assert (report.state, len(report.groups)) == ("done", 3)
    assert report.sent + report.failed == 300
    assert len(box.calls.bodies("sendmsg")) == 3
    honest(report, box)


async def test_a_killed_worker_is_taken_over_and_nobody_else_is_needed(
    fleet: Fleet, channel: WeChatPromoter, box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CampaignAccess, "lease_life", 2.0)
    monkeypatch.setattr(worker_table, "ALIVE_FOR", 2.0)
    box.faults = slowly(30)
    await handed_over(fleet, channel, 800)
    await channel.close()  # who planned it is gone
    workers = [WorkerProcess(url_of(fleet), box.url, name=name, life=2.0) for name in ("a", "b")]
    try:
        await sent_at_least(fleet, "autumn", 60)
        await asyncio.to_thread(workers[0].kill)
        await sent_at_least(fleet, "autumn", 200)
        await asyncio.to_thread(workers[1].kill)
        workers.append(
            await asyncio.to_thread(
                lambda: WorkerProcess(url_of(fleet), box.url, name="c", life=2.0)
            )
        )
        report = await wait(fleet)
        states = {one.name: one.alive for one in await fleet.workers()}
        assert (states["a"], states["c"]) == (False, True)
    finally:
        for one in workers:
            await asyncio.to_thread(one.kill)
    assert report.state == "done"
    assert report.pending == 0
    assert report.unknown <= 2 * 2 * 16
    assert report.sent + report.unknown == 800
    assert box.ledger.twice() == []
    honest(report, box)


async def test_jobs_that_are_lost_are_made_anew_and_jobs_that_come_twice_send_to_nobody_twice(
    fleet: Fleet, channel: WeChatPromoter, box: Sandbox
) -> None:
    box.faults = slowly(20)
    await handed_over(fleet, channel, 600)
    [(number,)] = rows(url_of(fleet), "SELECT campaign FROM campaign")
    async with working(fleet, channel, name="one"), working(fleet, channel, name="two"):
        for at in range(50, 550, 100):
            await sent_at_least(fleet, "autumn", at)
            # Not in the workers' own event loop: it waits for their locks.
            await asyncio.to_thread(rows, url_of(fleet), "TRUNCATE procrastinate_jobs CASCADE")
            await asyncio.to_thread(
                rows,
                url_of(fleet),
                "INSERT INTO procrastinate_jobs (queue_name, task_name, args)"
                " SELECT '@' || name, 'shift', jsonb_build_object('campaign', %s)"
                " FROM worker, generate_series(1, 3)",
                number,
            )
            for one in await fleet.workers():
                assert [doing.task for doing in one.doing].count("shift") <= 1
        report = await wait(fleet)
    assert (report.state, report.sent, report.unknown) == ("done", 600, 0)
    assert box.ledger.twice() == []


async def test_a_job_whose_end_could_not_be_written_down_keeps_no_work_from_being_done(
    fleet: Fleet, channel: WeChatPromoter
) -> None:
    await handed_over(fleet, channel, 40)
    async with working(fleet, channel):
        await wait(fleet)
        await asyncio.to_thread(
            rows,
            url_of(fleet),
            "INSERT INTO procrastinate_jobs (queue_name, task_name, queueing_lock, status)"
            " VALUES ('@one', 'shift', 'shift:2@one', 'doing')",
        )
        await handed_over(fleet, channel, 40, "winter")
        assert rows(url_of(fleet), "SELECT max(campaign) FROM campaign") == [(2,)]
        assert (await wait(fleet, "winter")).sent == 40


async def test_a_drained_worker_ends_and_the_others_go_on(
    fleet: Fleet, channel: WeChatPromoter, box: Sandbox
) -> None:
    box.faults = slowly(20)
    await handed_over(fleet, channel, 600)
    async with working(fleet, channel, name="two"):
        async with working(fleet, channel, name="one") as one:
            await sent_at_least(fleet, "autumn", 50)
            await fleet.drain("one")
            await asyncio.wait_for(one, 20)
        assert [worker.name for worker in await fleet.workers()] == ["two"]
        assert sent(fleet, "autumn") < 600
        report = await wait(fleet)
    assert (report.sent, report.unknown) == (600, 0)
    assert box.ledger.twice() == []


async def test_sigterm_ends_a_worker_of_the_terminal_with_what_is_out(
    fleet: Fleet, channel: WeChatPromoter, box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENV, "WECHAT_SECRET", "s3cret")
    box.faults = slowly(200)
    await handed_over(fleet, channel, 2000)
    process = await asyncio.to_thread(
        started, "worker", "--fleet", url_of(fleet), "--concurrency", "8"
    )
    try:
        assert process.stdout is not None
        line = await asyncio.to_thread(process.stdout.readline)
        assert line.startswith("working for PostgreSQL ")
        assert line.rstrip().endswith(f":{process.pid}")
        await sent_at_least(fleet, "autumn", 10)
        process.send_signal(signal.SIGTERM)
        _, err = await asyncio.to_thread(finished, process, 20)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert "calls in flight finish" in err
    assert "autumn: " in err
    with promomsg.open_journal(fleet.journal("autumn")) as opened:
        report = opened.report()
    assert report.unknown == 0
    assert report.sent + report.pending == 2000
    assert report.pending > 0
    # What it held is anybody's at once.
    assert rows(url_of(fleet), "SELECT 1 FROM chunk WHERE deadline IS NOT NULL AND NOT done") == []
    assert await fleet.workers() == []


async def test_a_worker_that_is_about_to_end_keeps_no_work_from_the_others(
    fleet: Fleet, channel: WeChatPromoter, box: Sandbox
) -> None:
    """Its last calls may take long: here the first ones, of which there are four."""
    box.faults = single(kind="delay", seconds=4.0, limit=4)
    await handed_over(fleet, channel, 600)
    async with working(fleet, channel, name="one") as one:
        await until(lambda: box.calls.times("singlesendmsg"), 20)
        await fleet.drain("one")
        async with working(fleet, channel, name="two"):
            await handed_over(fleet, channel, 40, "winter")
            assert (await wait(fleet, "winter")).sent == 40
            assert not one.done()
            report = await wait(fleet)
    assert (report.sent, report.unknown) == (600, 0)


async def test_a_second_signal_ends_a_worker_at_once(
    fleet: Fleet, channel: WeChatPromoter, box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENV, "WECHAT_SECRET", "s3cret")
    box.faults = slowly(20_000)
    await handed_over(fleet, channel, 100)
    process = await asyncio.to_thread(started, "worker", "--fleet", url_of(fleet))
    try:
        await until(lambda: box.calls.times("singlesendmsg"), 20)
        process.send_signal(signal.SIGTERM)
        # GNU timeout sends two at once, which are one: only a later one is the second.
        await real_time(1.5)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(finished, process, 5)
    finally:
        process.kill()
    assert process.returncode == 130


async def test_a_campaign_whose_account_is_missing_waits_for_a_worker_that_has_it(
    fleet: Fleet, channel: WeChatPromoter, box: Sandbox
) -> None:
    async with WeChatPromoter("wx-other", secret="s3cret", base_url=box.url) as other:
        await handed_over(fleet, other, 40, "elsewhere")
        await handed_over(fleet, channel, 40, "here")
        async with working(fleet, channel, name="one"):
            assert (await wait(fleet, "here")).sent == 40
            await until(lambda: rows(url_of(fleet), "SELECT 1 FROM worker WHERE trouble <> '[]'"))
            [one] = await fleet.workers()
            [trouble] = one.trouble
            assert (trouble.name, trouble.task) == ("elsewhere", None)
            assert "no channel of the wechat account wx-other" in trouble.text
            [found] = [c for c in await fleet.campaigns() if c.name == "elsewhere"]
            assert found.trouble == (f"one: {trouble.text}",)
            assert found.report is not None
            assert (found.state, found.report.pending) == ("sending", 40)
            async with working(fleet, other, name="two"):
                assert (await wait(fleet, "elsewhere")).sent == 40


async def test_a_shift_that_fails_is_said_and_tried_again(
    fleet: Fleet, channel: WeChatPromoter, box: Sandbox
) -> None:
    await handed_over(fleet, channel, 40)
    [(message,)] = rows(url_of(fleet), "SELECT message FROM campaign")
    rows(url_of(fleet), "UPDATE campaign SET message = '{}'")
    async with working(fleet, channel):
        for broken in ("{}", "no JSON"):
            rows(url_of(fleet), "UPDATE campaign SET message = %s", broken)
            await until(lambda: rows(url_of(fleet), "SELECT 1 FROM worker WHERE trouble <> '[]'"))
        [one] = await fleet.workers()
        assert one.trouble[0].text
        assert "\n" not in one.trouble[0].text
        assert len(box.calls.bodies("singlesendmsg")) == 0
        rows(url_of(fleet), "UPDATE campaign SET message = %s", message)
        assert (await wait(fleet)).sent == 40
        await until(lambda: rows(url_of(fleet), "SELECT 1 FROM worker WHERE trouble = '[]'"))


async def test_a_full_disk_of_the_server_costs_time_and_is_said(
    fleet: Fleet, channel: WeChatPromoter, box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CampaignAccess, "lease_life", 2.0)
    box.faults = slowly(20)
    await handed_over(fleet, channel, 400)
    rows(
        url_of(fleet),
        "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$",
    )
    full = "CREATE TRIGGER full_disk BEFORE INSERT ON commit_log EXECUTE FUNCTION no_room()"
    async with working(fleet, channel):
        await sent_at_least(fleet, "autumn", 50)
        await asyncio.to_thread(rows, url_of(fleet), full)
        await until(lambda: rows(url_of(fleet), "SELECT 1 FROM worker WHERE trouble <> '[]'"), 20)
        [one] = await fleet.workers()
        mend = "free some space on the server, then the worker goes on"
        assert f"could not extend file; {mend}" in one.trouble[0].text
        await asyncio.to_thread(rows, url_of(fleet), "DROP TRIGGER full_disk ON commit_log")
        report = await wait(fleet)
    assert (report.state, report.pending, report.failed) == ("done", 0, 0)
    assert report.unknown <= 2 * 16
    assert report.sent + report.unknown == 400
    assert box.ledger.twice() == []
    honest(report, box)


async def test_campaigns_that_go_on_for_long_make_room_for_each_other(
    fleet: Fleet, channel: WeChatPromoter, box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_AT_ONCE", 1)
    for length in ("_SHIFT", "_SHORT_SHIFT"):
        monkeypatch.setattr(tasks, length, 1.0)
    box.faults = slowly(50)
    names = ["spring", "summer", "autumn"]
    for name in names:
        await handed_over(fleet, channel, 800, name)
    async with working(fleet, channel):
        async with asyncio.timeout(60):
            # Asked off the event loop, which the worker needs.
            while not all(one.report and one.report.sent for one in await fleet.campaigns()):
                await real_time(0.1)
        assert all(one.state == "sending" for one in await fleet.campaigns())
        for name in names:
            assert (await wait(fleet, name)).sent == 800


async def test_what_a_person_or_the_provider_has_stopped_stays_stopped_until_it_is_resumed(
    fleet: Fleet, channel: WeChatPromoter, box: Sandbox
) -> None:
    for name in ("paused", "halted", "parked", "free"):
        await handed_over(fleet, channel, 40, name)
    await fleet.journal("paused").request(Control.PAUSE)
    rows(url_of(fleet), "UPDATE campaign SET halted = '45009: no more' WHERE journal = 'halted'")
    rows(
        url_of(fleet),
        "UPDATE control SET parked_until = extract(epoch FROM now()) + 3600 WHERE campaign ="
        " (SELECT campaign FROM campaign WHERE journal = 'parked')",
    )
    states = {one.name: one.state for one in await fleet.campaigns()}
    assert states == {
        "paused": "paused",
        "halted": "halted",
        "parked": "stopped",
        "free": "stopped",
    }
    async with working(fleet, channel):
        assert (await wait(fleet, "free")).sent == 40
        states = {one.name: one.state for one in await fleet.campaigns()}
        assert states == {
            "paused": "paused",
            "halted": "halted",
            "parked": "waiting",
            "free": "done",
        }
        assert (await wait(fleet, "paused")).state == "paused"
        assert (await wait(fleet, "halted")).state == "halted"
        assert len(box.calls.bodies("singlesendmsg")) == 40
        await fleet.journal("paused").request(Control.RUN)
        rows(url_of(fleet), "UPDATE campaign SET halted = NULL")
        rows(url_of(fleet), "UPDATE control SET parked_until = extract(epoch FROM now())")
        await until(lambda: len(box.calls.bodies("singlesendmsg")) == 160, 20)
        for name in ("paused", "halted", "parked"):
            assert (await wait(fleet, name)).sent == 40


async def test_a_campaign_that_is_cancelled_ends_also_where_nobody_has_its_account(
    fleet: Fleet, channel: WeChatPromoter, box: Sandbox
) -> None:
    await handed_over(fleet, channel, 300)
    await fleet.journal("autumn").request(Control.CANCEL)
    async with (
        WeChatPromoter("wx-other", secret="s3cret", base_url=box.url) as other,
        working(fleet, other),
    ):
        report = await wait(fleet)
        assert (report.state, report.cancelled) == ("cancelled", 300)
        await until(lambda: rows(url_of(fleet), "SELECT 1 FROM chunk WHERE NOT done") == [])
    assert len(box.calls.bodies("singlesendmsg")) == 0


async def test_a_cancelled_campaign_whose_groups_are_followed_for_long_is_cancelled_once(
    fleet: Fleet, channel: WeChatPromoter, box: Sandbox
) -> None:
    """To cancel is to look through all of its recipients."""
    await handed_over(fleet, channel, 40)
    await handed_over(fleet, channel, 300, "groups", route="group", max_group_size=100)
    rows(url_of(fleet), "UPDATE group_send SET state = 'accepted', msg_id = '9', next_poll_at = 1e11"
         " WHERE group_no = 1")  # fmt: skip
    for name in ("autumn", "groups"):
        await fleet.journal(name).request(Control.CANCEL)
    async with working(fleet, channel):
        await until(lambda: rows(url_of(fleet), "SELECT 1 FROM chunk WHERE NOT done") == [], 20)
        await until(lambda: rows(url_of(fleet), "SELECT 1 FROM worker WHERE doing = '[]'"))
        with promomsg.open_journal(fleet.journal("groups")) as opened:
            report = opened.report()
    assert (report.pending, report.cancelled) == (100, 200)
    assert box.calls.bodies("sendmsg") == []


async def test_a_cancel_in_the_middle_stops_all_workers(
    fleet: Fleet, channel: WeChatPromoter, box: Sandbox
) -> None:
    box.faults = slowly(20)
    await handed_over(fleet, channel, 2000)
    async with working(fleet, channel, name="one"), working(fleet, channel, name="two"):
        await sent_at_least(fleet, "autumn", 50)
        await fleet.journal("autumn").request(Control.CANCEL)
        report = await wait(fleet)
    assert (report.state, report.pending, report.unknown) == ("cancelled", 0, 0)
    assert report.sent + report.cancelled == 2000
    assert report.cancelled > 0
    honest(report, box)


async def test_chunks_that_a_killed_sender_left_open_are_closed_once_nobody_is_pending(
    fleet: Fleet, channel: WeChatPromoter, box: Sandbox
) -> None:
    await handed_over(fleet, channel, 40)
    async with working(fleet, channel):
        await wait(fleet)
        rows(url_of(fleet), "UPDATE chunk SET done = false, deadline = 1")
        await until(lambda: rows(url_of(fleet), "SELECT 1 FROM chunk WHERE NOT done") == [])
    assert len(box.calls.bodies("singlesendmsg")) == 40


async def test_a_worker_needs_no_more_rights_than_the_page_says(
    fleet: Fleet, channel: WeChatPromoter, box: Sandbox
) -> None:
    """docs/fleet.md, "TLS and passwords"."""
    await handed_over(fleet, channel, 40)
    role = "promomsg_test_worker"
    for text in (
        f"DO $$ BEGIN CREATE ROLE {role}; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
        f"GRANT USAGE ON SCHEMA promomsg TO {role}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA promomsg TO {role}",
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA promomsg TO {role}",
    ):
        rows(url_of(fleet), text)
    limited = Fleet(psycopg.conninfo.make_conninfo(url_of(fleet), options=f"-c role={role}"))
    try:
        async with working(limited, channel):
            assert (await wait(limited)).sent == 40
            [one] = await limited.workers()
            assert one.trouble == ()
    finally:
        rows(url_of(fleet), f"DROP OWNED BY {role}")
        rows(url_of(fleet), f"DROP ROLE {role}")


async def test_a_look_that_fails_keeps_nobody_from_what_the_others_find(
    fleet: Fleet,
    channel: WeChatPromoter,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken(db: psycopg.AsyncConnection[Any], workers: int) -> list[Any]:
        await db.execute(b"SELECT no_such_column FROM campaign")
        return []

    async def odd(db: psycopg.AsyncConnection[Any]) -> bool:
        raise ValueError("a bug")

    monkeypatch.setattr(sweep, "RULES", (broken, *sweep.RULES))
    monkeypatch.setattr(worker, "prune_is_due", odd)
    await handed_over(fleet, channel, 40)
    async with working(fleet, channel):
        assert (await wait(fleet)).sent == 40
    assert "a look for what is to be done failed: broken: column" in caplog.text
    assert caplog.text.count("ValueError: a bug") == 1  # said once, however often it comes


async def test_workers_of_one_name_are_two(fleet: Fleet, channel: WeChatPromoter) -> None:
    async with working(fleet, channel, name="one"), working(fleet, channel, name="one"):
        await until(lambda: len(rows(url_of(fleet), "SELECT 1 FROM worker")) == 2)
        assert [one.name for one in await fleet.workers()] == ["one", "one-2"]


async def test_a_worker_whose_name_another_one_took_over_meanwhile_goes_on_under_a_new_one(
    fleet: Fleet, channel: WeChatPromoter
) -> None:
    """As when it stood still for long, and was started anew meanwhile."""
    async with working(fleet, channel, name="one"):
        await until(lambda: rows(url_of(fleet), "UPDATE worker SET started_at = 5 RETURNING 1"))
        await until(lambda: len(rows(url_of(fleet), "SELECT 1 FROM worker")) == 2)
        assert [one.name for one in await fleet.workers()] == ["one", "one-2"]
        rows(url_of(fleet), "UPDATE worker SET draining = true WHERE name = 'one'")
        await handed_over(fleet, channel, 40)
        assert (await wait(fleet)).sent == 40
    assert [one.name for one in await fleet.workers()] == ["one"]


async def test_a_worker_outlives_the_server_and_nobody_is_unknown_for_it(
    channel: WeChatPromoter, box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_looks(monkeypatch)
    monkeypatch.setattr(routing, "_SMALLEST_CHUNK", 16)
    server = PostgresServer()
    await asyncio.to_thread(server.start)
    try:
        fleet = Fleet(server.url())
        await fleet.prepare()
        box.faults = slowly(30)
        await handed_over(fleet, channel, 600)
        async with working(fleet, channel, name="one"), working(fleet, channel, name="two"):
            for count in (50, 250):
                await sent_at_least(fleet, "autumn", count)
                await asyncio.to_thread(server.stop, "immediate")
                await asyncio.to_thread(server.start)
            report = await wait(fleet)
            assert box.ledger.twice() == []
            # They take new work, too.
            await handed_over(fleet, channel, 40, "winter")
            assert (await wait(fleet, "winter")).sent == 40
            assert {one.name for one in await fleet.workers()} == {"one", "two"}
        assert (report.state, report.sent, report.unknown) == ("done", 600, 0)
        assert await fleet.workers() == []
    finally:
        await asyncio.to_thread(server.close)


async def test_what_a_worker_cannot_work_with_is_refused_in_one_line(
    fleet: Fleet, channel: WeChatPromoter
) -> None:
    with pytest.raises(UsageError, match="a worker without channels sends nothing"):
        await fleet.work()
    for wrong in (0, 1001, True, "64", 2.5):
        with pytest.raises(
            UsageError, match=r"concurrency=.*: give a whole number from 1 to 1,000"
        ):
            await fleet.work(channel, concurrency=wrong)  # type: ignore[arg-type]
    rows(url_of(fleet), "INSERT INTO queue_version VALUES ('99.01.00_01_later.sql')")
    for call in (fleet.work(channel), fleet.prepare()):
        with pytest.raises(JournalError, match=r"newer Procrastinate \(99.01.00_01_later\)"):
            await call
    rows(url_of(fleet), "DELETE FROM queue_version")
    with pytest.raises(JournalError, match="it has no queue yet; make it with `promomsg fleet"):
        await fleet.work(channel)
    with pytest.raises(JournalError, match=r"cannot be reached now .* then start the worker again"):
        await Fleet("postgresql://me:sesame@localhost:1/x").work(channel)
