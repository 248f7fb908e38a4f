"""What each answer does to its recipient, to the others, and to the campaign."""

from __future__ import annotations

import pytest
from campaigning import MESSAGE, PERSONAL, QUICK, add_up, honest, ids, run_to_end, single, wechat
from waiting import until

import promomsg
from promomsg import Campaign, Halted, RetryPolicy, WeChatPromoter
from promomsg.journal.contract import Journal
from promomsg.sandbox import Fault, FaultPlan, Sandbox, SandboxSettings

pytestmark = pytest.mark.asyncio


async def test_a_refused_recipient_fails_alone_with_the_providers_words(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.refuse_single = {"500002": 43101, "500004": 40003, "500005": 99999}
    report = await promomsg.send(channel, MESSAGE, ids(10), journal=journal, **QUICK)
    assert (report.sent, report.failed, report.state) == (7, 3, "done")
    assert report.by_code == {"43101": 1, "40003": 1, "99999": 1}
    first = report.failures()[0]
    assert "refuse" in first.detail
    assert first.rid is not None
    assert first.attempts == 1
    assert first.at is not None
    honest(report, box)


@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "drop_after_delivering"},
        {"kind": "html"},
        {"kind": "html", "delivered": True},
        {"kind": "truncate"},
        {"kind": "status"},
        {"kind": "status", "status": 500, "delivered": True},
        {"kind": "minus_one", "delivered": True},
        {"kind": "reset_before_reading"},
        {"kind": "garbage", "body": '{"errcode": {}}'},
        {"kind": "redirect", "location": "http://127.0.0.1:9/"},
    ],
    ids=lambda rule: rule["kind"] + ("+" if rule.get("delivered") else ""),
)
async def test_a_lost_answer_is_unknown_and_never_sent_again(
    box: Sandbox, channel: WeChatPromoter, journal: Journal, rule: dict[str, object]
) -> None:
    box.faults = single(calls=[2, 5], **rule)
    report = await promomsg.send(channel, MESSAGE, ids(10), journal=journal, **QUICK)
    assert (report.sent, report.unknown, report.state) == (8, 2, "done")
    assert box.calls["singlesendmsg"] == 10
    assert len(report.unknowns()) == 2
    assert all(o.code and o.detail for o in report.unknowns())
    honest(report, box)


@pytest.mark.parametrize("code", [45002, 47003])
async def test_a_refused_message_is_not_sent_to_anybody_else(
    box: Sandbox, channel: WeChatPromoter, journal: Journal, code: int
) -> None:
    box.faults = single(errcode=code, errmsg="argument invalid! title")
    report = await promomsg.send(
        channel, MESSAGE, ids(300), journal=journal, route="single", concurrency=4, **QUICK
    )
    assert (report.failed, report.by_code) == (300, {str(code): 300})
    assert box.calls["singlesendmsg"] <= 8
    assert "title" in report.failures()[-1].detail
    assert report.state == "done"


async def test_a_refused_text_does_not_touch_the_others(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    rows = [{"id": i, "name": "坏" if n % 2 else f"好{n}"} for n, i in enumerate(ids(60))]
    box.settings.templates = {1: {"title": "thing", "desc": "thing"}}
    rows[10]["name"] = "字" * 30  # only the provider knows the template here
    report = await promomsg.send(
        channel, PERSONAL, rows, journal=journal, route="single", concurrency=2, **QUICK
    )
    assert (report.sent, report.failed, report.by_code) == (59, 1, {"47003": 1})
    assert report.failures()[0].recipient.key == "500011"
    honest(report, box)


async def test_a_text_that_many_share_is_refused_once(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.templates = {1: {"title": "thing", "desc": "thing"}}
    rows = [{"id": i, "name": "字" * 30 if n % 2 else f"好{n}"} for n, i in enumerate(ids(80))]
    report = await promomsg.send(
        channel, PERSONAL, rows, journal=journal, route="single", concurrency=1, **QUICK
    )
    assert (report.sent, report.failed) == (40, 40)
    assert box.calls["singlesendmsg"] <= 42
    honest(report, box)


@pytest.mark.parametrize("code", [40013, 40164, 48001, 47001, 50002, 45009])
async def test_a_halt_stops_within_one_call_a_worker(
    box: Sandbox, channel: WeChatPromoter, journal: Journal, code: int
) -> None:
    box.faults = single(errcode=code, after=20)
    report = await promomsg.send(
        channel, MESSAGE, ids(400), journal=journal, route="single", concurrency=8, **QUICK
    )
    assert report.state == "halted"
    assert report.reason.startswith(str(code))
    assert report.sent == 20
    assert report.pending == 380
    assert box.calls["singlesendmsg"] <= 20 + 8
    honest(report, box)
    with pytest.raises(Halted) as caught:
        report.raise_for_failures()
    assert caught.value.code == str(code)


async def test_a_halted_campaign_goes_on_when_it_is_mended(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.faults = single(errcode=48001, calls=[5])
    report = await promomsg.send(channel, MESSAGE, ids(40), journal=journal, concurrency=4, **QUICK)
    assert report.state == "halted"
    report = await run_to_end(Campaign.resume(journal, channel, **QUICK))
    assert (report.sent, report.state, report.reason) == (40, "done", "")
    assert box.ledger.twice() == []


async def test_a_wrong_secret_sends_nothing(box: Sandbox, journal: Journal) -> None:
    box.settings.accounts = {"wx0001": "another"}
    async with wechat(box) as channel:
        report = await promomsg.send(channel, MESSAGE, ids(5), journal=journal, **QUICK)
    assert (report.state, report.pending) == ("halted", 5)
    assert "40125" in report.reason
    assert "s3cret" not in report.reason
    assert box.calls["singlesendmsg"] == 0


async def test_a_wrong_secret_stops_groups_too(box: Sandbox, journal: Journal) -> None:
    box.settings.accounts = {"wx0001": "another"}
    async with wechat(box) as channel:
        report = await promomsg.send(channel, MESSAGE, ids(50), journal=journal, **QUICK)
    assert (report.state, report.pending, box.calls["sendmsg"]) == ("halted", 50, 0)


@pytest.mark.parametrize("count", [5, 50])
async def test_a_token_server_that_is_down_is_asked_again_then_halts(
    box: Sandbox, channel: WeChatPromoter, journal: Journal, count: int
) -> None:
    box.faults = FaultPlan([Fault(endpoint="stable_token", kind="status")])
    report = await promomsg.send(channel, MESSAGE, ids(count), journal=journal, **QUICK)
    assert (report.state, report.pending) == ("halted", count)
    assert box.calls["stable_token"] == 8
    assert box.calls["sendmsg"] + box.calls["singlesendmsg"] == 0


@pytest.mark.parametrize("count", [5, 50])
async def test_a_token_server_that_comes_back_costs_nobody(
    box: Sandbox, channel: WeChatPromoter, journal: Journal, count: int
) -> None:
    box.faults = FaultPlan([Fault(endpoint="stable_token", kind="status", limit=3)])
    report = await promomsg.send(channel, MESSAGE, ids(count), journal=journal, **QUICK)
    assert (report.sent, report.state) == (count, "done")


async def test_max_error_rate_halts_before_the_list_is_burnt(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.faults = single(errcode=43101, every=2)
    report = await promomsg.send(
        channel,
        MESSAGE,
        ids(500),
        journal=journal,
        route="single",
        concurrency=4,
        max_error_rate=0.3,
        **QUICK,
    )
    assert report.state == "halted"
    assert report.reason.startswith("MAX_ERROR_RATE")
    assert report.pending > 400
    add_up(report.to_dict())


async def test_an_error_rate_under_the_limit_halts_nothing(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.faults = single(errcode=43101, every=5)
    report = await promomsg.send(
        channel, MESSAGE, ids(300), journal=journal, route="single", max_error_rate=0.5, **QUICK
    )
    assert (report.state, report.failed) == ("done", 60)


async def test_calls_that_never_left_are_tried_again(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    options = {**QUICK, "retry": RetryPolicy(first_pause=0.005, longest_pause=0.02, attempts=50)}
    async with Campaign(
        channel, MESSAGE, ids(200), journal=journal, route="single", concurrency=4, **options
    ) as run:
        await until(lambda: box.calls["singlesendmsg"] >= 40)
        await box.stop_listening(drop=True)
        await until(lambda: "cannot be reached" in run.progress["reason"])
        await box.start_listening()
        report = await run.wait()
    assert report.sent + report.unknown == 200
    assert report.unknown <= 4
    assert report.pending == 0
    honest(report, box)


async def test_an_outage_is_probed_by_one_call_and_then_halts(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    await channel.get_roles()
    await box.stop_listening()
    report = await promomsg.send(
        channel, MESSAGE, ids(300), journal=journal, route="single", **QUICK
    )
    assert (report.state, report.pending) == ("halted", 300)
    assert "NOT_SENT" in report.reason
    assert sum(o.attempts for o in report.outcomes()) < 300
    await box.start_listening()
    assert (await run_to_end(Campaign.resume(journal, channel, **QUICK))).sent == 300
    assert box.ledger.twice() == []


async def test_an_outage_halts_after_as_many_probes_as_a_recipient_has_attempts(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    await channel.get_roles()
    await box.stop_listening()
    # Pauses are longer between probes than for one recipient: each probe is somebody else's.
    policy = RetryPolicy(first_pause=0.001, longest_pause=0.002, retry_allowance=10_000)
    options = {**QUICK, "retry": policy, "concurrency": 4}
    report = await promomsg.send(
        channel, MESSAGE, ids(2_000), journal=journal, route="single", **options
    )
    assert (report.state, report.pending) == ("halted", 2_000)
    assert "8 probes in a row" in report.reason
    assert sum(o.attempts for o in report.outcomes()) <= 2 * 4 + 3 + 8


async def test_the_retry_budget_is_shared_and_a_spent_one_halts(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    await channel.get_roles()
    await box.stop_listening()
    policy = RetryPolicy(
        first_pause=0.001, longest_pause=0.002, retry_allowance=3, retry_share=0.0, attempts=50
    )
    report = await promomsg.send(
        channel, MESSAGE, ids(40), journal=journal, **{**QUICK, "retry": policy}
    )
    assert (report.state, report.pending) == ("halted", 40)
    assert "retries of the whole campaign" in report.reason


async def test_a_group_behind_an_outage_waits_then_halts_unsent(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    await channel.get_roles()
    await box.stop_listening()
    report = await promomsg.send(channel, MESSAGE, ids(50), journal=journal, **QUICK)
    assert (report.state, report.pending) == ("halted", 50)
    await box.start_listening()
    assert (await run_to_end(Campaign.resume(journal, channel, **QUICK))).sent == 50
    assert box.calls["sendmsg"] == 1


async def test_a_channel_bug_costs_one_outcome_not_the_campaign(
    box: Sandbox, channel: WeChatPromoter, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = channel.deliver, []

    async def deliver(compiled: object, single_send: object, last_check: object) -> object:
        calls.append(single_send)
        if len(calls) == 3:
            raise ZeroDivisionError("a bug with a secret in it: s3cret")
        return await real(compiled, single_send, last_check)  # type: ignore[arg-type]

    monkeypatch.setattr(channel, "deliver", deliver)
    report = await promomsg.send(channel, MESSAGE, ids(10), journal=journal, **QUICK)
    assert (report.sent, report.unknown) == (9, 1)
    assert report.unknowns()[0].code == "NO_ANSWER"
    assert "s3cret" not in report.unknowns()[0].detail


async def test_two_faults_at_once_never_send_twice(journal: Journal) -> None:
    plan = FaultPlan(
        [
            Fault(endpoint="singlesendmsg", kind="drop_after_delivering", probability=0.05),
            Fault(endpoint="singlesendmsg", kind="html", probability=0.05),
            Fault(endpoint="singlesendmsg", kind="reset_before_reading", probability=0.05),
            Fault(endpoint="singlesendmsg", errcode=43101, probability=0.05),
            Fault(endpoint="connect", kind="refuse", probability=0.02),
        ],
        seed=7,
    )
    async with Sandbox(faults=plan, settings=SandboxSettings(token_life=1)) as box:
        async with wechat(box) as channel:
            report = await promomsg.send(
                channel, MESSAGE, ids(600), journal=journal, route="single", **QUICK
            )
        assert report.state == "done"
        assert report.unknown <= sum(box.ledger.faults.values())
        assert box.ledger.twice() == []
        honest(report, box)
