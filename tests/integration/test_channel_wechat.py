"""The promoter API's endpoints as an SDK user calls them, over a real socket."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from campaigning import MESSAGE, PERSONAL, ids, wechat
from clocks import FakeClock
from waiting import until

from promomsg import (
    Everyone,
    Halted,
    NotFinished,
    NotSent,
    OutcomeUnknown,
    Pace,
    PollPolicy,
    Promoters,
    ProviderError,
    Recipient,
    Retailers,
    Roles,
    Secret,
    State,
    UsageError,
    Verdict,
    WeChatPromoter,
)
from promomsg.sandbox import Fault, FaultPlan, Sandbox

pytestmark = pytest.mark.asyncio

SOON = PollPolicy(first_after=0.001, every=0.002)


async def test_send_one_says_what_became_of_it(box: Sandbox, channel: WeChatPromoter) -> None:
    box.settings.refuse_single = {"oNo": 43101}
    sent = await channel.send_one(PERSONAL, Recipient("我", openid="oA", params={"name": "小明"}))
    assert (sent.state, sent.recipient.key, sent.attempts) == (State.SENT, "我", 1)
    assert json.loads(box.ledger.messages["oA"])["title"] == "小明"
    assert sent.at is not None
    failed = await channel.send_one(MESSAGE, Recipient(openid="oNo"))
    assert (failed.state, failed.code) == (State.FAILED, "43101")
    assert failed.rid is not None
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="drop_after_delivering")])
    unknown = await channel.send_one(MESSAGE, Recipient(openid="oB"))
    assert (unknown.state, unknown.code) == (State.UNKNOWN, "NO_ANSWER")
    assert box.calls["singlesendmsg"] == 3


@pytest.mark.parametrize(
    ("to", "said"),
    [
        (Recipient("k"), "NO_ADDRESS"),
        (Recipient(openid="o\ud800"), "BAD_ADDRESS"),
        (Recipient(id="1.0"), "id '1.0'"),
        (Recipient(id="1.2E+17"), "id '1.2E"),
        (Recipient("k", id="nan"), "id 'nan'"),
        (Recipient(id="1,000"), "id '1,000'"),
        (Recipient(id="１２３"), "ASCII"),
        (Recipient(id="None", openid="oA"), "empty cell"),
        (Recipient(openid="1e9"), "openid '1e9'"),
        (Recipient(unionid="o A"), "a space"),
        ("5", "str is not a recipient"),
        ({"id": "5"}, "dict is not a recipient"),
        (None, "NoneType is not a recipient"),
    ],
    ids=repr,
)
async def test_send_one_needs_an_address(
    box: Sandbox, channel: WeChatPromoter, to: Any, said: str
) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        await channel.send_one(MESSAGE, to)
    assert "\n" not in str(caught.value)
    assert box.calls["singlesendmsg"] == 0


async def test_send_one_trims_an_address_as_a_list_does(
    box: Sandbox, channel: WeChatPromoter
) -> None:
    assert (await channel.send_one(MESSAGE, Recipient(id=" 5 "))).state is State.SENT
    assert box.ledger.delivered == {"5": 1}


@pytest.mark.parametrize("bad", ["1.0", "1.2E+17", "nan", "None"])
async def test_a_group_takes_ids_only(box: Sandbox, channel: WeChatPromoter, bad: str) -> None:
    with pytest.raises(UsageError, match=f"Promoters: BAD_ADDRESS: id '{re.escape(bad)}'"):
        await channel.send_group(MESSAGE, Promoters([*ids(60), bad]))
    with pytest.raises(UsageError, match="49 promoters"):  # the same id twice is one
        await channel.send_group(MESSAGE, Promoters([*ids(49), f" {ids(1)[0]}"]))
    assert box.calls["sendmsg"] == 0


async def test_a_closed_client_is_the_callers_fault(box: Sandbox) -> None:
    channel = wechat(box)
    await channel.prepare()
    await channel.close()
    with pytest.raises(UsageError, match="was closed"):
        await channel.send_one(MESSAGE, Recipient(id="1"))
    with pytest.raises(UsageError, match="was closed"):
        await channel.send_group(MESSAGE, Promoters(ids(50)))


async def test_another_event_loops_client_is_the_callers_fault(
    box: Sandbox, channel: WeChatPromoter
) -> None:
    await channel.prepare()
    for call in (
        lambda: channel.send_one(MESSAGE, Recipient(id="1")),
        lambda: channel.send_group(MESSAGE, Promoters(ids(50))),
    ):
        with pytest.raises(UsageError, match="event loop"):
            await asyncio.to_thread(lambda call=call: asyncio.run(call()))
    assert box.ledger.total == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"secret": 5}, r"secret=…\): give a str, not int"),
        ({"secret": b"s3cret"}, "give a str, not bytes"),
        ({"token": "TOKEN"}, r"token=…\): give an async callable"),
        ({"secret": "s", "pace": 5}, "give a Pace"),
        ({"secret": "s", "session": 5}, r"aiohttp\.ClientSession, not int"),
    ],
    ids=str,
)
async def test_what_a_client_is_made_of_is_checked(
    channel: WeChatPromoter, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        WeChatPromoter("wx1", **given)
    assert "s3cret" not in str(caught.value)
    if "session" not in given:
        with pytest.raises(UsageError, match=said):
            channel.with_account("wx2", **given)


async def test_a_token_source_that_is_not_async_is_said(box: Sandbox) -> None:
    async with wechat(box, secret=None, token=lambda stale: "T0KEN") as channel:
        with pytest.raises(UsageError, match="async") as caught:
            await channel.send_one(MESSAGE, Recipient(id="1"))
        assert "T0KEN" not in str(caught.value)
        with pytest.raises(UsageError, match="async"):
            await channel.get_roles()


async def test_send_one_needs_its_parameters(box: Sandbox, channel: WeChatPromoter) -> None:
    from promomsg import WeChatMessage

    message = WeChatMessage(1, {"t": "{name}"}, "p", templates={"t": "thing"})
    with pytest.raises(UsageError, match=r"\{name\}"):
        await channel.send_one(message, Recipient(id="1"))
    with pytest.raises(UsageError, match="OVER_LIMIT"):
        await channel.send_one(message, Recipient(id="1", params={"name": "字" * 30}))
    with pytest.raises(UsageError, match="WeChatMessage"):
        await channel.send_one("hello", Recipient(id="1"))  # type: ignore[arg-type]
    assert box.calls["singlesendmsg"] == 0


async def test_send_one_raises_when_nobody_can_be_reached(
    box: Sandbox, channel: WeChatPromoter
) -> None:
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", errcode=48001)])
    with pytest.raises(ProviderError, match="48001") as caught:
        await channel.send_one(MESSAGE, Recipient(id="1"))
    assert (caught.value.code, caught.value.verdict) == ("48001", Verdict.HALT)
    assert caught.value.rid is not None
    await box.stop_listening()
    with pytest.raises(NotSent):
        await channel.send_one(MESSAGE, Recipient(id="1"))


async def test_send_one_replaces_a_token_that_ended(box: Sandbox, channel: WeChatPromoter) -> None:
    await channel.get_roles()
    box.expire_tokens()
    assert (await channel.send_one(MESSAGE, Recipient(id="1"))).state == State.SENT
    assert box.calls["stable_token"] == 2
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="token_invalid")])
    with pytest.raises(ProviderError):
        await channel.send_one(MESSAGE, Recipient(id="1"))


async def test_a_token_that_only_a_read_was_refused_with_stops_no_send(
    box: Sandbox, channel: WeChatPromoter
) -> None:
    """The provider hands it out still, so it may have been a hiccup; a send that fails with it has
    sent nothing."""
    msg_id = await channel.send_group(MESSAGE, Promoters(ids(50)))
    box.faults = FaultPlan(
        [
            Fault(endpoint="getmsg", kind="token_invalid", calls=[1]),
            Fault(endpoint="stable_token", kind="delay", seconds=0.2),
        ]
    )
    reading = asyncio.create_task(channel.get_delivery(msg_id))
    await until(lambda: box.calls["stable_token"] == 2)
    assert (await channel.send_one(MESSAGE, Recipient(id="1"))).state == State.SENT
    with pytest.raises(Halted, match="TOKEN_REFUSED"):
        await reading
    assert (await channel.get_delivery(msg_id)).msg_id == msg_id


async def test_send_one_holds_the_quota_it_was_told_of(box: Sandbox) -> None:
    clock = FakeClock(auto=True, grace=0.003)
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="throttle", calls=[1])])
    async with wechat(box, clock=clock) as channel:
        with pytest.raises(ProviderError, match="45011") as caught:
            await channel.send_one(MESSAGE, Recipient(id="1"))
        assert caught.value.verdict == Verdict.THROTTLED
        began = clock.monotonic()
        assert (await channel.send_one(MESSAGE, Recipient(id="1"))).state == State.SENT
        assert clock.monotonic() - began >= 59


async def test_send_group_gives_the_msg_id(box: Sandbox, channel: WeChatPromoter) -> None:
    msg_id = await channel.send_group(MESSAGE, Promoters(ids(50)))
    assert box.ledger.group(msg_id) is not None
    for audience in (Roles([1]), Retailers(["r1"]), Everyone(confirm=True)):
        assert (await channel.send_group(MESSAGE, audience)).isdigit()
    assert [g.list_type for g in box.ledger.groups] == [3, 1, 2, 0]


async def test_send_group_refuses_what_a_group_cannot_be(
    box: Sandbox, channel: WeChatPromoter
) -> None:
    with pytest.raises(UsageError, match="49 promoters"):
        await channel.send_group(MESSAGE, Promoters([*ids(49), "500001"]))
    with pytest.raises(UsageError, match="placeholders"):
        await channel.send_group(PERSONAL, Roles([1]))
    assert box.calls["sendmsg"] == 0


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(endpoint="sendmsg", errcode=47003), ProviderError),
        (Fault(endpoint="sendmsg", kind="drop_after_delivering"), OutcomeUnknown),
        (Fault(endpoint="sendmsg", kind="html"), OutcomeUnknown),
        (Fault(endpoint="sendmsg", kind="alter", unset=["msg_id"]), OutcomeUnknown),
    ],
    ids=lambda v: getattr(v, "kind", ""),
)
async def test_send_group_says_whether_it_may_have_been_sent(
    box: Sandbox, channel: WeChatPromoter, fault: Fault, error: type[Exception]
) -> None:
    box.faults = FaultPlan([fault])
    with pytest.raises(error):
        await channel.send_group(MESSAGE, Promoters(ids(50)))
    assert box.calls["sendmsg"] == 1


async def test_get_delivery_is_one_poll(box: Sandbox, channel: WeChatPromoter) -> None:
    box.settings.refuse_group = {"500002": 43101}
    msg_id = await channel.send_group(MESSAGE, Promoters(ids(50)))
    first = await channel.get_delivery(msg_id)
    assert (first.percent, first.send_cnt, box.calls["getmsg"]) == (30, 15, 1)
    await channel.get_delivery(msg_id)
    last = await channel.get_delivery(msg_id)
    assert (last.percent, last.send_cnt, last.fail_cnt) == (100, 50, 1)
    assert [(f.id, f.code) for f in last.failures] == [("500002", "43101")]
    assert (last.list_type, last.path, last.msg_type) == (3, MESSAGE.path, 1)
    assert json.loads(last.content or "") == MESSAGE.content
    assert (
        box.calls.bodies("getmsg")[0]
        == json.dumps({"msg_id": msg_id}, separators=(",", ":")).encode()
    )
    with pytest.raises(ProviderError, match="103001"):
        await channel.get_delivery("nope")


async def test_follow_needs_no_campaign(box: Sandbox, channel: WeChatPromoter) -> None:
    box.settings.refuse_group = dict.fromkeys(ids(7), 103010)
    box.settings.failure_threshold = 3
    box.faults = FaultPlan([Fault(endpoint="getmsg", kind="html", calls=[2])])
    msg_id = await channel.send_group(MESSAGE, Promoters(ids(50)))
    clock = FakeClock(auto=True, grace=0.003)
    async with wechat(box, clock=clock) as other:
        delivery = await other.follow(msg_id, poll=SOON)
    assert (delivery.percent, delivery.fail_cnt) == (100, 7)
    assert [f.id for f in delivery.failures] == ids(7)
    assert delivery.warnings == ()
    assert box.calls["failure_file"] == 1


async def test_follow_gives_up_with_a_time_out(box: Sandbox, channel: WeChatPromoter) -> None:
    box.settings.poll_steps = (10,)
    msg_id = await channel.send_group(MESSAGE, Promoters(ids(50)))
    brief = PollPolicy(first_after=0.001, every=0.002, give_up_after=0.01)
    with pytest.raises(NotFinished, match="10 percent") as caught:
        await channel.follow(msg_id, poll=brief)
    assert isinstance(caught.value, (OutcomeUnknown, TimeoutError))
    assert str(caught.value).endswith("(results stay 7 days)")


@pytest.mark.parametrize("poll", [60, {"every": 1}, "60s"], ids=str)
async def test_follow_takes_a_poll_policy_only(
    box: Sandbox, channel: WeChatPromoter, poll: Any
) -> None:
    with pytest.raises(UsageError, match="PollPolicy"):
        await channel.follow("1", poll=poll)
    assert box.calls["getmsg"] == 0


async def test_follow_says_when_failures_stay_unnamed(
    box: Sandbox, channel: WeChatPromoter
) -> None:
    box.settings.refuse_group = dict.fromkeys(ids(7), 103010)
    box.settings.unnamed_failures = 2
    msg_id = await channel.send_group(MESSAGE, Promoters(ids(50)))
    delivery = await channel.follow(msg_id, poll=SOON)
    assert len(delivery.failures) == 5
    assert any("7 failures" in w for w in delivery.warnings)


async def test_follow_survives_a_failure_file_that_cannot_be_had(
    box: Sandbox, channel: WeChatPromoter
) -> None:
    box.settings.refuse_group = dict.fromkeys(ids(7), 103010)
    box.settings.failure_threshold = 3
    box.settings.failure_url = "https://10.0.0.1/failures"
    msg_id = await channel.send_group(MESSAGE, Promoters(ids(50)))
    delivery = await channel.follow(msg_id, poll=SOON)
    assert delivery.failures == ()
    assert any("failure file" in w for w in delivery.warnings)


async def test_follow_raises_what_a_look_cannot_get_over(
    box: Sandbox, channel: WeChatPromoter
) -> None:
    with pytest.raises(ProviderError, match="103001"):
        await channel.follow("nope", poll=SOON)
    assert box.calls["getmsg"] == 1


async def test_closing_and_reprs_say_no_secret(box: Sandbox) -> None:
    channel = WeChatPromoter(
        "wx0001", Secret("s3cret"), base_url=box.url, pace=Pace(unlimited=True)
    )
    assert "s3cret" not in repr(channel)
    assert "wx0001" in repr(channel)
    await channel.close()
    with pytest.raises(UsageError, match="closed"):
        await channel.get_roles()
