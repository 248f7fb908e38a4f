"""Which accounts a worker sends for: its own, whatever a campaign's row in the database says."""

from __future__ import annotations

import msgspec
import pytest
from clocks import FakeClock

from promomsg import Pace, UsageError, WeChatPromoter
from promomsg.fleet.accounts import AccountMissing, GivenChannels, PacesOfCampaigns
from promomsg.journal.records import CampaignRecord

HERE = "http://127.0.0.1:8080"


def campaign(
    account: str = "wx1",
    base_url: str = HERE,
    *,
    name: str = "autumn",
    run_id: str = "0" * 32,
) -> CampaignRecord:
    return CampaignRecord(
        name=name,
        channel="wechat",
        account=account,
        run_id=run_id,
        message={},
        base_url=base_url,
        created_at=0.0,
    )


def promoter(appid: str = "wx1", base_url: str = HERE, pace: Pace | None = None) -> WeChatPromoter:
    return WeChatPromoter(appid, "an-appsecret", base_url=base_url, pace=pace)


@pytest.mark.asyncio
async def test_a_campaign_gets_the_channel_of_its_account() -> None:
    one, other = promoter("wx1"), promoter("wx2")
    accounts = GivenChannels(one, other)
    assert await accounts.channel(campaign("wx1"), None) is one
    assert await accounts.channel(campaign("wx2"), None) is other


@pytest.mark.asyncio
async def test_a_sandbox_may_have_another_port_than_the_one_that_was_planned_with() -> None:
    one = promoter(base_url="http://localhost:9999")
    assert await GivenChannels(one).channel(campaign(), None) is one


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "row",
    [
        campaign("wx2"),
        campaign(base_url="https://elsewhere.example"),
        campaign(base_url="https://127.0.0.1.elsewhere.example"),
        campaign(base_url=""),
        msgspec.structs.replace(campaign(), channel="alipay"),
    ],
)
async def test_a_row_that_names_another_account_or_server_is_refused_in_one_line(
    row: CampaignRecord,
) -> None:
    with pytest.raises(AccountMissing) as refused:
        await GivenChannels(promoter()).channel(row, None)
    text = str(refused.value)
    assert "'autumn'" in text
    assert row.account in text
    assert "\n" not in text


def test_what_is_given_is_checked_before_anything_is_sent() -> None:
    with pytest.raises(UsageError, match="sends nothing"):
        GivenChannels()
    with pytest.raises(UsageError, match="two channels are of the wechat account wx1"):
        GivenChannels(promoter(), promoter())
    with pytest.raises(UsageError, match="str is not a channel"):
        GivenChannels("wx1")  # type: ignore[arg-type]
    assert "an-appsecret" not in repr(GivenChannels(promoter()))


@pytest.mark.asyncio
async def test_the_smaller_pace_of_the_campaigns_of_an_account_holds() -> None:
    channel = promoter()
    accounts = GivenChannels(channel)
    await accounts.channel(campaign(), Pace(singles_per_second=100, singles_per_day=5_000))
    await accounts.channel(campaign(run_id="1" * 32), Pace(singles_per_second=30))
    assert channel.pacer.pace.singles_per_second == 30
    assert channel.pacer.day_limit == 5_000
    await accounts.channel(campaign(run_id="2" * 32), Pace(unlimited=True))
    assert channel.pacer.pace.singles_per_second == 30
    alone = promoter("wx2")
    await GivenChannels(alone).channel(campaign("wx2"), Pace(unlimited=True))
    assert alone.pacer.pace.unlimited


@pytest.mark.asyncio
async def test_a_pace_of_the_channels_own_stays() -> None:
    channel = promoter(pace=Pace(singles_per_second=7))
    await GivenChannels(channel).channel(campaign(), Pace(singles_per_second=100))
    assert channel.pacer.pace.singles_per_second == 7


@pytest.mark.asyncio
async def test_the_pace_of_a_campaign_that_has_ended_holds_for_no_other() -> None:
    channel = promoter()
    accounts = GivenChannels(channel)
    slow, quick = (campaign(name=name, run_id=name * 4) for name in ("slow", "quick"))
    await accounts.channel(slow, Pace(singles_per_second=5))
    await accounts.channel(quick, Pace(singles_per_second=100))
    assert channel.pacer.pace.singles_per_second == 5
    accounts.not_sent_here(slow)
    assert channel.pacer.pace.singles_per_second == 100
    await accounts.channel(slow, None)  # its groups are looked at
    assert channel.pacer.pace.singles_per_second == 100
    accounts.not_sent_here(quick)
    assert channel.pacer.pace.singles_per_second == 100


@pytest.mark.asyncio
async def test_the_pace_of_a_campaign_that_makes_room_for_others_holds_until_it_comes_back() -> (
    None
):
    clock, channel = FakeClock(), promoter()
    paces = PacesOfCampaigns(clock)
    paces.ask(channel, "slow", Pace(singles_per_second=5))
    paces.ask(channel, "quick", Pace(singles_per_second=100))
    paces.has_stopped("slow", comes_back=True)
    await clock.advance(50)
    paces.forget_old()
    assert channel.pacer.pace.singles_per_second == 5
    paces.ask(channel, "slow", Pace(singles_per_second=5))
    paces.has_stopped("slow", comes_back=True)
    await clock.advance(50)
    paces.forget_old()
    assert channel.pacer.pace.singles_per_second == 5
    await clock.advance(11)  # others have sent it to its end meanwhile
    paces.forget_old()
    assert channel.pacer.pace.singles_per_second == 100


@pytest.mark.asyncio
async def test_the_pace_of_a_campaign_holds_however_long_it_is_sent() -> None:
    clock, channel = FakeClock(), promoter()
    paces = PacesOfCampaigns(clock)
    paces.ask(channel, "slow", Pace(singles_per_second=5))
    await clock.advance(7200)
    paces.ask(channel, "quick", Pace(singles_per_second=100))
    assert channel.pacer.pace.singles_per_second == 5
    paces.has_stopped("slow")
    assert channel.pacer.pace.singles_per_second == 100
