"""The reads of the promoter API over a real socket: roles, quotas, promoters, clicks."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
from campaigning import MESSAGE, ids, wechat
from clocks import FakeClock

from promomsg import (
    Everyone,
    Halted,
    NotSent,
    Promoters,
    ProviderError,
    Recipient,
    Roles,
    UsageError,
    WeChatPromoter,
)
from promomsg.clock import china_day
from promomsg.sandbox import Fault, FaultPlan, Sandbox, SandboxPromoter

pytestmark = pytest.mark.asyncio


DAY = 86_400


async def test_roles_and_quota(box: Sandbox, channel: WeChatPromoter) -> None:
    assert [(r.role_id, r.name) for r in await channel.get_roles()] == [
        (1, "assistant"),
        (2, "manager"),
        (3, "partner"),
    ]
    box.settings.daily_quota = {"singlesendmsg": 100}
    box.settings.rate_quota = {"singlesendmsg": (50, 10)}
    await channel.send_one(MESSAGE, Recipient(id="1"))
    quota = await channel.get_quota()
    assert (quota.daily_limit, quota.used, quota.remain) == (100, 1, 99)
    assert (quota.call_count, quota.refresh_second) == (50, 10)
    empty = await channel.get_quota("/promoter/sendmsg")
    assert (empty.daily_limit, empty.call_count) == (None, None)
    box.settings.roles = {}
    assert await channel.get_roles() == []


async def test_promoters_are_paged_by_the_last_id(box: Sandbox, channel: WeChatPromoter) -> None:
    box.settings.page_size = 70
    found = [p.id async for p in channel.iter_promoters()]
    assert found == [str(100_000 + n) for n in range(1, 301)]
    assert box.calls["getpromoter"] == 6
    pages = [json.loads(body) for body in box.calls.bodies("getpromoter")]
    assert "start_id" not in pages[0]
    assert pages[1]["start_id"] == "100070"


async def test_promoters_can_be_filtered_and_begun_in_the_middle(
    box: Sandbox, channel: WeChatPromoter
) -> None:
    assert len([p async for p in channel.iter_promoters(role_id=1)]) == 100
    some = [p async for p in channel.iter_promoters(start_id="100290", need_unionid=1)]
    assert len(some) == 10
    assert some[0].unionid
    assert [p async for p in channel.iter_promoters(openid="oNobody")] == []


async def test_a_page_that_does_not_move_on_ends_the_paging(
    box: Sandbox, channel: WeChatPromoter
) -> None:
    row = {"id": "100001", "openid": "o1"}
    box.faults = FaultPlan(
        [Fault(endpoint="getpromoter", kind="alter", set={"promoter_list": [row]})]
    )
    assert len([p async for p in channel.iter_promoters()]) == 2
    assert box.calls["getpromoter"] == 2


async def test_clicks_by_message_and_by_type(box: Sandbox, channel: WeChatPromoter) -> None:
    box.settings.click_rate = 1.0
    msg_id = await channel.send_group(MESSAGE, Promoters(ids(70)))
    for n in range(7):
        await channel.send_one(MESSAGE, Recipient(id=str(n)))
    sent_at = int(box.clock.time())
    day = box.clock.china_day()
    box.clock.advance(DAY)
    later = FakeClock(start=box.clock.time())
    async with wechat(box, clock=later) as other:
        [by_message] = await other.get_clicks(day, dimension=0, msg_type=1)
        assert (by_message.msg_id, by_message.click_uv) == (msg_id, 10)
        [narrow] = (
            await other.get_clicks(
                day, dimension=0, msg_type=1, msg_id=msg_id, begin=sent_at - 60, end=sent_at + 60
            )
            if same_day(day, sent_at)
            else [by_message]
        )
        assert narrow == by_message
        [by_type] = await other.get_clicks(day, dimension=1, msg_type=1)
        assert (by_type.msg_type, by_type.click_uv) == (1, 11)
        assert await other.get_clicks(day, dimension=1, msg_type=9) == []
    assert b'"dimonsion":0' in box.calls.bodies("getmsgclickdata")[0]


def same_day(day: str, at: int) -> bool:
    """Whether a minute around this moment is within that China-time day."""
    zone = datetime.timezone(datetime.timedelta(hours=8))
    return all(
        datetime.datetime.fromtimestamp(at + shift, zone).date().isoformat() == day
        for shift in (-60, 60)
    )


@pytest.mark.parametrize(
    "question",
    [
        {"dimension": 2},
        {"dimension": 1, "msg_id": "1"},
        {"dimension": 0, "begin": 5},
        {"dimension": 0, "send_date": "2023/08/04"},
        {"dimension": 0, "msg_type": "1"},
    ],
    ids=str,
)
async def test_clicks_are_checked_before_the_call(
    box: Sandbox, channel: WeChatPromoter, question: dict[str, Any]
) -> None:
    yesterday = box.clock.china_day(box.clock.time() - DAY)
    with pytest.raises(UsageError):
        await channel.get_clicks(
            question.pop("send_date", yesterday), **{"msg_type": 1, **question}
        )
    assert box.calls["getmsgclickdata"] == 0


async def test_clicks_of_a_stand_in_go_by_its_own_clock(
    box: Sandbox, channel: WeChatPromoter
) -> None:
    box.settings.click_rate = 1.0
    msg_id = await channel.send_group(MESSAGE, Promoters(ids(70)))
    today = box.clock.china_day()
    with pytest.raises(UsageError, match="from the day after the send"):
        await channel.get_clicks(today, dimension=0, msg_type=1)
    box.clock.advance(DAY)
    [row] = await channel.get_clicks(today, dimension=0, msg_type=1)
    assert row.msg_id == msg_id


async def test_the_pages_own_example_of_clicks_can_be_asked_of_a_stand_in(
    box: Sandbox, channel: WeChatPromoter
) -> None:
    row = {"msg_id": "123456", "send_time": 1691114400, "click_uv": 123, "click_pv": 200}
    box.faults = FaultPlan(
        [Fault(endpoint="getmsgclickdata", kind="alter", set={"data_list": [row]})]
    )
    [clicks] = await channel.get_clicks(
        "2023-08-04", dimension=0, msg_type=1, begin=1691114400, end=1691128800
    )
    assert (clicks.msg_id, clicks.click_uv) == ("123456", 123)


@pytest.mark.parametrize(
    ("days", "says"), [(0, "from the day after the send"), (91, "kept 90 days")]
)
async def test_clicks_that_the_provider_cannot_have_are_not_asked_for(days: int, says: str) -> None:
    now = FakeClock(start=1_700_000_000.0)
    day = china_day(now.time() - days * DAY)
    async with WeChatPromoter("wx1", "s3cret", clock=now) as client:
        with pytest.raises(UsageError, match=says):
            await client.get_clicks(day, dimension=1, msg_type=1)


async def test_a_read_tries_a_newer_token_and_masks_what_comes_back(
    box: Sandbox, channel: WeChatPromoter
) -> None:
    await channel.get_roles()
    box.expire_tokens()
    assert len(await channel.get_roles()) == 3
    token = box.calls.requests[-1].query["access_token"]
    box.faults = FaultPlan(
        [Fault(endpoint="getrole", errcode=99999, errmsg=f"bad {token} and s3cret")]
    )
    with pytest.raises(ProviderError) as caught:
        await channel.get_roles()
    assert token not in str(caught.value)
    assert "s3cret" not in str(caught.value)


async def test_a_read_raises_halted_when_there_is_no_token_to_have(box: Sandbox) -> None:
    box.settings.accounts = {}
    async with wechat(box) as channel:
        with pytest.raises(Halted, match="40013"):
            await channel.get_roles()


async def test_a_read_raises_not_sent_when_the_token_server_is_away(
    box: Sandbox, channel: WeChatPromoter
) -> None:
    for kind in ("status", "minus_one", "hang"):
        box.faults = FaultPlan([Fault(endpoint="stable_token", kind=kind)])
        async with wechat(box, timeout=0.05) as other:
            with pytest.raises(NotSent, match="token"):
                await other.get_roles()


async def test_the_legacy_token_is_a_get(box: Sandbox) -> None:
    async with wechat(box, legacy_token=True) as channel:
        assert len(await channel.get_roles()) == 3
        box.expire_tokens()
        assert len(await channel.get_roles()) == 3
    assert (box.calls["token"], box.calls["stable_token"]) == (2, 0)


async def test_audiences_are_counted_by_filter(box: Sandbox, channel: WeChatPromoter) -> None:
    assert await channel.count_audience(Roles([1, 2])) == 200
    assert await channel.count_audience(Promoters(["1", "1", "2"])) == 2
    box.settings.promoters = [SandboxPromoter(id="1", openid="o1", name="小明", unionid="u1")]
    [only] = [r async for r in channel.iter_audience(Everyone(confirm=True))]
    assert (only.id, only.openid, only.unionid, only.params["name"]) == ("1", "o1", "u1", "小明")
    with pytest.raises(UsageError, match="Promoters"):
        [r async for r in channel.iter_audience(Promoters(["1"]))]


async def test_advice_is_only_advice(box: Sandbox, channel: WeChatPromoter) -> None:
    box.settings.rate_quota = {"singlesendmsg": (70, 10)}
    advice = await channel.advise()
    assert advice is not None
    assert (advice.calls, advice.per_seconds) == (70, 10)
    box.faults = FaultPlan([Fault(endpoint="quota_get", errcode=48001)])
    assert await channel.advise() is None


async def test_a_pace_is_taken_from_what_the_provider_says(box: Sandbox) -> None:
    from promomsg import Campaign

    box.settings.rate_quota = {"singlesendmsg": (600, 60)}
    box.settings.daily_quota = {"singlesendmsg": 2}
    async with wechat(box, pace=None) as channel:
        campaign = Campaign(channel, MESSAGE, ids(3))
        plan = await campaign.plan()
        await campaign.discard()
    assert any("quota says" in notice for notice in plan.notices)
    assert any("2 single calls left" in notice for notice in plan.notices)
    box.faults = FaultPlan([Fault(endpoint="quota_get", kind="html")])
    async with wechat(box, pace=None) as channel:
        campaign = Campaign(channel, MESSAGE, ids(3))
        plan = await campaign.plan()
        await campaign.discard()
    assert any("50 singles a second" in notice for notice in plan.notices)
