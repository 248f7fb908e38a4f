"""A provider that is not there, though something answers in its name
(docs/design.md, "A provider that cannot be reached").

Whoever is in doubt is counted against the contract: at most `concurrency` + 8 an outage, however
many runs try. Pauses are those of the default policy; only the clock is hurried.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from campaigning import MESSAGE, add_up, honest, ids
from chaos.hurried_clock import HurriedClock
from fault_campaigns import check, client, message, resumed, wallet_users
from waiting import until

from promomsg import Campaign, PollPolicy, Report, State
from promomsg.journal.sqlite.journal import JournalReader
from promomsg.sandbox import Fault, FaultPlan, Sandbox
from promomsg.states import GroupState

pytestmark = pytest.mark.asyncio

CONCURRENCY = 16
MOST = CONCURRENCY + 8
POLL = PollPolicy(first_after=0.01, every=0.02, give_up_after=30_000.0)
GATEWAY: list[dict[str, Any]] = [
    {"kind": "html"},
    {"kind": "status", "status": 403, "body": "<h1>Forbidden</h1>"},
    {"kind": "status", "status": 404, "body": ""},
    {"kind": "status", "status": 503, "body": "Service Unavailable"},
    {"kind": "minus_one"},
    {"kind": "truncate"},
    {"kind": "reset_before_reading"},
    {"kind": "garbage", "body": "null"},
]


def named(fault: dict[str, Any]) -> str:
    return "-".join(str(value) for value in fault.values())[:24]


def everything(fault: dict[str, Any], **more: Any) -> FaultPlan:
    """The gateway answers everything but the token call, which a token server of one's own is."""
    endpoints = ("sendmsg", "singlesendmsg", "getmsg", "getrole", "quota_get", "alipay.send")
    return FaultPlan([Fault(endpoint=name, **fault, **more) for name in endpoints])


def sends(fault: dict[str, Any], **more: Any) -> FaultPlan:
    """It bars the sends alone: every read looks hopeful."""
    endpoints = ("sendmsg", "singlesendmsg", "alipay.send")
    return FaultPlan([Fault(endpoint=name, **fault, **more) for name in endpoints])


def people(kind: str, count: int) -> list[dict[str, Any]]:
    if kind == "alipay":
        return wallet_users(count)
    return [{"id": str(200_000 + n), "who": f"n{n}"} for n in range(count)]


async def run(box: Sandbox, kind: str, rows: Any, path: Path, **options: Any) -> Report:
    async with client(box, kind) as channel:
        text = options.pop("text", message(kind))
        campaign = Campaign(
            channel,
            text,
            rows,
            journal=path,
            clock=HurriedClock(),
            **{"concurrency": CONCURRENCY, "poll": POLL, **options},
        )
        async with campaign as under_way:
            await under_way.wait()
        return under_way.report


def in_doubt(path: Path, report: Report) -> int:
    """Everybody who is unknown, or pending with an earlier attempt that may have arrived."""
    with JournalReader(path) as reader:
        doubt = reader._db.execute(
            "SELECT count(*) FROM recipient WHERE state = 4 OR (state = 0 AND maybe_sent = 1)"
        ).fetchone()
    return int(doubt[0])


def halted(report: Report, box: Sandbox) -> None:
    """It stopped, resumable, and says in one line who is not there and what was answered."""
    add_up(report.to_dict())
    assert report.state == "halted", report
    assert f"{box.url}" in report.reason
    assert "cannot be reached" in report.reason
    assert "Fix this, then resume" in report.reason or "--provider-is-back" in report.reason
    assert "\n" not in report.reason
    assert any("could not be reached" in warning for warning in report.warnings)


@pytest.mark.parametrize("kind", ["wechat", "alipay"])
@pytest.mark.parametrize("fault", GATEWAY, ids=named)
async def test_a_gateway_that_answers_everything_costs_a_few_and_halts(
    fault: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    path, rows = tmp_path / "c.db", people(kind, 600)
    async with Sandbox(faults=everything(fault)) as box:
        report = await run(box, kind, rows, path)
        halted(report, box)
        # Nobody was heard yet, so four at once; then the probes, which on WeChat are reads.
        assert in_doubt(path, report) <= (4 + 8 if kind == "alipay" else 4 + 1)
        assert report.pending == 600 - report.unknown
        assert box.calls["singlesendmsg"] + box.calls["alipay.send"] <= 4 + 8
        # Cron tries again and again: nobody else is risked.
        before = in_doubt(path, report)
        for _ in range(3):
            report = await resumed(box, kind, rows, path)
            halted(report, box)
        if kind == "wechat":
            assert in_doubt(path, report) == before
        assert in_doubt(path, report) <= MOST
        box.faults = FaultPlan()
        report = await resumed(box, kind, rows, path)
        assert (report.state, report.pending) == ("done", 0)
        assert report.sent == 600 - report.unknown
        assert report.unknown <= (0 if kind == "alipay" else 4 + 1)
        check(box, report, path)
        assert box.ledger.twice() == []


@pytest.mark.parametrize("kind", ["wechat", "alipay"])
@pytest.mark.parametrize("fault", [GATEWAY[0], GATEWAY[4], GATEWAY[5]], ids=named)
async def test_an_outage_in_the_middle_of_a_long_list(
    fault: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    path, rows = tmp_path / "c.db", people(kind, 1_000)
    async with Sandbox(faults=everything(fault, after=500)) as box:
        report = await run(box, kind, rows, path)
        halted(report, box)
        assert in_doubt(path, report) <= MOST
        assert report.sent >= 500
        for _ in range(6):
            report = await resumed(box, kind, rows, path)
            assert report.state == "halted"
            assert in_doubt(path, report) <= MOST
        box.faults = FaultPlan()
        report = await back(box, kind, rows, path)
        assert report.state == "done"
        assert report.unknown <= MOST
        check(box, report, path)
        assert box.ledger.twice() == []


async def back(box: Sandbox, kind: str, rows: Any, path: Path, **options: Any) -> Report:
    """Resumed by somebody who knows that the provider is back."""
    async with client(box, kind) as channel:
        campaign = Campaign.resume(
            path,
            channel,
            recipients=rows,
            clock=HurriedClock(),
            provider_is_back=True,
            **options,
        )
        async with campaign as under_way:
            await under_way.wait()
        return under_way.report


@pytest.mark.parametrize("concurrency", [1, 4, 64])
async def test_sends_that_are_barred_while_reads_work_are_bounded_over_all_runs(
    concurrency: int, tmp_path: Path
) -> None:
    path, rows = tmp_path / "c.db", people("wechat", 600)
    async with Sandbox(faults=sends({"kind": "html"}, after=100)) as box:
        report = await run(box, "wechat", rows, path, concurrency=concurrency)
        halted(report, box)
        first = report.unknown
        assert first <= concurrency + 8
        for _ in range(12):
            report = await resumed(box, "wechat", rows, path)
            assert report.state == "halted"
            assert report.unknown <= concurrency + 8
        if report.unknown == concurrency + 8:
            assert "--provider-is-back" in report.reason
        box.faults = FaultPlan()
        report = await back(box, "wechat", rows, path)
        assert (report.state, report.pending) == ("done", 0)
        assert report.unknown <= concurrency + 8
        assert box.ledger.twice() == []
        check(box, report, path)


async def test_a_run_after_such_a_halt_reads_before_it_sends_to_one(tmp_path: Path) -> None:
    path, rows = tmp_path / "c.db", people("wechat", 600)
    async with Sandbox(faults=sends({"kind": "html"})) as box:
        await run(box, "wechat", rows, path)
        before = (box.calls["singlesendmsg"], box.calls["quota_get"] + box.calls["getrole"])
        report = await resumed(box, "wechat", rows, path)
        halted(report, box)
        after = (box.calls["singlesendmsg"], box.calls["quota_get"] + box.calls["getrole"])
        assert after[0] - before[0] == 1
        assert after[1] > before[1]


@pytest.mark.parametrize("endpoint", ["quota_get", "getrole"])
async def test_a_refusal_of_the_read_is_an_answer(endpoint: str, tmp_path: Path) -> None:
    """No permission for quota/get: the provider is there to say so."""
    path, rows = tmp_path / "c.db", people("wechat", 300)
    plan = FaultPlan(
        [
            Fault(endpoint="singlesendmsg", kind="html", calls=[41, 42, 43, 44, 45, 46]),
            Fault(endpoint=endpoint, errcode=48001),
        ]
    )
    async with Sandbox(faults=plan) as box:
        report = await run(box, "wechat", rows, path, concurrency=4)
        assert report.state == "done"
        assert report.sent + report.unknown == 300
        assert report.unknown <= 6
        check(box, report, path)


@pytest.mark.parametrize("reads", ["quota_get", "getrole", "both"])
async def test_reads_that_never_work_stop_no_send(reads: str, tmp_path: Path) -> None:
    """They are advice: a gateway may let the sends through and nothing else."""
    path, rows = tmp_path / "c.db", people("wechat", 200)
    names = ["quota_get", "getrole"] if reads == "both" else [reads]
    plan = FaultPlan(
        [
            Fault(endpoint="singlesendmsg", kind="status", status=503, calls=range(50, 53)),
            *(Fault(endpoint=name, kind="html") for name in names),
        ]
    )
    async with Sandbox(faults=plan) as box:
        report = await run(box, "wechat", rows, path, concurrency=2)
        assert report.state == "done"
        assert report.sent + report.unknown == 200
        assert report.unknown == 3
        assert box.calls["singlesendmsg"] == 200


@pytest.mark.parametrize("kind", ["wechat", "alipay"])
async def test_a_provider_that_comes_back_while_it_is_looked_for(kind: str, tmp_path: Path) -> None:
    path, rows = tmp_path / "c.db", people(kind, 600)
    async with Sandbox(faults=sends({"kind": "html"}, after=100)) as box:
        async with (
            client(box, kind, clock=HurriedClock(20.0)) as channel,
            Campaign(
                channel,
                message(kind),
                rows,
                journal=path,
                clock=HurriedClock(20.0),
                concurrency=CONCURRENCY,
            ) as under_way,
        ):
            await until(lambda: "one call at a time" in under_way.progress["reason"])
            assert under_way.progress["state"] == "sending"
            await until(lambda: under_way.in_flight <= 1)
            box.faults = FaultPlan()
            report = await under_way.wait()
        assert report.state == "done"
        assert report.unknown <= (MOST if kind == "wechat" else 0)
        assert report.sent + report.unknown == 600
        check(box, report, path)
        assert box.ledger.twice() == []
        with JournalReader(path) as reader:
            assert reader.record.outage is None


@pytest.mark.parametrize("every", [2, 3])
async def test_a_provider_that_is_half_there_is_no_outage(every: int, tmp_path: Path) -> None:
    path, rows = tmp_path / "c.db", people("wechat", 600)
    plan = FaultPlan([Fault(endpoint="singlesendmsg", kind="html", every=every)])
    async with Sandbox(faults=plan) as box:
        report = await run(box, "wechat", rows, path)
        assert report.state == "done"
        assert report.unknown == 600 // every
        check(box, report, path)


async def test_every_answer_at_random_good_or_not_goes_to_the_end(tmp_path: Path) -> None:
    path, rows = tmp_path / "c.db", people("wechat", 600)
    plan = FaultPlan([Fault(endpoint="singlesendmsg", kind="html", probability=0.5)], seed=3)
    async with Sandbox(faults=plan) as box:
        report = await run(box, "wechat", rows, path)
        assert report.state == "done"
        assert 240 < report.unknown < 360
        check(box, report, path)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "throttle"},
        {"errcode": 43101},
        {"errcode": 99999},
    ],
    ids=named,
)
async def test_what_the_provider_says_itself_is_no_outage(
    fault: dict[str, Any], tmp_path: Path
) -> None:
    path, rows = tmp_path / "c.db", people("wechat", 40)
    plan = FaultPlan([Fault(endpoint="singlesendmsg", **fault, calls=range(1, 13))])
    async with Sandbox(faults=plan) as box:
        report = await run(box, "wechat", rows, path)
        assert report.state == "done"
        assert not any("could not be reached" in warning for warning in report.warnings)
        assert report.unknown == 0


@pytest.mark.parametrize("fault", GATEWAY, ids=named)
async def test_a_gateway_before_the_token_call_is_named_and_costs_nobody(
    fault: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "c.db"
    plan = FaultPlan([Fault(endpoint="stable_token", **fault)])
    async with Sandbox(faults=plan) as box:
        report = await run(box, "wechat", people("wechat", 30), path, text=MESSAGE, route="single")
        assert (report.state, report.pending, report.unknown) == ("halted", 30, 0)
        assert report.reason.count(box.url) == 1, report.reason
        box.faults = FaultPlan()
        report = await resumed(box, "wechat", None, path)
        assert (report.state, report.sent) == ("done", 30)


# Groups.


async def groups(box: Sandbox, path: Path, count: int = 2_000, **options: Any) -> Report:
    return await run(
        box, "wechat", ids(count), path, text=MESSAGE, **{"max_group_size": 100, **options}
    )


@pytest.mark.parametrize("fault", GATEWAY, ids=named)
@pytest.mark.parametrize("at_once", [1, 3])
async def test_after_a_lost_group_no_further_one_goes_out_before_a_read_works(
    fault: dict[str, Any], at_once: int, tmp_path: Path
) -> None:
    path = tmp_path / "c.db"
    async with Sandbox(faults=everything(fault)) as box:
        report = await groups(box, path, groups_in_flight=at_once)
        halted(report, box)
        lost = box.calls["sendmsg"]
        assert 1 <= lost <= at_once, "no group after those that were out with the first"
        assert report.unknown == 100 * lost
        assert report.pending == 2_000 - report.unknown
        for _ in range(2):
            report = await resumed(box, "wechat", None, path)
            halted(report, box)
            assert box.calls["sendmsg"] == lost
        box.faults = FaultPlan()
        report = await resumed(box, "wechat", None, path)
        assert report.state == "done"
        assert report.unknown == 100 * lost
        assert report.sent == 2_000 - report.unknown
        check(box, report, path)


async def test_groups_that_are_barred_while_reads_work_cost_one_more_a_run(
    tmp_path: Path,
) -> None:
    path = tmp_path / "c.db"
    async with Sandbox(faults=sends({"kind": "html"})) as box:
        report = await groups(box, path)
        halted(report, box)
        assert box.calls["sendmsg"] == 2
        report = await resumed(box, "wechat", None, path)
        halted(report, box)
        assert box.calls["sendmsg"] == 3
        box.faults = FaultPlan()
        report = await resumed(box, "wechat", None, path)
        assert (report.state, report.unknown, report.sent) == ("done", 300, 1_700)
        check(box, report, path)


async def test_a_single_is_tried_before_a_group(tmp_path: Path) -> None:
    """One person in doubt, and not a hundred."""
    path = tmp_path / "c.db"
    rows = [*({"openid": f"o{n}"} for n in range(60)), *({"id": i} for i in ids(400))]
    async with Sandbox(faults=sends({"kind": "status", "status": 502})) as box:
        report = await run(box, "wechat", rows, path, text=MESSAGE, max_group_size=100)
        halted(report, box)
        assert box.calls["sendmsg"] <= 1
        # Of the four calls that a run begins with one was a group.
        assert report.unknown <= 100 + 4 + 8
        box.faults = FaultPlan()
        report = await resumed(box, "wechat", None, path)
        assert report.state == "done"
        honest(report, box)


async def test_groups_go_on_when_the_provider_is_back(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    plan = FaultPlan([Fault(endpoint="sendmsg", kind="html", calls=[2, 4, 7])])
    async with Sandbox(faults=plan) as box:
        report = await groups(box, path)
        assert report.state == "done"
        assert (report.unknown, report.sent) == (300, 1_700)
        assert sum(g.state is GroupState.UNKNOWN for g in report.groups) == 3
        assert box.calls["quota_get"] + box.calls["getmsg"] >= 1
        check(box, report, path)


async def test_polls_that_fail_change_nobody(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    plan = FaultPlan([Fault(endpoint="getmsg", kind="html", limit=7)])
    async with Sandbox(faults=plan) as box:
        report = await groups(box, path, 600)
        assert (report.state, report.sent) == ("done", 600)
        check(box, report, path)


async def test_a_killed_run_leaves_word_of_the_outage(tmp_path: Path) -> None:
    """The next run looks first, whatever ended this one: here, the user's own stop."""
    path, rows = tmp_path / "c.db", people("wechat", 300)
    async with Sandbox(faults=everything({"kind": "html"})) as box:
        async with (
            client(box, "wechat", clock=HurriedClock(5.0)) as channel,
            Campaign(
                channel, message("wechat"), rows, journal=path, clock=HurriedClock(5.0)
            ) as under_way,
        ):
            await until(lambda: "one call at a time" in under_way.progress["reason"])
        assert under_way.report.state == "stopped"
        sent = box.calls["singlesendmsg"]
        assert sent <= 5
        report = await resumed(box, "wechat", rows, path)
        halted(report, box)
        assert box.calls["singlesendmsg"] == sent
    assert {o.state for o in report.outcomes()} == {State.PENDING, State.UNKNOWN}


@pytest.mark.parametrize("concurrency", [4, 16, 64])
async def test_slow_answers_from_before_the_outage_do_not_let_more_people_into_it(
    concurrency: int, tmp_path: Path
) -> None:
    """New calls fail at once while old ones still come back well, one after the other."""
    path, rows = tmp_path / "c.db", people("wechat", 2_000)
    plan = FaultPlan(
        [
            Fault(endpoint="singlesendmsg", kind="html", after=300),
            *(
                Fault(endpoint="singlesendmsg", kind="slow", seconds=0.03 * n, every=n)
                for n in (5, 3, 2)
            ),
            Fault(endpoint="quota_get", kind="html"),
            Fault(endpoint="getrole", kind="html"),
        ]
    )
    async with Sandbox(faults=plan) as box:
        report = await run(box, "wechat", rows, path, concurrency=concurrency)
        halted(report, box)
        assert report.unknown <= concurrency + 8
        check(box, report, path)
