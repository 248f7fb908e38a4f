"""The channel against answers of every shape, without a socket (aioresponses)."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from promomsg import (
    Halted,
    NotSent,
    OutcomeUnknown,
    Pace,
    Promoters,
    ProviderError,
    Recipient,
    UsageError,
    WeChatMessage,
    WeChatPromoter,
)
from promomsg.model import IDEMPOTENT_CHANNELS, SingleSend, Verdict

MESSAGE = WeChatMessage(1, {"title": "今日优惠活动", "desc": "三件五折"}, "pages/index/index")
HOST = "https://api.weixin.qq.com"
TOKEN = f"{HOST}/cgi-bin/stable_token"
SINGLE = re.compile(rf"{HOST}/promoter/singlesendmsg\?access_token=.*")
GROUP = re.compile(rf"{HOST}/promoter/sendmsg\?access_token=.*")
GETMSG = re.compile(rf"{HOST}/promoter/getmsg\?access_token=.*")


def client(**changes: Any) -> WeChatPromoter:
    """An account at the real address."""
    given: dict[str, Any] = {"secret": "s3cret", "pace": Pace(unlimited=True), **changes}
    return WeChatPromoter("wx0001", **given)


def token(mocked: Any, value: str = "TOKEN-1", **more: Any) -> None:
    """One answer of the token endpoint."""
    mocked.post(TOKEN, payload={"access_token": value, "expires_in": 7200}, **more)


def sent(mocked: Any, name: str) -> list[Any]:
    """The bodies that went to one endpoint."""
    return [
        call.kwargs["data"]
        for (_, url), calls in mocked.requests.items()
        if url.path.endswith(f"/{name}")
        for call in calls
    ]


@pytest.mark.asyncio
async def test_the_pages_single_send_letter_for_letter(mocked: Any) -> None:
    token(mocked)
    mocked.post(SINGLE, payload={"errcode": 0, "errmsg": "ok"})
    async with client() as channel:
        outcome = await channel.send_one(MESSAGE, Recipient(openid="oABC"))
    assert outcome.state == "sent"
    [body] = sent(mocked, "singlesendmsg")
    raw = body if isinstance(body, bytes) else bytes(body._value)
    assert "今日优惠活动".encode() in raw
    assert b"\\u" not in raw
    assert json.loads(raw) == {
        "msg_type": 1,
        "content": '{"title":"今日优惠活动","desc":"三件五折"}',
        "path": "pages/index/index",
        "openid": "oABC",
    }


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("answer", "verdict", "code"),
    [
        ({"payload": {"errcode": 0}}, Verdict.SENT, ""),
        ({"payload": {"errcode": "0"}}, Verdict.SENT, ""),
        ({"payload": {"errcode": 43101, "errmsg": "no"}}, Verdict.FAILED, "43101"),
        ({"payload": {"errcode": "43101"}}, Verdict.FAILED, "43101"),
        ({"payload": {"errcode": 123456}}, Verdict.FAILED, "123456"),
        ({"payload": {"errcode": 45002}}, Verdict.REFUSED, "45002"),
        ({"payload": {"errcode": 45011}}, Verdict.THROTTLED, "45011"),
        ({"payload": {"errcode": 45009}}, Verdict.HALT, "45009"),
        ({"payload": {"errcode": -1}}, Verdict.UNKNOWN, "-1"),
        ({"payload": {}}, Verdict.UNKNOWN, None),
        ({"payload": []}, Verdict.UNKNOWN, None),
        ({"body": b"<html>busy</html>"}, Verdict.UNKNOWN, None),
        ({"body": b""}, Verdict.UNKNOWN, None),
        ({"body": b'{"errcode":0', "status": 200}, Verdict.UNKNOWN, None),
        ({"payload": {"errcode": 0}, "status": 502}, Verdict.UNKNOWN, None),
        ({"body": b"x", "status": 404}, Verdict.UNKNOWN, None),
    ],
    ids=str,
)
async def test_each_answer_is_one_verdict(
    mocked: Any, answer: dict[str, Any], verdict: Verdict, code: str | None
) -> None:
    token(mocked)
    mocked.post(SINGLE, **answer)
    async with client() as channel:
        compiled = channel.compile(MESSAGE)
        got = await channel.deliver(compiled, SingleSend(seq=0, key="k", id="7"))
    assert got.verdict == verdict
    if code is not None:
        assert got.code == code
    assert "TOKEN-1" not in got.detail


@pytest.mark.asyncio
async def test_a_refused_token_is_not_asked_for_again_by_those_who_come_late(mocked: Any) -> None:
    token(mocked, "OLD")
    token(mocked, "NEW")
    mocked.post(SINGLE, payload={"errcode": 42001}, repeat=3)
    mocked.post(SINGLE, payload={"errcode": 0}, repeat=True)
    async with client() as channel:
        compiled = channel.compile(MESSAGE)
        single_send = SingleSend(seq=0, key="k", id="7")
        first = await asyncio.gather(*(channel.deliver(compiled, single_send) for _ in range(3)))
        assert [a.verdict for a in first] == [Verdict.RETRY] * 3
        assert all(a.token_failed for a in first)
        again = await asyncio.gather(*(channel.deliver(compiled, single_send) for _ in range(3)))
    assert [a.verdict for a in again] == [Verdict.SENT] * 3
    assert len(sent(mocked, "stable_token")) == 2


@pytest.mark.asyncio
async def test_without_a_token_a_send_is_a_verdict_too(mocked: Any) -> None:
    mocked.post(TOKEN, status=503, body=b"")
    mocked.post(TOKEN, payload={"errcode": 40164, "errmsg": "invalid ip 1.2.3.4"})
    async with client() as channel:
        compiled = channel.compile(MESSAGE)
        single_send = SingleSend(seq=0, key="k", id="7")
        retry = await channel.deliver(compiled, single_send)
        halt = await channel.deliver(compiled, single_send)
    assert (retry.verdict, retry.code) == (Verdict.RETRY, "NOT_SENT")
    assert (halt.verdict, halt.code) == (Verdict.HALT, "40164")
    assert "1.2.3.4" in halt.detail
    assert sent(mocked, "singlesendmsg") == []


@pytest.mark.asyncio
async def test_prepare_says_now_or_never(mocked: Any) -> None:
    mocked.post(TOKEN, payload={"errcode": -1, "errmsg": "system error"})
    mocked.post(TOKEN, payload={"errcode": 40125, "errmsg": "bad s3cret"})
    token(mocked)
    async with client() as channel:
        with pytest.raises(NotSent):
            await channel.prepare()
        with pytest.raises(Halted, match="40125") as caught:
            await channel.prepare()
        assert "s3cret" not in str(caught.value)
        await channel.prepare()
        await channel.prepare()
    assert len(sent(mocked, "stable_token")) == 3


@pytest.mark.asyncio
async def test_a_token_call_that_ends_in_a_librarys_bug_says_in_what(mocked: Any) -> None:
    mocked.post(TOKEN, exception=TypeError("missing 'stream_writer'\nof s3cret-long-enough"))
    async with client(secret="s3cret-long-enough") as channel:
        with pytest.raises(NotSent) as caught:
            await channel.prepare()
    said = "no access token: the call for it ended in TypeError: missing 'stream_writer' of …"
    assert str(caught.value) == said


@pytest.mark.asyncio
async def test_a_token_source_that_raises_is_told_its_line_and_not_its_text() -> None:
    async def source(stale: str | None) -> str:
        found: dict[str, str] = {}
        await asyncio.sleep(0)
        return found["token-of-a-server-that-nobody-prints"]

    line = source.__code__.co_firstlineno + 3
    async with client(secret=None, token=source) as channel:
        with pytest.raises(NotSent) as caught:
            await channel.prepare()
    assert str(caught.value) == (
        "no access token: the token source raised KeyError at "
        f"test_channel_wechat_mocked.py, line {line}"
    )


@pytest.mark.asyncio
async def test_an_accepted_group_has_an_id(mocked: Any) -> None:
    token(mocked)
    mocked.post(GROUP, payload={"errcode": 0, "msg_id": 987})
    async with client() as channel:
        got = await channel.send_group(MESSAGE, Promoters([str(n) for n in range(50)]))
    assert got == "987"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (
            {"payload": {"errcode": 103001, "errmsg": "rid: 65b0a77b-3857ef84-7d2c553e"}},
            ProviderError,
        ),
        ({"payload": {"errcode": 0}}, OutcomeUnknown),
        ({"status": 500, "body": b"oops"}, OutcomeUnknown),
    ],
    ids=str,
)
async def test_a_group_that_was_not_accepted_raises(
    mocked: Any, answer: dict[str, Any], error: type[Exception]
) -> None:
    token(mocked)
    mocked.post(GROUP, **answer)
    async with client() as channel:
        with pytest.raises(error) as caught:
            await channel.send_group(MESSAGE, Promoters([str(n) for n in range(50)]))
    if isinstance(caught.value, ProviderError):
        assert caught.value.rid == "65b0a77b-3857ef84-7d2c553e"


@pytest.mark.asyncio
async def test_a_delivery_with_odd_fields_is_read_as_far_as_it_goes(mocked: Any) -> None:
    token(mocked)
    mocked.post(
        GETMSG,
        payload={
            "errcode": 0,
            "percent": "100",
            "send_cnt": 50,
            "fail_cnt": 2,
            "fail_info": [{"id": 7, "errcode": "103010"}, {"id": "8"}, "x"],
            "fail_openid_url": "https://example.com/f",
        },
    )
    async with client() as channel:
        delivery = await channel.get_delivery("1")
    assert (delivery.percent, delivery.fail_cnt) == (100, 2)
    assert [(f.id, f.code) for f in delivery.failures] == [("7", "103010")]
    assert delivery.fail_info_url == "https://example.com/f"
    assert delivery.warnings


@pytest.mark.asyncio
async def test_transience_is_the_providers_moment_not_its_word() -> None:
    channel = client()
    assert channel.is_transient(OutcomeUnknown("x"))
    assert channel.is_transient(NotSent("x"))
    assert channel.is_transient(ProviderError("-1", "busy", None, Verdict.UNKNOWN))
    assert not channel.is_transient(ProviderError("48001", "no", None, Verdict.HALT))
    await channel.close()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"appid": ""}, "appid"),
        ({"appid": "  "}, "appid"),
        ({"appid": "wx"}, "secret"),
        ({"appid": "wx", "secret": ""}, "secret"),
        ({"appid": "wx", "secret": "s", "base_url": "http://api.weixin.qq.com"}, "base_url"),
        ({"appid": "wx", "secret": "s", "timeout": 0}, "timeout"),
    ],
    ids=str,
)
def test_a_client_that_cannot_work_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        WeChatPromoter(**given)
    assert "\n" not in str(caught.value)


def test_a_secret_and_a_token_exclude_each_other() -> None:
    async def own(stale: str | None) -> str:
        return "t"

    with pytest.raises(UsageError, match="either"):
        WeChatPromoter("wx", "s", token=own)
    assert WeChatPromoter("wx", token=own).account == "wx"


def test_a_constructor_does_no_io_and_needs_no_loop() -> None:
    channel = client()
    assert channel.name not in IDEMPOTENT_CHANNELS
    assert (channel.account, channel.name, channel.idempotent) == ("wx0001", "wechat", False)
    assert channel.request_id("run", "key", 0) is None
    assert channel.notices == ()


def test_a_message_that_went_elsewhere_is_not_the_same() -> None:
    from promomsg.model import Delivery

    channel = client()
    compiled = channel.compile(MESSAGE)
    content = json.dumps(dict(MESSAGE.content))
    same = Delivery("1", content=content, path=MESSAGE.path, msg_type=1)
    assert channel.same_message(compiled, (), same)
    assert channel.same_message(compiled, (), Delivery("1", content=content, path=MESSAGE.path))
    for other in (
        Delivery("1", content=content, path="other", msg_type=1),
        Delivery("1", content=content, path=MESSAGE.path, msg_type=2),
        Delivery("1", content="{", path=MESSAGE.path),
        Delivery("1", content=None, path=MESSAGE.path),
        Delivery("1", content='{"title":"x"}', path=MESSAGE.path),
    ):
        assert not channel.same_message(compiled, (), other)
