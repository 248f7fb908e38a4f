"""What gateways, proxies and a provider that is asked too often answer, and a campaign makes of it."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from campaigning import MESSAGE, QUICK, ids, wechat
from chaos.hurried_clock import HurriedClock
from clocks import FakeClock
from fault_campaigns import keys, message, wallet_users
from raw_server import RawServer, Reader, Writer, certificate, read_request, reply, serve
from waiting import real_time

import promomsg
from promomsg import (
    AlipayMiniProgram,
    Campaign,
    NotSent,
    Pace,
    PollPolicy,
    ProviderError,
    Recipient,
    WeChatPromoter,
)
from promomsg.sandbox import Fault, FaultPlan, Sandbox

pytestmark = pytest.mark.asyncio

MIDNIGHT = 1_760_025_600.0
"""Of a China-time day."""
TOKEN = "77_" + "aB3-dE6_gH9jK" * 12
OK = b'{"errcode":0,"errmsg":"ok"}'
Answers = Callable[[str, int], bytes]


def by_path(answer: Answers) -> Callable[[Reader, Writer, RawServer], Awaitable[None]]:
    """A server that answers by endpoint: `answer(name, number of its calls)`."""
    calls: dict[str, int] = {}

    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        while await read_request(reader, server):
            name = server.requests[-1][0].split(b" ")[1].split(b"?")[0].decode().rpartition("/")[2]
            calls[name] = calls.get(name, 0) + 1
            writer.write(answer(name, calls[name]))

    return script


async def ended(
    run: Campaign,
    channel: WeChatPromoter,
    clock: FakeClock,
    step: Callable[[], float],
    look: Callable[[], object],
) -> promomsg.Report:
    """Moves the clock to the campaign's end, but not while a token call is under way."""
    waiting = asyncio.ensure_future(run.wait())
    while not waiting.done():
        look()
        if channel._account.tokens._fetching is None:
            await clock.advance(step())
        await real_time(0.001)  # sockets and threads do their work
    return waiting.result()


# The token call.


@pytest.mark.parametrize("count", [20, 60])
async def test_a_token_call_that_is_refused_for_a_minute_costs_a_minute_and_nobody(
    box: Sandbox, tmp_path: Path, count: int
) -> None:
    """More of them in a row than a recipient has attempts: a hold is no failure."""
    box.faults = FaultPlan([Fault(endpoint="stable_token", kind="throttle", calls=[*range(1, 12)])])
    clock = FakeClock()
    at: list[float] = []
    async with (
        wechat(box, clock=clock) as channel,
        Campaign(
            channel,
            MESSAGE,
            ids(count),
            journal=tmp_path / "a.db",
            clock=clock,
            poll=PollPolicy(first_after=0.01, every=0.02),
        ) as run,
    ):
        reasons = set()

        def look() -> None:
            reasons.add(run.progress["reason"].partition(";")[0])
            if box.calls["stable_token"] > len(at):
                at.append(clock.monotonic())

        report = await ended(run, channel, clock, lambda: 1.0, look)
    assert (report.state, report.sent) == ("done", count)
    assert box.calls["stable_token"] == 12
    assert all(later - earlier >= 58 for earlier, later in itertools.pairwise(at))
    assert {outcome.attempts for outcome in report.outcomes()} == {1}
    assert box.ledger.twice() == []
    if count < 50:
        assert "the provider asked to slow down" in reasons


async def test_a_direct_call_says_that_the_token_has_to_wait_and_asks_for_none(
    box: Sandbox,
) -> None:
    box.faults = FaultPlan([Fault(endpoint="stable_token", kind="throttle", calls=[*range(1, 2)])])
    clock = FakeClock()
    async with wechat(box, clock=clock) as channel:
        for _ in range(3):
            with pytest.raises(ProviderError) as caught:
                await channel.send_one(MESSAGE, Recipient(id="1"))
            assert (caught.value.code, caught.value.verdict) == ("45011", "THROTTLED")
            assert caught.value.retry_after is not None
            assert 50 < caught.value.retry_after <= 60
            await clock.advance(2.0)
        assert box.calls["stable_token"] == 1
        await clock.advance(60.0)
        assert (await channel.send_one(MESSAGE, Recipient(id="1"))).state == "sent"
    assert box.calls["stable_token"] == 2


async def test_a_token_call_whose_day_is_used_up_stops_the_campaign(
    box: Sandbox, tmp_path: Path
) -> None:
    box.faults = FaultPlan([Fault(endpoint="stable_token", kind="daily", calls=[1])])
    async with wechat(box) as channel:
        report = await promomsg.send(channel, MESSAGE, ids(20), journal=tmp_path / "a.db", **QUICK)
    assert (report.state, report.pending) == ("halted", 20)
    assert report.reason.startswith("45009")
    async with wechat(box) as channel, Campaign.resume(tmp_path / "a.db", channel, **QUICK) as run:
        assert (await run.wait()).sent == 20


@pytest.mark.parametrize("count", [20, 60])
async def test_or_is_waited_out_when_told_so(box: Sandbox, tmp_path: Path, count: int) -> None:
    box.faults = FaultPlan([Fault(endpoint="stable_token", kind="daily", calls=[1])])
    clock = FakeClock(start=MIDNIGHT - 3600)
    states = set()
    async with (
        wechat(box, clock=clock) as channel,
        Campaign(
            channel,
            MESSAGE,
            ids(count),
            journal=tmp_path / "a.db",
            clock=clock,
            on_daily_quota="wait",
            **QUICK,
        ) as run,
    ):
        report = await ended(
            run,
            channel,
            clock,
            lambda: 300.0 if clock.time() < MIDNIGHT + 40 else 1.0,
            lambda: states.add(run.progress["state"]),
        )
    assert (report.state, report.sent) == ("done", count)
    assert "waiting" in states
    assert box.ledger.twice() == []


# 429.


def channel_to(kind: str, server: RawServer, clock: Any) -> Any:
    if kind == "wechat":
        return WeChatPromoter(
            "wx1", "appsecret-0f1e2d3c4b5a", base_url=server.url, clock=clock,
            pace=Pace(unlimited=True),
        )  # fmt: skip
    return AlipayMiniProgram(
        "C1", "P1", keys().private_pem, verify=False, base_url=f"{server.url}/api", clock=clock,
        pace=Pace(unlimited=True),
    )  # fmt: skip


def in_a_while(seconds: int) -> str:
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + seconds))


@pytest.mark.parametrize("wait", ["120", "a date"])
@pytest.mark.parametrize("kind", ["wechat", "alipay"])
async def test_a_gateways_429_holds_everybody_for_as_long_as_it_says(
    kind: str, wait: str, tmp_path: Path
) -> None:
    """Nothing was sent: nobody is unknown, nobody failed, and all are sent after the wait."""
    done = b'{"result":{"resultCode":"SUCCESS","resultStatus":"S"}}'
    times: list[float] = []

    def answer(name: str, number: int) -> bytes:
        if name == "stable_token":
            return reply(b'{"access_token":"%b","expires_in":7200}' % TOKEN.encode())
        if name == "get":
            return reply(b'{"errcode":48001}')
        times.append(time.monotonic() * 600)
        if number == 3:
            after = "120" if wait == "120" else in_a_while(120)
            return reply(b"<html>slow</html>", "429 Too Many Requests", f"Retry-After: {after}")
        return reply(OK if kind == "wechat" else done)

    who = ids(10) if kind == "wechat" else wallet_users(10)
    clock = HurriedClock()
    async with serve(by_path(answer)) as server, channel_to(kind, server, clock) as channel:
        report = await promomsg.send(
            channel,
            MESSAGE if kind == "wechat" else message("alipay"),
            who,
            journal=tmp_path / "a.db",
            clock=clock,
            concurrency=1,
        )
    assert (report.state, report.sent, report.unknown, report.failed) == ("done", 10, 0, 0)
    assert len(times) == 11
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert max(pauses) >= 110


async def test_a_read_waits_as_long_as_it_is_asked_to_and_no_longer_than_a_minute() -> None:
    asked = {"getrole": "20", "getpromoter": "600"}

    def answer(name: str, number: int) -> bytes:
        if name == "stable_token":
            return reply(b'{"access_token":"%b","expires_in":7200}' % TOKEN.encode())
        if number == 1:
            return reply(b"", "429 Too Many Requests", f"Retry-After: {asked[name]}")
        return reply(b'{"errcode":0,"errmsg":"ok"}')

    clock = FakeClock(auto=True, grace=0.02)
    async with serve(by_path(answer)) as server, channel_to("wechat", server, clock) as channel:
        assert await channel.get_roles() == []
        assert max(clock.slept) == 20.0
        with pytest.raises(ProviderError) as caught:
            await channel.count_audience(promomsg.Roles([1]))
        assert (caught.value.code, caught.value.retry_after) == ("HTTP_429", 600.0)


# What no waiting mends.


@pytest.mark.parametrize("kind", ["wechat", "alipay"])
async def test_an_untrusted_certificate_halts_at_once(kind: str, tmp_path: Path) -> None:
    context, _ = certificate(tmp_path)
    text: Any = MESSAGE
    who: Any = ids(500)
    one = Recipient(id="1")
    if kind == "alipay":
        text, who = message("alipay"), wallet_users(500)
        one = Recipient(key="u", access_token="usertoken", params={"who": "x"})
    clock = HurriedClock()
    async with serve(by_path(lambda name, number: reply(OK)), context) as server:
        server.scheme = "https"
        async with channel_to(kind, server, clock) as channel:
            report = await promomsg.send(
                channel, text, who, journal=tmp_path / "a.db", concurrency=4, clock=clock
            )
            with pytest.raises(NotSent, match="certificate") as caught:
                await channel.send_one(text, one)
    assert (report.state, report.pending, report.unknown) == ("halted", 500, 0)
    assert "self-signed certificate" in report.reason
    assert "waiting does not help" in report.reason
    assert caught.value.permanent
    assert server.requests == []
    assert server.connections <= 2 * 4 + 2  # those that were out already


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_wants_a_password_halts_at_once(scheme: str, tmp_path: Path) -> None:
    """In the clear it answers the call itself, before TLS the CONNECT."""

    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        while await read_request(reader, server):
            writer.write(
                reply(b"<html>who are you</html>", "407 Proxy Authentication Required",
                      "Proxy-Authenticate: Basic realm=x")
            )  # fmt: skip

    clock = HurriedClock()
    async with serve(script) as proxy, WeChatPromoter(
        "wx1", "appsecret-0f1e2d3c4b5a", base_url=f"{scheme}://127.0.0.1:9", proxy=proxy.url,
        clock=clock,
    ) as channel:  # fmt: skip
        report = await promomsg.send(
            channel, MESSAGE, ids(200), journal=tmp_path / "a.db", clock=clock
        )
        with pytest.raises(NotSent, match="407") as caught:
            await channel.get_roles()
    assert (report.state, report.pending) == ("halted", 200)
    assert "the proxy answered 407; give its name and password" in report.reason
    assert caught.value.permanent
    assert len(proxy.requests) <= 4


async def test_a_407_without_a_proxy_of_ours_is_an_answer_like_a_page(tmp_path: Path) -> None:
    def answer(name: str, number: int) -> bytes:
        if name == "stable_token":
            return reply(b'{"access_token":"%b","expires_in":7200}' % TOKEN.encode())
        return reply(b"<html></html>", "407 Proxy Authentication Required")

    async with (
        serve(by_path(answer)) as server,
        channel_to("wechat", server, HurriedClock()) as channel,
    ):
        outcome = await channel.send_one(MESSAGE, Recipient(id="1"))
    assert (outcome.state, outcome.code) == ("unknown", "NO_ANSWER")


# Secrets said back.


def pieces_of(secret: str, text: str) -> list[str]:
    return [secret[at : at + 24] for at in range(len(secret) - 23) if secret[at : at + 24] in text]


ECHOES = [
    '{"errcode":43101,"errmsg":"%s"}',
    '{"errcode":43101,"errmsg":"PAD%s"}',
    '{"errcode":43101,"errmsg":"no rid: %s"}',
    '{"errcode":48001,"errmsg":"PAD%s rid: %s"}',
    '{"errcode":-1,"errmsg":"%s"}',
    '{"errcode":0,"msg_id":"%s"}',
    '{"errcode":"%s"}',
    "<html>%s</html>",
    "%s",
    '{"%s":1,"%s":2}',
]


@pytest.mark.parametrize("status", ["200 OK", "403 Forbidden", "429 Too Many Requests", "502 Bad"])
@pytest.mark.parametrize("echo", ECHOES)
async def test_a_token_that_is_said_back_is_stored_and_said_nowhere_not_in_pieces_either(
    echo: str, status: str, tmp_path: Path
) -> None:
    asked = 0

    def answer(name: str, number: int) -> bytes:
        nonlocal asked
        asked += 1
        if name == "stable_token":
            return reply(b'{"access_token":"%b","expires_in":7200}' % TOKEN.encode())
        said = echo.replace("%s", f"/x?access_token={TOKEN}&a={TOKEN[:-9]}" if asked % 2 else TOKEN)
        return reply(said.replace("PAD", "x" * (300 + asked)).encode(), status)

    path = tmp_path / "a.db"
    async with (
        serve(by_path(answer)) as server,
        channel_to("wechat", server, HurriedClock()) as channel,
    ):
        shown: list[str] = []
        for calls in (ids(4), ids(60)):
            report = await promomsg.send(
                channel, MESSAGE, calls, journal=path, clock=HurriedClock(), **QUICK
            )
            shown += [json.dumps(report.to_dict()), repr(list(report.outcomes()))]
            shown.append(path.read_bytes().decode("latin-1"))
            path.unlink()
        for call in (
            channel.get_roles,
            lambda: channel.get_delivery("1"),
            lambda: channel.send_one(MESSAGE, Recipient(id="1")),
            lambda: channel.count_audience(promomsg.Roles([1])),
        ):
            try:
                shown.append(repr(await call()))
            except promomsg.PromoError as error:
                shown.append(repr(error))
    assert not pieces_of(TOKEN, "\n".join(shown))


async def test_a_promoters_name_that_holds_the_token_is_told_without_it() -> None:
    def answer(name: str, number: int) -> bytes:
        if name == "stable_token":
            return reply(b'{"access_token":"%b","expires_in":7200}' % TOKEN.encode())
        if number > 1:
            return reply(b'{"errcode":103006}')
        row = {"id": "100", "name": f"a {TOKEN} b", "extra_info": TOKEN[5:90]}
        return reply(json.dumps({"errcode": 0, "promoter_list": [row]}).encode())

    async with (
        serve(by_path(answer)) as server,
        channel_to("wechat", server, HurriedClock()) as channel,
    ):
        (promoter,) = [promoter async for promoter in channel.iter_promoters()]
    assert (promoter.id, promoter.name) == ("100", "a … b")
    assert not pieces_of(TOKEN, repr(promoter))


@pytest.mark.parametrize("kind", [WeChatPromoter, AlipayMiniProgram, promomsg.TokenDatabase])
async def test_a_half_made_client_can_be_shown(kind: type) -> None:
    """By a crash reporter, whose own error would hide the first one."""
    half = kind.__new__(kind)
    assert kind.__name__ in repr(half)
