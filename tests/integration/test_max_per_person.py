"""`max_per_person`: nobody gets more messages than that, whichever campaigns of the account send them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from campaigning import MESSAGE, QUICK, ids, run_to_end, wechat
from capped_sender import CappedSender
from cli_campaigns import campaign, conserved, one_document, running
from cli_campaigns import promomsg as terminal
from clocks import FakeClock, Later, china
from fault_campaigns import client, message, wallet_users

import promomsg
from promomsg import Campaign, JournalError, MemoryJournal, Report, UsageError, WeChatPromoter
from promomsg.clock import DAY
from promomsg.engine.joining import Part, do_part
from promomsg.journal.contract import Journal
from promomsg.journal.postgres.journal import PostgresJournal
from promomsg.journal.records import Control
from promomsg.journal.sqlite.frequency.folder import FolderLock
from promomsg.journal.sqlite.journal import SqliteJournal
from promomsg.sandbox import Fault, FaultPlan, Sandbox

Place = Callable[[str], Journal]
PEOPLE = ids(4, 1000)
FAR = "2035-11-11 09:00"
HOUR = 3600.0
FAR_AT = china(FAR)


@pytest.fixture(params=["folder", "database"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Journals that are counted together, by their names."""
    if request.param == "folder":
        return lambda name: SqliteJournal(tmp_path / f"{name}.db", durability="process")
    database = request.getfixturevalue("postgres")
    return lambda name: PostgresJournal(database, f"{tmp_path}-{name}")


async def send(channel: WeChatPromoter, people: Any, journal: Any, **options: Any) -> Report:
    report = await promomsg.send(channel, MESSAGE, people, journal=journal, **QUICK, **options)
    check(report)
    return report


def check(report: Report) -> None:
    """Every row has an outcome, and who was left out says why."""
    document = report.to_dict()
    assert conserved(document)
    for outcome in report.outcomes():
        assert outcome.state != "skipped" or (outcome.code and outcome.detail)


def left_out(report: Report) -> list[str]:
    return [o.recipient.key for o in report.outcomes() if o.code == "MAX_PER_PERSON"]


def messages(box: Sandbox) -> dict[str, int]:
    """How many messages reached each address."""
    return dict(box.ledger.delivered)


@pytest.mark.asyncio
async def test_a_cap_holds_over_campaigns_sent_one_after_the_other(
    box: Sandbox, channel: WeChatPromoter, place: Place
) -> None:
    cap = {"max_per_person": "2 in 7d"}
    assert (await send(channel, PEOPLE[:3], place("autumn"), **cap)).sent == 3
    assert (await send(channel, PEOPLE[:2], place("winter"), clock=Later(3), **cap)).sent == 2
    run = Campaign(
        channel, MESSAGE, PEOPLE, journal=place("spring"), clock=Later(6), **QUICK, **cap
    )
    plan = await run.plan()
    assert (plan.to_send, plan.not_sent) == (2, {"MAX_PER_PERSON": 2})
    [said] = [notice for notice in plan.notices if notice.startswith("max_per_person")]
    assert said.startswith("max_per_person 2 in 7d: 2 recipients left out, counted over 2 other ")
    report = await run_to_end(run)
    check(report)
    assert left_out(report) == ["1000", "1001"]
    assert max(messages(box).values()) == 2
    # The first campaign is older than the time by now.
    later = await send(channel, PEOPLE, place("summer"), clock=Later(8), **cap)
    assert (later.sent, left_out(later)) == (4, [])


@pytest.mark.asyncio
async def test_what_is_in_doubt_or_to_come_counts_and_what_was_refused_or_cancelled_does_not(
    box: Sandbox, channel: WeChatPromoter, place: Place
) -> None:
    """1000 is sent to, 1001 refused, 1002's answer lost, and 1003 is pending: the day is used up."""
    box.faults = FaultPlan(
        [
            Fault(endpoint="singlesendmsg", calls=[2], errcode=43101),
            Fault(endpoint="singlesendmsg", calls=[3], kind="drop_after_delivering"),
            Fault(endpoint="singlesendmsg", calls=[4], errcode=48001),
        ]
    )
    stopped = place("autumn")
    assert (await send(channel, PEOPLE, stopped, concurrency=1)).pending == 1
    box.faults = FaultPlan()
    one = {"max_per_person": "1 in 7d"}
    assert left_out(await send(channel, PEOPLE, place("winter"), **one)) == ["1000", "1002", "1003"]
    await stopped.request(Control.CANCEL)
    report = await send(channel, PEOPLE, place("spring"), **one)
    assert left_out(report) == ["1000", "1001", "1002"]


@pytest.mark.asyncio
async def test_a_cap_holds_over_campaigns_sent_at_once(
    box: Sandbox, channel: WeChatPromoter, place: Place
) -> None:
    """All are planned, by each other's leave, before any of them begins."""
    runs = [
        Campaign(
            channel, MESSAGE, PEOPLE, journal=place(f"c{n}"), max_per_person="2 in 7d", **QUICK
        )
        for n in range(5)
    ]
    for run in runs:
        assert (await run.plan()).to_send == 4
    async with anyio.create_task_group() as tasks:
        for run in runs:
            tasks.start_soon(run_to_end, run)
    for run in runs:
        check(run.report)
    assert sum(run.report.sent for run in runs) == 8
    assert messages(box) == dict.fromkeys(PEOPLE, 2)
    told = [w for run in runs for w in run.report.warnings if "more recipients are left out" in w]
    assert len(told) == 3


@pytest.mark.parametrize("kind", ["folder", "database"])
def test_a_cap_holds_over_processes_and_one_that_is_killed_has_taken_nothing(
    served: Sandbox, tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    where: Path | str = tmp_path if kind == "folder" else request.getfixturevalue("postgres")

    def start(name: str, crash_at: str = "") -> CappedSender:
        return CappedSender(where, f"{tmp_path.name}-{name}", served.url, 60, "1 in 7d", crash_at)

    senders = [start("killed", "cap-counted"), start("c1"), start("c2")]
    killed, *reports = [sender.report() for sender in senders]
    assert killed is None
    assert all(report is not None and conserved(report) for report in reports)
    assert sorted(report["sent"] for report in reports if report) == [0, 60]
    again = start("killed").report()
    assert again is not None
    assert again["by_code"] == {"MAX_PER_PERSON": 60}
    assert messages(served) == dict.fromkeys(ids(60, 1000), 1)


@pytest.mark.asyncio
async def test_a_group_is_made_without_who_is_over_the_cap(
    box: Sandbox, channel: WeChatPromoter, place: Place
) -> None:
    people = ids(70, 1000)
    await send(channel, people[:15], place("autumn"), route="single")
    report = await send(channel, people, place("winter"), max_per_person="1 in 7d")
    assert (report.sent, [g.planned for g in report.groups]) == (55, [55])
    assert left_out(report) == people[:15]
    assert set(messages(box).values()) == {1}


@pytest.mark.asyncio
@pytest.mark.parametrize("late", [10, 30])
async def test_who_is_over_the_cap_since_the_plan_was_made_leaves_the_group(
    box: Sandbox, channel: WeChatPromoter, place: Place, late: int
) -> None:
    """With 10 the group goes without them, with 30 it would be too small."""
    people = ids(70, 1000)
    run = Campaign(
        channel, MESSAGE, people, journal=place("winter"), max_per_person="1 in 7d", **QUICK
    )
    assert (await run.plan()).groups == (70,)
    await send(channel, people[:late], place("autumn"), route="single")
    report = await run_to_end(run)
    check(report)
    assert left_out(report) == people[:late]
    assert [g.planned for g in report.groups] == ([60] if late == 10 else [])
    assert set(messages(box).values()) == {1}
    assert any(f"{late} more recipients are left out" in warning for warning in report.warnings)


@pytest.mark.asyncio
@pytest.mark.parametrize("is_followed", [False, True])
async def test_a_group_whose_answer_was_lost_and_that_is_taken_over_is_one_message(
    box: Sandbox, channel: WeChatPromoter, place: Place, is_followed: bool
) -> None:
    lost, members = place("autumn"), ids(60, 1000)
    box.faults = FaultPlan([Fault(endpoint="sendmsg", kind="drop_after_delivering", calls=[1])])
    box.settings.refuse_group, box.settings.click_rate = {"1000": 43101}, 1.0
    assert (await send(channel, members, lost)).unknown == 60
    box.clock.advance(DAY)
    clock = FakeClock(start=box.clock.time(), auto=True, grace=0.003)
    async with wechat(box, clock=clock) as later:
        [match] = await promomsg.reconcile(lost, later, adopt=True, clock=clock)
        assert match.adopted
        if is_followed:
            async with Campaign.resume(lost, later, clock=clock, **QUICK) as run:
                assert (await run.wait()).sent == 59
    two = {"max_per_person": "2 in 7d"}
    assert left_out(await send(channel, members, place("winter"), **two)) == []
    assert left_out(await send(channel, members, place("spring"), **two)) == [
        str(n) for n in range(1001, 1060)
    ]


@pytest.mark.asyncio
async def test_a_campaign_that_goes_on_is_counted_again(
    box: Sandbox, channel: WeChatPromoter, place: Place
) -> None:
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", calls=[2], errcode=48001)])
    cap = {"max_per_person": "1 in 7d"}
    first = await send(channel, PEOPLE, place("autumn"), concurrency=1, **cap)
    assert (first.sent, first.pending) == (1, 3)
    box.faults = FaultPlan()
    await send(channel, PEOPLE[1:3], place("winter"))
    report = await run_to_end(Campaign.resume(place("autumn"), channel, **QUICK))
    check(report)
    assert (report.sent, left_out(report)) == (2, ["1001", "1002"])
    assert messages(box) == dict.fromkeys(PEOPLE, 1)


@pytest.mark.asyncio
async def test_a_campaign_that_waits_for_its_start_is_counted_again_when_it_begins(
    box: Sandbox, channel: WeChatPromoter, place: Place
) -> None:
    clock = FakeClock(start=FAR_AT - 60.0)
    options: dict[str, Any] = {"start_at": FAR, "max_per_person": "1 in 7d", "clock": clock}
    async with (
        wechat(box, clock=clock) as slow,
        Campaign(slow, MESSAGE, PEOPLE, journal=place("autumn"), **options, **QUICK) as run,
    ):
        await clock.advance_until(lambda: run.progress.state == "waiting", 1.0)
        # Whoever counts meanwhile leaves them to it; who does not count takes them.
        meanwhile = Later((FAR_AT - time.time()) / DAY)
        capped = {"max_per_person": "1 in 7d", "clock": meanwhile}
        assert left_out(await send(channel, PEOPLE, place("winter"), **capped)) == PEOPLE
        await send(channel, PEOPLE[:2], place("spring"), clock=meanwhile)
        await clock.advance_until(lambda: not run.progress.pending, 1.0)
        report = await run.wait()
    check(report)
    assert left_out(report) == PEOPLE[:2]
    assert messages(box) == dict.fromkeys(PEOPLE, 1)


@pytest.mark.asyncio
async def test_a_campaign_that_waits_for_its_hours_counts_again_when_it_begins(
    box: Sandbox, channel: WeChatPromoter, place: Place
) -> None:
    """Planned in the evening, sent in the morning: somebody without a cap has sent in between."""
    clock = FakeClock(start=FAR_AT - HOUR)
    options: dict[str, Any] = {"between": "09:00-21:00", "max_per_person": "1 in 7d"}
    async with (
        wechat(box, clock=clock) as slow,
        Campaign(slow, MESSAGE, PEOPLE, journal=place("a"), clock=clock, **options, **QUICK) as run,
    ):
        await clock.advance_until(lambda: run.progress.state == "waiting", 1.0)
        meanwhile = Later((FAR_AT - time.time()) / DAY)
        await send(channel, PEOPLE[:2], place("b"), clock=meanwhile)
        clock.jump(HOUR - 1.0)
        await clock.advance_until(lambda: not run.progress.pending, 1.0)
        report = await run.wait()
    check(report)
    assert left_out(report) == PEOPLE[:2]
    assert messages(box) == dict.fromkeys(PEOPLE, 1)


@pytest.mark.asyncio
async def test_a_stop_does_not_wait_for_another_campaign_that_counts(
    box: Sandbox, tmp_path: Path
) -> None:
    clock = FakeClock(start=FAR_AT - 60.0)
    options: dict[str, Any] = {"start_at": FAR, "max_per_person": "1 in 7d", "clock": clock}
    async with wechat(box, clock=clock) as slow:
        journal = SqliteJournal(tmp_path / "autumn.db")
        run = await Campaign(slow, MESSAGE, PEOPLE, journal=journal, **options, **QUICK).start()
        await clock.advance_until(lambda: run.progress.state == "waiting", 1.0)
        another = FolderLock(str(tmp_path))
        assert another.take()
        await clock.advance_until(lambda: run.progress.state == "sending", 1.0)
        await clock.advance_until(lambda: clock.time() >= FAR_AT + 60.0, 1.0)
        closed = anyio.Event()

        async def close() -> None:
            await run.aclose()
            closed.set()

        async with anyio.create_task_group() as closing:
            closing.start_soon(close)
            await clock.advance_until(closed.is_set, 0.1)  # a busy machine takes many steps
        another.release()
    assert clock.time() < FAR_AT + 70.0
    assert (run.report.state, run.report.pending, box.ledger.total) == ("stopped", 4, 0)


@pytest.mark.parametrize(
    "times", [{"start_at": FAR}, {"start_at": "now", "between": ["09:00-21:00"]}]
)
@pytest.mark.asyncio
async def test_of_several_senders_the_first_one_counts_when_it_begins(
    box: Sandbox, channel: WeChatPromoter, postgres: str, tmp_path: Path, times: dict[str, Any]
) -> None:
    autumn, winter = (PostgresJournal(postgres, f"{tmp_path}-{n}") for n in range(2))
    options = {"clock": FakeClock(start=FAR_AT - HOUR), "max_per_person": "1 in 7d", **QUICK}
    await Campaign(channel, MESSAGE, PEOPLE, journal=autumn, **times, **options).hand_over()
    then = Later((FAR_AT - time.time()) / DAY)
    await send(channel, PEOPLE[:1], winter, clock=then)
    sends = Part(singles=True, groups=True)
    assert (await do_part(autumn, channel, sends, now=lambda: FAR_AT - 1.0)).calls == 0
    calls = []

    async def part() -> None:
        calls.append((await do_part(autumn, channel, sends, now=lambda: FAR_AT)).calls)

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(part)
    assert sum(calls) == 3
    with promomsg.open_journal(autumn) as opened:
        report = opened.report()
    check(report)
    assert left_out(report) == PEOPLE[:1]
    assert [w for w in report.warnings if "more recipients" in w][1:] == []


@pytest.mark.asyncio
async def test_only_campaigns_of_the_same_account_at_the_same_server_count(
    box: Sandbox, channel: WeChatPromoter, place: Place
) -> None:
    async with channel.with_account("wx0002", "s3cret") as other:
        await send(other, PEOPLE, place("autumn"))
    async with Sandbox() as elsewhere, wechat(elsewhere) as test:
        await send(test, PEOPLE, place("winter"))
    assert (await send(channel, PEOPLE, place("spring"), max_per_person="1 in 7d")).sent == 4


@pytest.mark.asyncio
async def test_a_journal_that_cannot_be_counted_stops_the_campaign_before_it_begins(
    box: Sandbox, channel: WeChatPromoter, tmp_path: Path
) -> None:
    cap = {"max_per_person": "1 in 7d"}
    odd = tmp_path / "old.db"
    await send(channel, PEOPLE, tmp_path / "autumn.db")
    whole = (tmp_path / "autumn.db").read_bytes()
    for spoilt in (b"no journal", whole[:5000], whole[:3000] + bytes(9000) + whole[12000:], b""):
        odd.write_bytes(spoilt)
        with pytest.raises(JournalError, match=r"old\.db.*move it out of"):
            await send(channel, PEOPLE, tmp_path / "winter.db", **cap)
        assert sorted(os.listdir(tmp_path)) == ["autumn.db", "old.db"]
    odd.unlink()
    await send(channel, promomsg.Roles([1]), odd)
    with pytest.raises(JournalError, match=r"old\.db: it sends to an audience as one group"):
        await send(channel, PEOPLE, tmp_path / "winter.db", **cap)
    odd.unlink()
    (tmp_path / "notes.txt").write_text("nothing", encoding="utf-8")
    assert left_out(await send(channel, PEOPLE, tmp_path / "winter.db", **cap)) == PEOPLE


@pytest.mark.asyncio
async def test_a_cap_that_cannot_be_kept_to_is_refused(
    box: Sandbox, channel: WeChatPromoter, tmp_path: Path
) -> None:
    path = tmp_path / "autumn.db"
    for given in ("2 a week", "0 in 7d", "2 in 0d", "2 in 7", 2, "2 in 400d", "-1 in 7d"):
        with pytest.raises(UsageError, match="max_per_person"):
            Campaign(channel, MESSAGE, PEOPLE, journal=path, max_per_person=given)  # type: ignore[arg-type]
    for nowhere in (None, MemoryJournal()):
        with pytest.raises(UsageError, match="give a path or fleet:NAME"):
            Campaign(channel, MESSAGE, PEOPLE, journal=nowhere, max_per_person="2 in 7d")
    with pytest.raises(UsageError, match="say expand=true"):
        await send(channel, promomsg.Roles([1]), path, max_per_person="2 in 7d")
    assert box.ledger.total == 0


@pytest.mark.asyncio
async def test_wallet_users_are_counted_by_their_keys(box: Sandbox, place: Place) -> None:
    cap = {"max_per_person": "1 in 7d", **QUICK}
    people = wallet_users(3)
    async with client(box, "alipay") as wallet:
        text = message("alipay")
        await promomsg.send(wallet, text, people[:2], journal=place("autumn"), **cap)
        report = await promomsg.send(wallet, text, people, journal=place("winter"), **cap)
        check(report)
        assert left_out(report) == ["u0", "u1"]
        nameless = [{"access_token": "token-9", "who": "me"}]
        with pytest.raises(UsageError, match="give the list a column key"):
            await promomsg.send(wallet, text, nameless, journal=place("spring"), **cap)


def test_the_terminal_says_who_is_left_out_and_a_plan_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running() as box:
        cap = 'max_per_person = "1 in 7d"'
        autumn = campaign(tmp_path, box.url, 2, name="autumn", campaign=cap)
        assert terminal("send", autumn, "--yes", "--json") == 0
        one_document(capsys)
        winter = campaign(tmp_path, box.url, 3, name="winter", campaign=cap)
        before = sorted(os.listdir(tmp_path))
        assert terminal("plan", winter, "--json") == 0
        planned = one_document(capsys)
        assert [row["code"] for row in planned["rows_not_sent"]] == ["MAX_PER_PERSON"] * 2
        assert sorted(os.listdir(tmp_path)) == before
        assert terminal("send", winter, "--test-to", "k0", "--yes", "--json") == 0
        assert one_document(capsys)["sent"] == 1
        assert terminal("send", winter, "--yes", "--json") == 0
        document = one_document(capsys)
        assert (document["sent"], document["by_code"]) == (1, {"MAX_PER_PERSON": 2})
        assert terminal("report", tmp_path / "winter.db", "--format", "json", "--all") == 0
        rows = json.loads(capsys.readouterr().out)["outcomes"]
    assert [row["detail"] for row in rows if row["code"] == "MAX_PER_PERSON"] == [
        "one more message would be over 1 in 7d, sent and to come"
    ] * 2
