"""Access tokens that rotate and expire, and quotas by the China-time day and the sliding window."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sandbox_client import MESSAGE, Wire, wired

from promomsg.sandbox import SandboxSettings

pytestmark = pytest.mark.asyncio


async def try_token(wire: Wire, token: str) -> int:
    answer = await wire.call("/promoter/singlesendmsg", MESSAGE | {"id": "1"}, access_token=token)
    return int(answer["errcode"])


async def plain(wire: Wire, **query: str) -> dict[str, Any]:
    query = {"grant_type": "client_credential", "appid": "wx0", "secret": "s"} | query
    async with wire.http.get(f"{wire.box.url}/cgi-bin/token", params=query) as response:
        answer = json.loads(await response.read())
    assert isinstance(answer, dict)
    return answer


async def test_stable_token_is_the_same_for_everyone_with_its_remaining_life() -> None:
    async with wired() as (box, wire):
        first = await wire.stable()
        assert first["expires_in"] == 7200
        assert "errcode" not in first
        box.clock.advance(6000)
        again = await wire.stable()
        assert again["access_token"] == first["access_token"]
        assert 1195 <= again["expires_in"] <= 1200


async def test_stable_token_rotates_early_and_both_live_through_the_overlap() -> None:
    async with wired() as (box, wire):
        old = (await wire.stable())["access_token"]
        box.clock.advance(6950)
        new = (await wire.stable())["access_token"]
        assert new != old
        assert [await try_token(wire, t) for t in (old, new)] == [0, 0]
        box.clock.advance(251)
        assert [await try_token(wire, t) for t in (old, new)] == [42001, 0]
        assert (await wire.stable())["access_token"] == new


async def test_a_short_life_still_hands_out_the_same_token_twice() -> None:
    async with wired(settings=SandboxSettings(token_life=10)) as (box, wire):
        first = (await wire.stable())["access_token"]
        box.clock.advance(4)
        assert (await wire.stable())["access_token"] == first
        box.clock.advance(2)
        assert (await wire.stable())["access_token"] != first


async def test_force_refresh_kills_the_old_token_and_is_limited() -> None:
    async with wired() as (box, wire):
        old = (await wire.stable())["access_token"]
        new = (await wire.stable(force=True))["access_token"]
        assert [await try_token(wire, t) for t in (old, new)] == [40001, 0]
        assert (await wire.stable(force=True))["errcode"] == 45011
        for _ in range(19):
            box.clock.advance(31)
            assert "access_token" in await wire.stable(force=True)
        box.clock.advance(31)
        assert (await wire.stable(force=True))["errcode"] == 45009
        box.clock.advance(86_400)
        assert "access_token" in await wire.stable(force=True)


async def test_the_plain_token_call_ends_the_token_before_it() -> None:
    async with wired() as (box, wire):
        stable = (await wire.stable())["access_token"]
        old, new = [(await plain(wire))["access_token"] for _ in range(2)]
        assert [await try_token(wire, t) for t in (old, new)] == [0, 0]
        box.clock.advance(301)
        assert [await try_token(wire, t) for t in (old, new, stable)] == [40001, 0, 0]


async def test_wrong_credentials() -> None:
    async with wired(settings=SandboxSettings(accounts={"wx0": "s"})) as (_, wire):
        assert "access_token" in await wire.stable()
        assert (await wire.stable(appid="wx1"))["errcode"] == 40013
        assert (await wire.stable(secret="x"))["errcode"] == 40125
        assert (await wire.stable(appid=""))["errcode"] == 41002
        assert (await plain(wire, secret=""))["errcode"] == 41004
        assert (await wire.stable(grant_type="x"))["errcode"] == 40002
        assert (await wire.stable(force_refresh="yes"))["errcode"] == 47001


async def test_unknown_expired_and_unchecked_tokens() -> None:
    async with wired() as (box, wire):
        token = (await wire.stable())["access_token"]
        assert await try_token(wire, token[:-1]) == 40001
        assert await try_token(wire, "garbage") == 40014
        box.expire_tokens()
        assert await try_token(wire, token) == 42001
        assert (await wire.stable())["access_token"] != token
        box.settings.check_tokens = False
        assert await try_token(wire, "garbage") == 0


async def test_the_daily_quota_ends_at_china_midnight_or_by_clear_quota() -> None:
    settings = SandboxSettings(daily_quota={"singlesendmsg": 2}, token_life=10**6)
    async with wired(settings=settings) as (box, wire):

        async def shown(path: str = "/promoter/singlesendmsg") -> dict[str, Any]:
            return await wire.call(
                "/cgi-bin/openapi/quota/get", {"cgi_path": path}, access_token=wire.token
            )

        codes = [(await wire.single(id="1"))["errcode"] for _ in range(3)]
        assert codes == [0, 0, 45009]
        assert (await shown())["quota"] == {"daily_limit": 2, "used": 2, "remain": 0}
        unlimited = await shown("/promoter/sendmsg")
        assert unlimited == {"errcode": 0, "errmsg": "ok"}
        assert (await shown("/nosuch"))["errcode"] == 76021
        cleared = await wire.call("/cgi-bin/clear_quota", {"appid": "wx0"}, access_token=wire.token)
        assert cleared["errcode"] == 0
        other = await wire.call("/cgi-bin/clear_quota", {"appid": "wx9"}, access_token=wire.token)
        assert other["errcode"] == 40013
        codes = [(await wire.single(id="1"))["errcode"] for _ in range(3)]
        assert codes == [0, 0, 45009]
        day = box.clock.china_day()
        box.clock.advance(86_400)
        assert box.clock.china_day() > day
        assert (await wire.single(id="1"))["errcode"] == 0
        for _ in range(9):
            await wire.call("/cgi-bin/clear_quota", {"appid": "wx0"}, access_token=wire.token)
        for _ in range(2):
            again = await wire.call(
                "/cgi-bin/clear_quota", {"appid": "wx0"}, access_token=wire.token
            )
        assert again["errcode"] == 48006


async def test_the_rate_quota_is_a_sliding_window() -> None:
    settings = SandboxSettings(rate_quota={"singlesendmsg": 2, "getmsg": (1, 5)})
    async with wired(settings=settings) as (box, wire):

        async def send() -> int:
            return int((await wire.single(id="1"))["errcode"])

        assert await send() == 0
        box.clock.advance(30)
        assert [await send(), await send()] == [0, 45011]
        box.clock.advance(31)
        assert [await send(), await send()] == [0, 45011]
        shown = await wire.call(
            "/cgi-bin/openapi/quota/get", {"cgi_path": "/promoter/getmsg"}, access_token=wire.token
        )
        assert shown["rate_limit"] == {"call_count": 1, "refresh_second": 5}
        assert box.ledger.deliveries("1") == 3


async def test_arrivals_can_be_counted_in_any_window() -> None:
    async with wired() as (box, wire):
        for _ in range(5):
            await wire.single(id="1")
        assert box.calls.most_within("singlesendmsg", 60) == 5
        assert box.calls.most_within("singlesendmsg", 1e-9) == 1
        assert box.calls.most_within("getmsg", 60) == 0
        times = box.calls.times("singlesendmsg")
        assert times == sorted(times)
        assert len(times) == 5
