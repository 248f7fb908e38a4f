"""The wallet channel over the wire, against the sandbox, which shares no code with it."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import aiohttp
import msgspec
import pytest
import pytest_asyncio
from clocks import FakeClock
from wallet_channel import MESSAGE, Memory, deliver, keys, made, single_send

from promomsg.channels.alipay import AlipayMiniProgram
from promomsg.channels.base import Channel
from promomsg.errors import (
    Halted,
    NotSent,
    ProviderError,
    UsageError,
)
from promomsg.model import IDEMPOTENT_CHANNELS, Code, Recipient, Secret, State, Verdict
from promomsg.sandbox import Fault, FaultPlan, Sandbox, SandboxSettings

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def box() -> AsyncIterator[Sandbox]:
    settings = SandboxSettings(client_public_key=keys().public_base64, alipay_prefix="/acl/api")
    async with Sandbox(settings=settings) as sandbox:
        yield sandbox
        assert list(sandbox.complaints) == []


def signing_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("promomsg-signing")]


async def test_it_is_a_channel_that_dedupes_and_never_groups(box: Sandbox) -> None:
    channel: Channel = made(box)
    assert channel.name in IDEMPOTENT_CHANNELS
    assert (channel.name, channel.idempotent, channel.needs_tokens, channel.groups) == (
        "alipay",
        True,
        True,
        False,
    )
    assert channel.account == "CLIENT_1/P1"
    assert channel.notices == ()
    assert channel.daily_quota_codes == frozenset()
    assert await channel.advise() is None
    await channel.prepare()
    channel.expect(200)
    assert await channel.pacer.singles.gate()


@pytest.mark.parametrize("encoding", ["percent", "base64", "base64url"])
async def test_a_send_is_signed_over_its_very_bytes_and_prefix(box: Sandbox, encoding: Any) -> None:
    box.settings.signature_encoding = encoding
    box.settings.key_versions = [4]
    async with made(box, signature_encoding=encoding, key_version=4) as channel:
        answer = await deliver(channel, single_send())
    assert answer.verdict is Verdict.SENT
    assert answer.msg_id
    assert box.ledger.delivered == {"token-u1": 1}
    (call,) = box.calls.requests
    assert "小明🎉".encode() in call.body
    assert call.headers["Content-Type"] == "application/json; charset=UTF-8"
    assert datetime.fromisoformat(call.headers["Request-Time"]).tzinfo is not None


async def test_the_same_request_id_delivers_once_whatever_happened_to_the_answer(
    box: Sandbox,
) -> None:
    box.faults = FaultPlan([Fault(endpoint="alipay.send", kind="drop_after_delivering", calls=[1])])
    async with made(box) as channel:
        lost = await deliver(channel, single_send())
        assert (lost.verdict, lost.code) == (Verdict.UNKNOWN, Code.NO_ANSWER)
        again = await deliver(channel, single_send())
    assert again.verdict is Verdict.SENT
    assert box.ledger.delivered == {"token-u1": 1}


@pytest.mark.parametrize(
    ("fault", "verdict", "code"),
    [
        ({"kind": "html"}, Verdict.UNKNOWN, "NO_ANSWER"),
        ({"kind": "truncate"}, Verdict.UNKNOWN, "NO_ANSWER"),
        ({"kind": "status"}, Verdict.UNKNOWN, "NO_ANSWER"),
        ({"kind": "reset_before_reading"}, Verdict.UNKNOWN, "NO_ANSWER"),
        ({"kind": "minus_one"}, Verdict.UNKNOWN, "UNKNOWN_EXCEPTION"),
        ({"kind": "throttle"}, Verdict.THROTTLED, "REQUEST_TRAFFIC_EXCEED_LIMIT"),
        ({"kind": "token_invalid"}, Verdict.FAILED, "INVALID_ACCESS_TOKEN"),
        ({"kind": "unsigned"}, Verdict.UNKNOWN, "UNSIGNED"),
        ({"kind": "bad_signature"}, Verdict.UNKNOWN, "UNSIGNED"),
        ({"kind": "result", "result": "TEMPLATE_NOT_EXIST"}, Verdict.REFUSED, "TEMPLATE_NOT_EXIST"),
        ({"kind": "result", "result": "ACCESS_DENIED"}, Verdict.HALT, "ACCESS_DENIED"),
    ],
)
async def test_each_fault_has_its_verdict(
    box: Sandbox, fault: dict[str, Any], verdict: Verdict, code: str
) -> None:
    box.faults = FaultPlan([Fault(endpoint="alipay.send", **fault)])
    async with made(box) as channel:
        answer = await deliver(channel, single_send())
    assert (answer.verdict, answer.code) == (verdict, code)


async def test_nothing_left_when_nobody_listens(box: Sandbox) -> None:
    async with made(box) as channel:
        await box.stop_listening()
        answer = await deliver(channel, single_send())
    assert (answer.verdict, answer.code) == (Verdict.RETRY, Code.NOT_SENT)


async def test_an_unsigned_refusal_is_believed(box: Sandbox) -> None:
    box.settings.unsigned_f = True
    box.settings.user_results = {"token-u1": "USER_NOT_SUBSCRIBED"}
    async with made(box) as channel:
        answer = await deliver(channel, single_send())
    assert (answer.verdict, answer.code) == (Verdict.FAILED, "USER_NOT_SUBSCRIBED")


async def test_without_verification_an_unsigned_success_is_believed_and_said(box: Sandbox) -> None:
    box.settings.success_signature = "unsigned"
    async with made(box, public_key=None, verify=False) as channel:
        (notice,) = channel.notices
        assert "verify" in notice
        assert (await deliver(channel, single_send())).verdict is Verdict.SENT


async def test_a_wallet_that_never_signs_stops_the_run(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("promomsg.channels.alipay_account._MOST_UNPROVED", 3)
    box.settings.success_signature = "unsigned"
    async with made(box) as channel:
        for number in range(3):
            await channel.prepare()
            await deliver(channel, single_send(f"u{number}"))
        with pytest.raises(Halted, match="public_key"):
            await channel.prepare()
        box.settings.success_signature = "good"
        await deliver(channel, single_send("u9"))
        await channel.prepare()


async def test_a_wallet_that_signs_with_another_key_stops_the_run_at_once(box: Sandbox) -> None:
    """One recipient is enough: no waiting mends a wrong key."""
    box.settings.success_signature = "bad"
    async with made(box) as channel:
        for _ in range(3):
            await channel.prepare()
            await deliver(channel, single_send("u1"))
        with pytest.raises(Halted, match="another key than public_key"):
            await channel.prepare()
        box.settings.success_signature = "good"
        await deliver(channel, single_send("u1"))
        await channel.prepare()


async def test_the_own_public_key_is_refused_as_the_wallets(box: Sandbox) -> None:
    """The portal shows both: each recipient was called eight times, and all were unknown."""
    for own in (keys().public_pem, keys().public_base64, keys().public_base64.encode()):
        with pytest.raises(UsageError, match="public_key: this is your own public key"):
            made(box, public_key=own)


async def test_a_few_unproved_answers_stop_nothing(box: Sandbox) -> None:
    box.settings.success_signature = "unsigned"
    async with made(box) as channel:
        for _ in range(8):
            for number in range(10):
                assert (await deliver(channel, single_send(f"u{number}"))).code == Code.UNSIGNED
                await channel.prepare()


async def test_a_wallet_that_echoes_the_token_does_not_leak_it(box: Sandbox) -> None:
    body = '{"result": {"resultCode": "PARAM_ILLEGAL", "resultStatus": "F", "resultMessage": "bad token-u1!"}}'
    box.faults = FaultPlan([Fault(endpoint="alipay.send", kind="garbage", body=body)])
    async with made(box) as channel:
        answer = await deliver(channel, single_send())
    assert answer.detail == "bad …!"
    assert "token-u1" not in repr(channel)


async def test_a_single_send_without_token_or_request_id_goes_nowhere(box: Sandbox) -> None:
    async with made(box) as channel:
        for lacking in (single_send(token=None), single_send(request_id=None)):
            answer = await deliver(channel, lacking)
            assert (answer.verdict, answer.code) == (Verdict.FAILED, Code.NO_ADDRESS)
    assert list(box.calls.requests) == []


async def test_sends_that_go_together_are_each_signed_for_themselves(box: Sandbox) -> None:
    """Beside the loop, in threads that end with the client."""
    async with made(box) as channel:
        sends = [single_send(f"u{n}", f"token-u{n}") for n in range(60)]
        answers = await asyncio.gather(*[deliver(channel, to) for to in sends])
        assert {answer.verdict for answer in answers} == {Verdict.SENT}
        assert signing_threads() != []
    assert signing_threads() == []
    assert box.ledger.delivered == {f"token-u{n}": 1 for n in range(60)}
    assert len({call.headers["Signature"] for call in box.calls.requests}) == 60


async def test_one_answer_that_is_badly_signed_among_many_is_the_only_unknown(box: Sandbox) -> None:
    box.faults = FaultPlan(
        [
            Fault(endpoint="alipay.send", kind="bad_signature", calls=[7]),
            Fault(endpoint="alipay.send", kind="unsigned", calls=[20]),
        ]
    )
    async with made(box) as channel:
        answers = await asyncio.gather(*[deliver(channel, single_send(f"u{n}")) for n in range(60)])
        await channel.prepare()  # the key is the right one, as the others prove
    codes = [(answer.verdict, answer.code) for answer in answers]
    assert codes.count((Verdict.UNKNOWN, Code.UNSIGNED)) == 2
    assert codes.count((Verdict.SENT, "")) == 58


async def test_a_request_has_the_same_headers_whoever_makes_the_call(box: Sandbox) -> None:
    clock = FakeClock(start=1_763_985_600.1239)
    async with made(box, clock=clock) as ours:
        await deliver(ours, single_send("u1"))
        clock.jump(1)
        await deliver(ours, single_send("u1"))
    async with (
        aiohttp.ClientSession() as session,
        made(box, clock=clock, session=session) as theirs,
    ):
        await deliver(theirs, single_send("u1"))
    first, second, by_aiohttp = (dict(call.headers) for call in box.calls.requests)
    assert second == by_aiohttp
    assert first["Request-Time"] == "2025-11-24T12:00:00.123+00:00"
    assert second["Request-Time"] == "2025-11-24T12:00:01.123+00:00"
    assert first["Signature"] != second["Signature"]


async def test_a_send_that_is_cancelled_while_it_is_signed_leaves_nothing(box: Sandbox) -> None:
    async with made(box) as channel:
        tasks = [asyncio.create_task(deliver(channel, single_send(f"u{n}"))) for n in range(40)]
        await asyncio.sleep(0)  # all of them wait for their signatures
        for task in tasks[::2]:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError) for one in done[::2])
    assert [getattr(one, "verdict", None) for one in done[1::2]] == [Verdict.SENT] * 20
    assert len(box.calls.requests) == 20


async def test_a_client_that_is_closed_while_it_signs_sends_nothing_more(box: Sandbox) -> None:
    channel = made(box)
    tasks = [asyncio.create_task(deliver(channel, single_send(f"u{n}"))) for n in range(40)]
    await asyncio.sleep(0)
    await channel.close()
    assert {(a.verdict, a.code) for a in await asyncio.gather(*tasks)} == {
        (Verdict.HALT, Code.CLIENT)
    }
    assert signing_threads() == []
    assert list(box.calls.requests) == []


@pytest.mark.parametrize("together", [1, 20])
async def test_what_cannot_be_signed_is_not_in_doubt(
    together: int, box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> str:
        raise ValueError("Digest too large for key size. token-u1")

    async with made(box) as channel:
        monkeypatch.setattr("promomsg.alipay.signing.sign_content", broken)
        answers = await asyncio.gather(
            *[deliver(channel, single_send(f"u{n}")) for n in range(together)]
        )
        assert {(a.verdict, a.code, a.detail) for a in answers} == {
            (Verdict.HALT, Code.CLIENT, "the request cannot be signed: ValueError")
        }
        with pytest.raises(UsageError, match="cannot be signed"):
            await channel.apply_token(auth_code="code")
    assert list(box.calls.requests) == []


# send_one


async def test_send_one_gives_an_outcome_without_token_and_with_its_request_id(
    box: Sandbox,
) -> None:
    async with made(box, extra={"customerBelongsTo": "TNG"}) as channel:
        to = Recipient(key="u1", access_token="token-u1", params={"who": "小王"})
        outcome = await channel.send_one(MESSAGE, to)
        assert outcome.state is State.SENT
        assert outcome.recipient.access_token is None
        assert len(outcome.recipient.request_id or "") == 48
        again = msgspec.structs.replace(outcome.recipient, access_token=Secret("token-u1"))
        assert (await channel.send_one(MESSAGE, again)).state is State.SENT
        assert box.ledger.delivered == {"token-u1": 1}
        assert (await channel.send_one(MESSAGE, to)).state is State.SENT
    assert box.ledger.delivered == {"token-u1": 2}
    assert b'"customerBelongsTo":"TNG"' in box.calls.requests[0].body


async def test_send_one_keeps_what_the_answer_holds(box: Sandbox) -> None:
    message = msgspec.structs.replace(MESSAGE, extend_info={"memo": "{who|m}"})
    async with made(box) as channel:
        to = Recipient(access_token="token-u1", request_id="trade-1")
        outcome = await channel.send_one(message, to)
    held = msgspec.json.decode(outcome.extra or "")
    assert held["extendInfo"] == '{"memo":"m"}'
    assert held["messageId"]
    assert list(box.ledger.requests) == ["trade-1"]


async def test_send_one_says_what_stopped_it(box: Sandbox) -> None:
    async with made(box) as channel:
        with pytest.raises(UsageError, match="no access_token"):
            await channel.send_one(MESSAGE, Recipient(key="u1"))
        for to in ("token-u1", {"access_token": "token-u1"}, None):
            with pytest.raises(UsageError, match="is not a recipient") as refused:
                await channel.send_one(MESSAGE, to)  # type: ignore[arg-type]
            assert "token-u1" not in str(refused.value)
        for bad in ("1.2E+17", "null", "a b"):
            with pytest.raises(UsageError, match=f"request_id '{re.escape(bad)}'"):
                await channel.send_one(MESSAGE, Recipient(access_token="t", request_id=bad))
        with pytest.raises(UsageError, match="empty cell"):
            await channel.send_one(MESSAGE, Recipient("k", access_token="null"))
        with pytest.raises(UsageError, match="not dict"):
            await channel.send_one({}, Recipient(access_token="t"))  # type: ignore[arg-type]
        box.faults = FaultPlan([Fault(endpoint="alipay.send", result="INVALID_CLIENT")])
        with pytest.raises(ProviderError) as caught:
            await channel.send_one(MESSAGE, Recipient(access_token="t"))
        assert caught.value.verdict is Verdict.HALT
        await box.stop_listening()
        with pytest.raises(NotSent):
            await channel.send_one(MESSAGE, Recipient(access_token="t"))


# Addresses and requestIds


async def test_addresses_are_checked_before_anything_is_sent(box: Sandbox) -> None:
    channel = made(box)

    def check(token: str | None = "tok/en", request_id: str | None = None) -> Code | None:
        problem = channel.check_address(None, None, None, token, request_id)
        assert problem is None or not token or token not in problem.detail
        return None if problem is None else problem.code

    assert check() is None
    assert check("t" * 128, "r" * 64) is None
    assert check(None) is Code.NO_ADDRESS
    assert check("") is Code.NO_ADDRESS
    assert check("t" * 129) is Code.OVER_LIMIT
    assert check("tok en") is Code.BAD_ADDRESS
    assert check("t\ud800") is Code.BAD_ADDRESS
    assert check(request_id="r" * 65) is Code.OVER_LIMIT
    assert check(request_id="") is Code.BAD_ADDRESS
    assert check(request_id="a\nb") is Code.BAD_ADDRESS
    assert made(box, tokens=Memory()).check_address(None, None, None, None, None) is None


async def test_request_ids_come_from_run_key_and_generation(box: Sandbox) -> None:
    one, other = made(box), made(box)
    assert one.request_id("run", "u1", 0) == other.request_id("run", "u1", 0)
    assert one.request_id("run", "u1", 0) != one.request_id("run2", "u1", 0)


async def test_a_resumed_message_sends_the_same_bytes(box: Sandbox) -> None:
    first, later = made(box, extra={"authClientId": "A"}), made(box)
    compiled = first.compile(MESSAGE)
    again = later.compile_snapshot(compiled.snapshot())
    given: dict[str, Any] = {"app_id": "P", "access_token": Secret("t"), "request_id": "r"}
    assert again.body(("x",), **given) == compiled.body(("x",), **given)


# Constructor


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"public_key": None}, "verify = false"),
        ({"public_key": "nonsense!"}, "public_key: "),
        ({"pace": 5}, "give a Pace"),
        ({"session": 5}, "aiohttp.ClientSession"),
        ({"verify": "no"}, "verify: give True or False"),
        ({"signature_encoding": "hex"}, "signature_encoding: 'hex'"),
        ({"key_version": "1, signature=x"}, "key_version: "),
        ({"base_url": "http://wallet.example/api"}, "give https://"),
    ],
)
async def test_settings_that_cannot_be_right_are_refused(
    box: Sandbox, changed: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageError) as caught:
        made(box, **changed)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_ids_that_cannot_be_right_are_refused() -> None:
    given: dict[str, Any] = {"verify": False, "base_url": "https://wallet.example"}
    for client, app in (("", "P"), ("a b", "P"), ("c\r\nX: y", "P"), (5, "P"), ("c", "P" * 33)):
        with pytest.raises(UsageError, match=r"^(client|app)_id: "):
            AlipayMiniProgram(client, app, keys().private_pem, **given)  # type: ignore[arg-type]
