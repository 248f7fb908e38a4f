"""What hooks are told of whole campaigns, against the sandbox's ledger and calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from campaigning import MESSAGE, PERSONAL, QUICK, honest, ids, single, wechat
from chaos.hurried_clock import HurriedClock
from clocks import FakeClock
from fault_campaigns import client, wallet_users
from fault_campaigns import message as message_of
from kept_events import KeptEvents

from promomsg import (
    Campaign,
    Hooks,
    MemoryJournal,
    NotSent,
    Pace,
    PromoError,
    Recipient,
    RetryPolicy,
    SqliteJournal,
    UsageError,
    WeChatPromoter,
    open_journal,
    send,
)
from promomsg.alipay.models import SEND_PATH
from promomsg.engine.joining import Part, do_part
from promomsg.sandbox import Fault, FaultPlan, Sandbox, SandboxSettings
from promomsg.telemetry.hook_events import (
    BreakerClosed,
    BreakerOpened,
    CallFinished,
    CampaignEnded,
    CampaignPlanned,
    CampaignStarted,
    HoldBegan,
    HoldEnded,
    JournalCommitted,
    OutcomesCounted,
    PlanningBegan,
    RunInfo,
    Sampled,
    TokenRefreshed,
)
from promomsg.telemetry.hooks import METHODS

pytestmark = pytest.mark.asyncio

STATES = ("sent", "failed", "unknown", "skipped", "cancelled")


async def test_a_campaign_is_told_from_its_plan_to_its_end() -> None:
    faults = FaultPlan([
        Fault(endpoint="singlesendmsg", kind="drop_after_delivering", calls=[3]),
        Fault(endpoint="getmsg", kind="status", status=502, calls=[1]),
    ])  # fmt: skip
    settings = SandboxSettings(refuse_single={"openid-7": 43101})
    people = [*ids(60), *({"openid": f"openid-{n}", "name": f"n{n}"} for n in range(12))]
    kept = KeptEvents()
    async with Sandbox(faults=faults, settings=settings) as box, wechat(box) as channel:
        report = await send(channel, MESSAGE, people, name="autumn", hooks=kept, **QUICK)
        honest(report, box)
        assert (report.sent, report.failed, report.unknown) == (70, 1, 1)
        told = {state: kept.total(OutcomesCounted, state) for state in STATES}
        assert told == {state: getattr(report, state) for state in STATES}
        assert len(kept.calls("single")) == box.calls["singlesendmsg"]
        assert len(kept.calls("group")) == box.calls["sendmsg"] == 1
        assert len(kept.calls("poll")) == box.calls["getmsg"]
        assert len(kept.calls("token")) == box.calls["stable_token"] == 1
    assert isinstance(kept.events[0], PlanningBegan)
    assert isinstance(kept.events[-1], CampaignEnded)
    [planned], [started] = kept.of(CampaignPlanned), kept.of(CampaignStarted)
    assert (planned.singles, planned.groups, planned.to_send) == (12, 1, 72)
    assert (started.planned, started.pending) == (72, 72)
    [ended] = kept.of(CampaignEnded)
    assert (ended.state, ended.code, ended.sent, ended.failed) == ("done", "", 70, 1)
    [run] = {event.run.id for event in kept.events if event.run is not None}
    assert all(event.run is not None for event in kept.events)
    assert ended.run is not None
    assert (ended.run.id, ended.run.campaign, ended.run.kind) == (run, "autumn", "new")
    [group] = kept.calls("group")
    assert (group.endpoint, group.verdict, group.recipients) == (
        "/promoter/sendmsg",
        "ACCEPTED",
        60,
    )
    assert {call.verdict for call in kept.calls("single")} == {"SENT", "FAILED", "UNKNOWN"}
    [refused] = [call for call in kept.calls("single") if call.verdict == "FAILED"]
    assert (refused.code, refused.status, refused.recipients) == ("43101", 200, 1)
    [lost] = [call for call in kept.calls("single") if call.verdict == "UNKNOWN"]
    assert (lost.code, lost.status) == ("NO_ANSWER", None)
    assert [call.status for call in kept.calls("poll")][:2] == [502, 200]
    assert all(call.seconds is not None and call.seconds > 0 for call in kept.of(CallFinished))
    rows = dict.fromkeys(("intents", "results"), 0)
    for commit in kept.of(JournalCommitted):
        rows[commit.what] += commit.rows
    assert rows == {"intents": 13, "results": 14}  # of the group: accepted, and complete
    assert kept.of(Sampled)[0].pending == 72
    assert [one.expires_in for one in kept.of(TokenRefreshed)] == [6900]


async def test_nothing_of_a_recipient_and_no_secret_is_told() -> None:
    kept = KeptEvents()
    people = [{"key": "crm-77", "openid": "oAbC1234", "name": "小明"}, *ids(50)]
    async with Sandbox() as box, wechat(box, hooks=kept) as channel:
        await send(channel, PERSONAL, people, hooks=kept, **QUICK)
        await channel.send_one(MESSAGE, Recipient("crm-9", openid="oAbC1234"))
        [token] = channel._account.tokens.known_tokens()
    async with Sandbox() as box, client(box, "alipay", hooks=kept) as wallet:
        await send(wallet, message_of("alipay"), wallet_users(), **QUICK)
    told = repr(kept.events)
    assert len(kept.calls("single")) == 8
    secrets = [token, "s3cret", "usertoken-", "PRIVATE KEY"]
    people_of = ["crm-", "oAbC1234", "小明", "'1000'", "三件五折"]
    assert [text for text in (*secrets, *people_of) if text in told] == []
    assert {c.endpoint for c in kept.of(CallFinished) if c.channel == "alipay"} == {
        f"/api{SEND_PATH}"
    }


async def test_a_hold_is_told_when_it_begins_and_when_it_ends(auto_clock: FakeClock) -> None:
    kept, clock = KeptEvents(), auto_clock
    faults = single(kind="status", status=429, calls=[5])
    async with Sandbox(faults=faults) as box, wechat(box, clock=clock) as channel:
        report = await send(channel, PERSONAL, ids(20), hooks=kept, clock=clock, **QUICK)
    assert report.sent == 20
    [began], [ended] = kept.of(HoldBegan), kept.of(HoldEnded)
    assert (began.kind, ended.kind) == ("single", "single")
    assert began.seconds == pytest.approx(1.0, abs=0.2)
    [throttled] = [call for call in kept.calls("single") if call.verdict == "THROTTLED"]
    assert began.at - throttled.at < 0.2
    after = kept.events[kept.events.index(ended) :]
    assert [e for e in after if isinstance(e, CallFinished) and e.verdict == "SENT"]


async def test_an_outage_is_told_when_it_begins_and_when_it_ends() -> None:
    kept = KeptEvents()
    faults = single(kind="reset_before_reading", calls=list(range(4, 12)))
    policy = {**QUICK, "retry": RetryPolicy(first_pause=0.005, longest_pause=0.02, attempts=30)}
    async with Sandbox(faults=faults) as box, wechat(box) as channel:
        await send(channel, PERSONAL, ids(30), hooks=kept, concurrency=1, **policy)
    assert len(kept.of(BreakerOpened)) == len(kept.of(BreakerClosed)) == 1
    assert kept.events.index(kept.of(BreakerOpened)[0]) < kept.events.index(
        kept.of(BreakerClosed)[0]
    )


async def test_hooks_that_all_raise_change_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Hooks):
        def carry(self, run: RunInfo) -> dict[str, str]:
            raise ValueError

    def broken(self: Broken, event: Any) -> None:
        raise KeyError(type(event).__name__)

    for name in METHODS.values():
        setattr(Broken, name, broken)
    hooks, kept = Broken(), KeptEvents()
    async with Sandbox() as box, wechat(box) as channel:
        report = await send(channel, PERSONAL, ids(30), hooks=[hooks, kept], **QUICK)
        honest(report, box)
    assert report.sent == 30
    assert hooks.hooks_failed == len(kept.events)
    named = [record.getMessage() for record in caplog.records if "raised" in record.getMessage()]
    assert len(named) == len(set(named)) == len({type(event) for event in kept.events})


async def test_a_clients_hooks_are_told_of_all_that_goes_through_it() -> None:
    kept = KeptEvents()
    async with Sandbox() as box, wechat(box, hooks=kept) as channel:
        derived = channel.with_options(timeout=5)
        await derived.send_one(MESSAGE, Recipient(id="1001"))
        await channel.get_quota()
        await send(derived, MESSAGE, ["1002"], name="short", hooks=kept, **QUICK)
    outside = [call for call in kept.of(CallFinished) if call.run is None]
    assert [(call.kind, call.endpoint) for call in outside] == [
        ("token", "/cgi-bin/stable_token"),
        ("single", "/promoter/singlesendmsg"),
        ("read", "/cgi-bin/openapi/quota/get"),
    ]
    inside = [call for call in kept.calls("single") if call.run is not None]
    assert len(inside) == 1  # once, though both the client and the campaign have them


async def test_a_plan_that_is_not_sent_here_is_over_too(
    box: Sandbox, channel: WeChatPromoter, tmp_path: Path
) -> None:
    kept = KeptEvents()
    looked = Campaign(channel, MESSAGE, ids(3), hooks=kept)
    await looked.plan()
    await looked.discard()
    left = Campaign(channel, MESSAGE, ids(3), hooks=kept, journal=tmp_path / "left.db")
    await left.hand_over()
    wrong = Campaign(channel, MESSAGE, ids(3), hooks=kept, max_recipients=1)
    with pytest.raises(UsageError):
        await wrong.plan()
    with pytest.raises(UsageError, match="not a promomsg"):
        Campaign(channel, MESSAGE, ids(3), hooks=print)  # type: ignore[arg-type]
    await send(channel, MESSAGE, ids(1), hooks=kept)
    states = [event.state for event in kept.of(CampaignEnded)]
    assert states == ["discarded", "handed_over", "failed", "done"]
    assert len(kept.of(PlanningBegan)) == 4


async def test_what_is_carried_comes_back_to_whoever_goes_on(box: Sandbox, tmp_path: Path) -> None:
    class Carrying(KeptEvents):
        def carry(self, run: RunInfo) -> dict[str, str]:
            return {"ticket": f"T-{run.campaign}"}

    kept = Carrying()
    async with wechat(box, hooks=kept, pace=Pace(singles_per_second=50)) as channel:
        campaign = Campaign(channel, PERSONAL, ids(5), name="a", journal=tmp_path / "a.db", **QUICK)
        await campaign.hand_over()
        async with Campaign.resume(tmp_path / "a.db", channel) as run:
            await run.wait()
    kinds = [(e.run.kind, e.run.carried) for e in kept.of(PlanningBegan) if e.run is not None]
    assert kinds == [("new", {}), ("resume", {"ticket": "T-a"})]


@pytest.mark.parametrize("count", [12, 60])
async def test_parts_tell_what_they_have_sent_themselves(
    box: Sandbox, tmp_path: Path, count: int
) -> None:
    kept = KeptEvents()
    journal = SqliteJournal(tmp_path / "parts.db")
    async with wechat(box, hooks=kept) as channel:
        text = PERSONAL if count < 50 else MESSAGE
        await Campaign(channel, text, ids(count), journal=journal, **QUICK).hand_over()
        await do_part(journal, channel, Part(singles=True, groups=True))
        state = "sending"
        while state not in ("done", "halted"):
            state = (
                (await do_part(journal, channel, Part(polls=True))).state if count > 50 else "done"
            )
    assert kept.total(OutcomesCounted, "sent") == box.ledger.total == count
    parts = [e.run for e in kept.of(CampaignStarted)]
    assert {run.kind for run in parts if run is not None} == {"part"}
    assert len({run.id for run in parts if run is not None}) == len(parts)


async def test_the_days_quota_is_told_as_it_is_used(box: Sandbox) -> None:
    kept = KeptEvents()
    pace = Pace(singles_per_second=500, singles_per_day=8, shared_quota=False)
    async with wechat(box, pace=pace) as channel:
        report = await send(
            channel, PERSONAL, ids(10), journal=MemoryJournal(), hooks=kept, **QUICK
        )
        last = channel.pacer.singles.used_today
    assert (report.sent, report.pending, last) == (8, 2, 8)
    assert {sample.limit_today for sample in kept.of(Sampled)} == {8}
    [ended] = kept.of(CampaignEnded)
    assert (ended.state, ended.code) == ("halted", "SINGLES_PER_DAY")


@pytest.mark.parametrize(
    ("count", "fault", "state"),
    [
        (60, Fault(endpoint="sendmsg", kind="drop_after_delivering"), "unknown"),
        (60, Fault(endpoint="sendmsg", errcode=47003), "failed"),
        (12, Fault(endpoint="singlesendmsg", errcode=47003), "failed"),
        (12, Fault(endpoint="singlesendmsg", kind="drop_after_delivering", calls=[5]), "unknown"),
    ],
    ids=["group lost", "group refused", "message refused", "one lost"],
)
async def test_what_a_part_tells_is_what_it_wrote(
    tmp_path: Path, count: int, fault: Fault, state: str
) -> None:
    kept = KeptEvents()
    journal = SqliteJournal(tmp_path / "parts.db")
    async with Sandbox(faults=FaultPlan([fault])) as box, wechat(box, hooks=kept) as channel:
        people: Any = ids(count) if count > 50 else [{"openid": f"o-{n}"} for n in range(count)]
        await Campaign(channel, MESSAGE, people, journal=journal, **QUICK).hand_over()
        await do_part(journal, channel, Part(singles=True, groups=True))
    with open_journal(journal) as opened:
        report = opened.report()
    assert getattr(report, state) > 0
    told = {name: kept.total(OutcomesCounted, name) for name in STATES}
    assert told == {name: getattr(report, name) for name in STATES}


async def test_reads_that_fail_are_told_with_why() -> None:
    kept = KeptEvents()
    faults = FaultPlan([
        Fault(endpoint="quota_get", errcode=40013, calls=[1]),
        Fault(endpoint="quota_get", kind="drop_after_delivering"),
    ])  # fmt: skip
    async with (
        Sandbox(faults=faults) as box,
        wechat(box, hooks=kept, clock=HurriedClock()) as channel,
    ):
        for _ in range(2):
            with pytest.raises(PromoError):
                await channel.get_quota()
        await box.stop_listening()
        with pytest.raises(NotSent):
            await channel.get_quota()
    told = [(call.verdict, call.code, call.seconds is not None) for call in kept.calls("read")]
    assert told[0] == ("HALT", "40013", True)
    assert told[1] == ("UNKNOWN", "NO_ANSWER", True)
    assert told[-1] == ("RETRY", "NOT_SENT", False)
