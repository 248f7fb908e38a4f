"""The HTTP status and the provider's request id, on every error and outcome that has one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from campaigning import QUICK, wechat
from network_routes import ROUTES, route
from raw_server import RawServer, Reader, Writer, read_request, reply, serve

import promomsg
from promomsg import (
    AlipayMessage,
    AlipayMiniProgram,
    ContentTemplate,
    Halted,
    NotSent,
    OutcomeUnknown,
    Pace,
    PromoError,
    Promoters,
    ProviderError,
    Recipient,
    State,
    TransportError,
    WeChatMessage,
    WeChatPromoter,
)
from promomsg.alipay.signing import make_key_pair
from promomsg.sandbox import Fault, FaultPlan, Sandbox

pytestmark = pytest.mark.asyncio

MESSAGE = WeChatMessage(1, {"title": "今日优惠活动"}, "pages/index/index")
WALLET_MESSAGE = AlipayMessage("TP_1", [ContentTemplate({"who": "x"}, "en-US")], redirect_url="/p")
TO = Recipient(id="1001")
USER = Recipient("u1", access_token="token-of-u1")
RID = "65b0a77b-3857ef84-7d2c553e"
IDS = [str(n) for n in range(1000, 1060)]
CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{"


def said(errcode: object, status: str = "200 OK", words: str = f"words rid: {RID}") -> bytes:
    return reply(f'{{"errcode":{errcode},"errmsg":"{words}"}}'.encode(), status)


def answering(answer: bytes) -> Callable[[Reader, Writer, RawServer], Any]:
    """A provider that gives a token, and one answer to everything else."""

    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        while await read_request(reader, server):
            if b"stable_token" in server.requests[-1][0]:
                writer.write(reply(b'{"access_token":"TOKEN-1","expires_in":7200}'))
                continue
            writer.write(answer)
            if answer == CUT:
                return

    return script


def client(url: str, **given: Any) -> WeChatPromoter:
    pace = Pace(unlimited=True)
    return WeChatPromoter("wx0001", "s3cret-of-nobody", base_url=url, pace=pace, **given)


SINGLES = {
    "sent": (reply(b'{"errcode":0,"errmsg":"ok"}'), State.SENT, 200, None),
    "sent, in other words": (said(0, "201 Created"), State.SENT, 201, None),
    "refused": (said(43101), State.FAILED, 200, RID),
    "refused with a 400": (said(43101, "400 Bad Request"), State.FAILED, 400, RID),
    "not well": (said(-1), State.UNKNOWN, 200, RID),
    "a 500 with an errcode": (said(43101, "500 Oops"), State.UNKNOWN, 500, RID),
    "a page": (reply(b"<html>502</html>", "502 Bad Gateway"), State.UNKNOWN, 502, None),
    "an errcode of 0 in a 404": (said(0, "404 Not Found"), State.UNKNOWN, 404, RID),
    "no errcode": (said('"x"'), State.UNKNOWN, 200, RID),
    "a rid of another shape": (said(43101, words="rid: none-of-these"), State.FAILED, 200, None),
    "a cut answer": (CUT, State.UNKNOWN, 200, None),
}


@pytest.mark.parametrize("case", SINGLES)
async def test_the_outcome_of_a_single_send(case: str) -> None:
    answer, state, status, rid = SINGLES[case]
    async with serve(answering(answer)) as server, client(server.url) as channel:
        outcome = await channel.send_one(MESSAGE, TO)
    assert (outcome.state, outcome.status, outcome.rid) == (state, status, rid)


ERRORS = {
    "halted": (said(48001), ProviderError, 200, RID),
    "throttled": (said(45011), ProviderError, 200, RID),
    "a gateway's 429": (
        reply(b"slow down", "429 Too Many Requests", "Retry-After: 1"), ProviderError, 429, None,
    ),
    "a 429 with a rid": (said('"x"', "429 Too Many Requests"), ProviderError, 429, RID),
    "a page": (reply(b"<html>502</html>", "502 Bad Gateway"), OutcomeUnknown, 502, None),
    "a 503 with a rid": (said(-1, "503 Busy"), OutcomeUnknown, 503, RID),
    "a cut answer": (CUT, OutcomeUnknown, 200, None),
    "accepted without msg_id": (said(0), OutcomeUnknown, 200, RID),
}  # fmt: skip


@pytest.mark.parametrize("case", ERRORS)
async def test_the_error_of_a_group_send_and_of_a_read(case: str) -> None:
    answer, kind, status, rid = ERRORS[case]
    async with serve(answering(answer)) as server, client(server.url) as channel:
        with pytest.raises(kind) as caught:
            await channel.send_group(MESSAGE, Promoters(IDS))
        assert (caught.value.status, caught.value.rid) == (status, rid)  # type: ignore[attr-defined]
        if case == "accepted without msg_id":
            return  # a poll without figures is an answer
        with pytest.raises(kind) as caught:
            await channel.get_delivery("1")
        assert (caught.value.status, caught.value.rid) == (status, rid)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ROUTES)
async def test_every_way_to_the_provider_tells_the_status_of_half_an_answer(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = CUT.replace(b"200 OK", b"503 Busy")

    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        if await read_request(reader, server):
            writer.write(half)

    async def token(stale: str | None) -> str:
        return "TOKEN-1"

    pace = Pace(unlimited=True)
    async with (
        route(name, script, tmp_path, monkeypatch) as (_, url, options, _traced),
        WeChatPromoter("wx0001", token=token, base_url=url, pace=pace, **options) as channel,
    ):
        outcome = await channel.send_one(MESSAGE, TO)
    assert (outcome.state, outcome.status) == (State.UNKNOWN, 503)


TOKENS = {
    "a wrong secret": (said(40125), ProviderError, Halted, 200, RID),
    "not well": (said(-1), NotSent, NotSent, 200, RID),
    "a page": (reply(b"<html>502</html>", "502 Bad Gateway"), NotSent, NotSent, 502, None),
    "too many": (said(45011), ProviderError, NotSent, 200, RID),
}


@pytest.mark.parametrize("case", TOKENS)
async def test_what_the_token_call_said_is_on_what_it_led_to(case: str) -> None:
    answer, of_send, of_prepare, status, rid = TOKENS[case]

    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        while await read_request(reader, server):
            writer.write(answer)

    async with serve(script) as server, client(server.url) as channel:
        for kind, call in (
            (of_send, channel.send_one(MESSAGE, TO)),
            (of_prepare, channel.prepare()),
        ):
            with pytest.raises(kind) as caught:
                await call
            assert (caught.value.status, caught.value.rid) == (status, rid)  # type: ignore[attr-defined]


async def test_a_read_whose_token_is_refused_again_and_again_says_the_refusals() -> None:
    async with serve(answering(said(40001))) as server, client(server.url) as channel:
        with pytest.raises(Halted) as caught:
            await channel._account._read("/promoter/getrole", b"{}", None)
    assert (caught.value.status, caught.value.rid) == (200, RID)


@pytest.mark.parametrize("tunnel", [False, True])
async def test_a_proxy_that_refuses_is_heard_with_its_status(tunnel: bool) -> None:
    async def refuse(reader: Reader, writer: Writer, server: RawServer) -> None:
        while await read_request(reader, server):
            writer.write(reply(b"", "407 Proxy Authentication Required"))

    async with serve(refuse) as proxy:
        base = "https://api.example" if tunnel else "http://127.0.0.1:9"
        async with client(base, proxy=proxy.url) as channel:
            with pytest.raises(NotSent) as caught:
                await channel.send_one(MESSAGE, TO)
    assert (caught.value.permanent, caught.value.status) == (True, 407)


async def test_without_an_answer_there_is_no_status() -> None:
    async def token(stale: str | None) -> str:
        return "TOKEN-1"

    async def close(reader: Reader, writer: Writer, server: RawServer) -> None:
        await read_request(reader, server)

    async with (
        serve(close) as server,
        WeChatPromoter("wx0001", token=token, base_url=server.url) as channel,
    ):
        outcome = await channel.send_one(MESSAGE, TO)
        assert (outcome.state, outcome.status) == (State.UNKNOWN, None)
    async with WeChatPromoter("wx0001", token=token, base_url=server.url) as channel:
        with pytest.raises(NotSent) as caught:
            await channel.send_one(MESSAGE, TO)
        assert (caught.value.status, caught.value.rid) == (None, None)


def wallet(url: str) -> AlipayMiniProgram:
    return AlipayMiniProgram(
        "C1",
        "P1",
        make_key_pair().private_pem,
        verify=False,
        base_url=url,
        pace=Pace(unlimited=True),
    )


def result(code: str, status: str, http: str = "200 OK") -> bytes:
    body = f'{{"result":{{"resultCode":"{code}","resultStatus":"{status}","resultMessage":"m"}}}}'
    return reply(body.encode(), http)


WALLET = {
    "sent": (result("SUCCESS", "S"), State.SENT, 200),
    "sent, in other words": (result("SUCCESS", "S", "201 Created"), State.SENT, 201),
    "refused": (result("USER_STATUS_ERROR", "F", "400 Bad Request"), State.FAILED, 400),
    "unknown": (result("UNKNOWN_EXCEPTION", "U"), State.UNKNOWN, 200),
    "a page": (reply(b"<html>502</html>", "502 Bad Gateway"), State.UNKNOWN, 502),
    "a cut answer": (CUT, State.UNKNOWN, 200),
    "halted": (result("INVALID_CLIENT", "F", "401 Unauthorized"), ProviderError, 401),
    "a gateway's 429": (reply(b"slow", "429 Too Many Requests"), ProviderError, 429),
}


@pytest.mark.parametrize("case", WALLET)
async def test_a_wallets_answers_have_a_status_and_never_a_rid(case: str) -> None:
    answer, came, status = WALLET[case]
    async with serve(answering(answer)) as server, wallet(server.url) as channel:
        if isinstance(came, State):
            outcome = await channel.send_one(WALLET_MESSAGE, USER)
            assert (outcome.state, outcome.status, outcome.rid) == (came, status, None)
        else:
            with pytest.raises(came) as caught:
                await channel.send_one(WALLET_MESSAGE, USER)
            assert (caught.value.status, caught.value.rid) == (status, None)  # type: ignore[attr-defined]
        if came is not State.SENT:
            with pytest.raises(PromoError) as refused:
                await channel.apply_token(auth_code="a-code-of-nobody")
            assert refused.value.status == status  # type: ignore[attr-defined]


async def test_an_outcome_of_a_campaign_has_the_status_in_its_detail(box: Sandbox) -> None:
    """No journal has a column for it."""
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="html")])
    async with (
        wechat(box) as channel,
        promomsg.Campaign(channel, MESSAGE, ["1001"], **QUICK) as run,
    ):
        (outcome,) = [outcome async for outcome in run]
    assert (outcome.state, outcome.status) == (State.UNKNOWN, None)
    assert outcome.detail.startswith("HTTP 200 that is not JSON")


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (reply(b"", "403 Forbidden"), 403),
        (reply(b"", "302 Found", "Location: http://10.0.0.1/"), 302),
        (reply(b"x", "200 OK", "Content-Encoding: gzip"), 200),
    ],
)
async def test_a_failure_file_that_cannot_be_had_says_the_status(
    answer: bytes, status: int
) -> None:
    async with serve(answering(answer)) as server, client(server.url) as channel:
        with pytest.raises(TransportError) as caught:
            await channel.fetch_failures(f"{server.url}/file", 50)
    assert (caught.value.status, caught.value.rid) == (status, None)
