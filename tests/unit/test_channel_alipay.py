"""The wallet channel over the wire, against the sandbox, which shares no code with it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from functools import cache
from typing import Any

import anyio
import msgspec
import pytest
import pytest_asyncio
from waiting import until

from promomsg.alipay import signing
from promomsg.alipay.message import AlipayMessage
from promomsg.alipay.models import ContentTemplate, UserToken
from promomsg.channels.alipay import AlipayMiniProgram
from promomsg.channels.alipay_tokens import TOKEN_STORE
from promomsg.channels.base import Channel
from promomsg.errors import (
    Halted,
    JournalError,
    NotSent,
    OutcomeUnknown,
    ProviderError,
    UsageError,
)
from promomsg.model import Answer, Code, Recipient, Secret, SingleSend, State, Verdict
from promomsg.sandbox import Fault, FaultPlan, Sandbox, SandboxSettings, SandboxUser
from promomsg.transport.pace import Pace

pytestmark = pytest.mark.asyncio

MESSAGE = AlipayMessage(
    "TP_1", [ContentTemplate({"who": "{who|小明🎉}"}, "en-US")], redirect_url="/page/x"
)


@cache
def keys() -> signing.KeyPair:
    return signing.make_key_pair()


class Memory:
    """A `UserTokens` in a dictionary."""

    def __init__(self, **tokens: UserToken) -> None:
        self.tokens = dict(tokens)
        self.saved: list[str] = []
        self.fails: Exception | None = None

    async def get(self, key: str) -> UserToken | None:
        await anyio.sleep(0)
        if self.fails is not None:
            raise self.fails
        return self.tokens.get(key)

    async def save(self, key: str, token: UserToken) -> None:
        await anyio.sleep(0)
        self.tokens[key] = token
        self.saved.append(token.access_token.reveal())


def pair(access: str, refresh: str | None = None) -> UserToken:
    return UserToken(Secret(access), refresh_token=Secret(refresh) if refresh else None)


@pytest_asyncio.fixture
async def box() -> AsyncIterator[Sandbox]:
    settings = SandboxSettings(client_public_key=keys().public_base64, alipay_prefix="/acl/api")
    async with Sandbox(settings=settings) as sandbox:
        yield sandbox
        assert list(sandbox.complaints) == []


def made(box: Sandbox, **changed: Any) -> AlipayMiniProgram:
    given: dict[str, Any] = {
        "public_key": box.alipay_public_key,
        "base_url": box.url + "/acl/api",
        "pace": Pace(unlimited=True),
        **changed,
    }
    return AlipayMiniProgram("CLIENT_1", "P1", keys().private_pem, **given)


def single_send(key: str = "u1", token: str | None = "token-u1", **changed: Any) -> SingleSend:
    given = {"request_id": f"request-{key}", "token": Secret(token) if token else None, **changed}
    return SingleSend(seq=1, key=key, **given)


async def deliver(channel: AlipayMiniProgram, to: SingleSend) -> Answer:
    """One call, and what the engine does before the next one."""
    compiled = channel.compile(MESSAGE)
    to.values = compiled.values({}, to.key)
    answer = await channel.deliver(compiled, to)
    if answer.verdict is Verdict.RETRY and answer.token_failed:
        return await channel.renew(to, answer) or answer
    return answer


async def test_it_is_a_channel_that_dedupes_and_never_groups(box: Sandbox) -> None:
    channel: Channel = made(box)
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


# User tokens


@asynccontextmanager
async def expired(box: Sandbox, store: Memory, **more: Any) -> AsyncIterator[AlipayMiniProgram]:
    """A channel whose user u1 has an expired token and a refresh token."""
    box.settings.users = [
        SandboxUser(access_token="old-token", refresh_token="refresh-1", expired=True)
    ]
    async with made(box, tokens=store, **more) as channel:
        yield channel


async def test_an_expired_token_is_refreshed_saved_and_used_with_the_same_request_id(
    box: Sandbox,
) -> None:
    store = Memory(u1=pair("old-token", "refresh-1"))
    async with expired(box, store) as channel:
        first = await deliver(channel, single_send(token=None))
        assert (first.verdict, first.token_failed) == (Verdict.RETRY, True)
        assert len(store.saved) == 1
        assert (await deliver(channel, single_send(token=None))).verdict is Verdict.SENT
    new = store.tokens["u1"]
    assert box.ledger.delivered == {new.access_token.reveal(): 1}
    assert box.ledger.requests.keys() == {"request-u1"}
    assert new.refresh_token != Secret("refresh-1")
    assert new.access_token_expiry is not None


async def test_send_one_refreshes_by_itself(box: Sandbox) -> None:
    store = Memory(u1=pair("old-token", "refresh-1"))
    async with expired(box, store, extra={"authClientId": "A"}) as channel:
        outcome = await channel.send_one(MESSAGE, Recipient(key="u1"))
    assert outcome.state is State.SENT
    (refresh,) = [c for c in box.calls.requests if c.endpoint == "alipay.apply_token"]
    assert msgspec.json.decode(refresh.body) == {
        "appId": "P1",
        "grantType": "REFRESH_TOKEN",
        "authClientId": "A",
        "refreshToken": "refresh-1",
    }


async def test_many_sends_to_one_user_refresh_once(box: Sandbox) -> None:
    store = Memory(u1=pair("old-token", "refresh-1"))
    answers = []
    async with expired(box, store) as channel:

        async def one(number: int) -> None:
            answers.append(await deliver(channel, single_send(request_id=f"r{number}")))

        async with anyio.create_task_group() as group:
            for number in range(8):
                group.start_soon(one, number)
        assert channel._users is not None
        assert channel._users._locks == {}
    assert {answer.verdict for answer in answers} == {Verdict.RETRY}
    assert len(store.saved) == 1
    assert box.calls["alipay.apply_token"] == 1


async def test_a_cancelled_send_still_saves_the_refreshed_token(box: Sandbox) -> None:
    store = Memory(u1=pair("old-token", "refresh-1"))
    box.faults = FaultPlan([Fault(endpoint="alipay.apply_token", kind="slow", seconds=0.05)])
    async with expired(box, store) as channel:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:

                async def cancel_in_the_refresh() -> None:
                    await until(lambda: box.calls["alipay.apply_token"])
                    scope.cancel()

                group.start_soon(cancel_in_the_refresh)
                await deliver(channel, single_send())
        assert scope.cancel_called
        assert len(store.saved) == 1


async def test_without_a_refresh_token_a_refused_token_is_final(box: Sandbox) -> None:
    async with expired(box, Memory()) as channel:
        answer = await deliver(channel, single_send(token="old-token"))
    assert (answer.verdict, answer.code) == (Verdict.FAILED, "EXPIRED_ACCESS_TOKEN")
    assert "the token store has no refresh token for this user" in answer.detail
    assert "tokens = " not in answer.detail
    async with made(box) as plain:
        answer = await deliver(plain, single_send(token="old-token"))
    assert (answer.verdict, answer.code) == (Verdict.FAILED, "EXPIRED_ACCESS_TOKEN")
    assert answer.detail.endswith("with a token store (tokens = …) it would be refreshed")


async def test_a_refreshed_token_that_is_refused_too_is_final(box: Sandbox) -> None:
    store = Memory(u1=pair("old-token", "refresh-1"))
    async with expired(box, store) as channel:
        box.faults = FaultPlan([Fault(endpoint="alipay.send", kind="token_invalid")])
        assert (await deliver(channel, single_send())).verdict is Verdict.RETRY
        answer = await deliver(channel, single_send())
    assert answer.verdict is Verdict.FAILED
    assert "refused too" in answer.detail
    assert box.calls["alipay.apply_token"] == 1


async def test_a_refresh_that_gives_the_failed_token_again_is_final(box: Sandbox) -> None:
    store = Memory(u1=pair("old-token", "refresh-1"))
    async with expired(box, store) as channel:
        box.faults = FaultPlan(
            [Fault(endpoint="alipay.apply_token", kind="alter", set={"accessToken": "old-token"})]
        )
        answer = await deliver(channel, single_send())
    assert answer.verdict is Verdict.FAILED
    assert "again" in answer.detail
    assert store.tokens["u1"].refresh_token != Secret("refresh-1")


async def test_a_used_up_refresh_token_falls_back_to_the_rows_newer_token(box: Sandbox) -> None:
    store = Memory(u1=pair("old-token", "refresh-1"))
    async with expired(box, store) as channel:
        await channel.apply_token(refresh_token="refresh-1")
        assert (await deliver(channel, single_send(token="row-token"))).verdict is Verdict.RETRY
        assert (await deliver(channel, single_send(token="row-token"))).verdict is Verdict.SENT
    assert box.ledger.delivered == {"row-token": 1}


@pytest.mark.parametrize(("code", "calls"), [("INVALID_REFRESH_TOKEN", 1), ("PROCESS_FAIL", 2)])
async def test_a_refused_refresh_token_is_asked_for_once(
    box: Sandbox, code: str, calls: int
) -> None:
    store = Memory(u1=pair("old-token", "refresh-1"))
    async with expired(box, store) as channel:
        box.faults = FaultPlan(
            [
                Fault(endpoint="alipay.send", kind="token_invalid"),
                Fault(endpoint="alipay.apply_token", kind="result", result=code),
            ]
        )
        assert (await deliver(channel, single_send(token="row-token"))).verdict is Verdict.RETRY
        last = await deliver(channel, single_send(token="row-token"))
    assert last.verdict is Verdict.FAILED
    assert box.calls["alipay.apply_token"] == calls


async def test_a_used_up_refresh_token_without_another_is_final_and_says_why(box: Sandbox) -> None:
    store = Memory(u1=pair("old-token", "refresh-1"))
    async with expired(box, store) as channel:
        await channel.apply_token(refresh_token="refresh-1")
        answer = await deliver(channel, single_send(token=None))
    assert answer.verdict is Verdict.FAILED
    assert "USED_REFRESH_TOKEN" in answer.detail


async def test_a_token_that_another_process_refreshed_is_taken(box: Sandbox) -> None:
    class Shared(Memory):
        """Another process saves its refresh just before ours is refused."""

        reads = 0

        async def get(self, key: str) -> UserToken | None:
            self.reads += 1
            if self.reads == 3:
                self.tokens["u1"] = pair("their-token", "refresh-2")
            return await super().get(key)

    store = Shared(u1=pair("old-token", "refresh-1"))
    async with expired(box, store) as channel:
        await channel.apply_token(refresh_token="refresh-1")
        assert (await deliver(channel, single_send())).verdict is Verdict.RETRY
        assert (await deliver(channel, single_send())).verdict is Verdict.SENT
    assert box.ledger.delivered == {"their-token": 1}


@pytest.mark.parametrize(
    ("fault", "verdict", "code"),
    [
        ({"kind": "reset_before_reading"}, Verdict.RETRY, "NO_ANSWER"),
        ({"kind": "unsigned"}, Verdict.RETRY, "NO_ANSWER"),
        ({"kind": "minus_one"}, Verdict.RETRY, "UNKNOWN_EXCEPTION"),
        ({"kind": "throttle"}, Verdict.THROTTLED, "REQUEST_TRAFFIC_EXCEED_LIMIT"),
        ({"kind": "result", "result": "ACCESS_DENIED"}, Verdict.HALT, "ACCESS_DENIED"),
        ({"kind": "result", "result": "INVALID_CLIENT"}, Verdict.HALT, "INVALID_CLIENT"),
        ({"kind": "result", "result": "PROCESS_FAIL"}, Verdict.FAILED, "EXPIRED_ACCESS_TOKEN"),
    ],
)
async def test_a_refresh_that_fails_says_nothing_was_sent(
    box: Sandbox, fault: dict[str, Any], verdict: Verdict, code: str
) -> None:
    store = Memory(u1=pair("old-token", "refresh-1"))
    async with expired(box, store) as channel:
        box.faults = FaultPlan([Fault(endpoint="alipay.apply_token", **fault)])
        answer = await deliver(channel, single_send(token=None))
    assert (answer.verdict, answer.code) == (verdict, code)
    assert store.saved == []


async def test_a_client_closed_before_the_refresh_halts(box: Sandbox) -> None:
    store = Memory(u1=pair("old-token", "refresh-1"))
    async with expired(box, store) as channel:
        compiled, to = channel.compile(MESSAGE), single_send()
        to.values = compiled.values({}, to.key)
        refusal = await channel.deliver(compiled, to)
        await channel.close()
        ruling = await channel.renew(to, refusal)
    assert ruling is not None
    assert (ruling.verdict, ruling.code) == (Verdict.HALT, Code.CLIENT)


async def test_a_refresh_that_never_left_is_tried_again(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Memory(u1=pair("old-token", "refresh-1"))
    async with expired(box, store) as channel:
        post = channel._http.post

        async def gone(url: Any, *rest: Any, **more: Any) -> Any:
            if "applyToken" in url.path:
                raise NotSent("cannot connect")
            return await post(url, *rest)

        monkeypatch.setattr(channel._http, "post", gone)
        answer = await deliver(channel, single_send())
    assert (answer.verdict, answer.code) == (Verdict.RETRY, Code.NOT_SENT)


async def test_a_broken_token_store_halts_without_saying_the_token(box: Sandbox) -> None:
    store = Memory(u1=pair("old-token", "refresh-1"))
    async with expired(box, store) as channel:
        store.fails = ValueError("old-token refresh-1")
        answer = await deliver(channel, single_send())
        assert (answer.verdict, answer.code) == (Verdict.HALT, TOKEN_STORE)
        assert "ValueError" in answer.detail
        assert "refresh-1" not in answer.detail
        store.fails = JournalError("tokens.db: disk full")
        assert "disk full" in (await deliver(channel, single_send())).detail


async def test_a_store_that_cannot_save_halts(box: Sandbox) -> None:
    class ReadOnly(Memory):
        async def save(self, key: str, token: UserToken) -> None:
            raise OSError

    async with expired(box, ReadOnly(u1=pair("old-token", "refresh-1"))) as channel:
        answer = await deliver(channel, single_send())
    assert (answer.verdict, answer.code) == (Verdict.HALT, TOKEN_STORE)
    assert "save" in answer.detail


# apply_token


async def test_apply_token_by_code_is_saved_before_it_returns(box: Sandbox) -> None:
    box.settings.auth_codes = {"code-1": "C1"}
    store = Memory(u1=pair("old", "kept-by-nobody"))
    async with made(box, tokens=store) as channel:
        token = await channel.apply_token(
            auth_code="code-1",
            auth_client_id="A",
            customer_belongs_to="TNG",
            extend_info={"memo": "m"},
            key="u1",
        )
        assert store.tokens["u1"] == token
        assert token.customer_id == "C1"
        with pytest.raises(ProviderError, match="USED_CODE"):
            await channel.apply_token(auth_code="code-1")
        fresh = await channel.apply_token(key="u1")
        assert fresh.access_token != token.access_token
        assert store.tokens["u1"] == fresh
    assert msgspec.json.decode(box.calls.requests[0].body) == {
        "appId": "P1",
        "grantType": "AUTHORIZATION_CODE",
        "authClientId": "A",
        "authCode": "code-1",
        "customerBelongsTo": "TNG",
        "extendInfo": '{"memo":"m"}',
    }


async def test_a_refresh_without_a_new_refresh_token_keeps_the_old_one(box: Sandbox) -> None:
    store = Memory(u1=pair("old-token", "refresh-1"))
    box.faults = FaultPlan(
        [
            Fault(
                endpoint="alipay.apply_token",
                kind="alter",
                unset=["refreshToken", "refreshTokenExpiryTime"],
            )
        ]
    )
    async with made(box, tokens=store) as channel:
        await channel.apply_token(key="u1")
    assert store.tokens["u1"].refresh_token == Secret("refresh-1")


async def test_apply_token_wants_one_thing(box: Sandbox) -> None:
    async with made(box) as channel:
        for given in (
            {},
            {"auth_code": "a", "refresh_token": "r"},
            {"auth_code": "a", "key": "k"},
            {"auth_code": 5},
            {"refresh_token": b"r"},
        ):
            with pytest.raises(UsageError, match="apply_token"):
                await channel.apply_token(**given)
    async with made(box, tokens=Memory()) as channel:
        with pytest.raises(UsageError, match="no refresh token is saved"):
            await channel.apply_token(key="u1")


async def test_an_unsigned_token_answer_is_not_believed(box: Sandbox) -> None:
    box.settings.success_signature = "unsigned"
    async with made(box) as channel:
        with pytest.raises(OutcomeUnknown, match="not signed"):
            await channel.apply_token(auth_code="code-1")


async def test_a_user_token_hides_a_plain_string_too() -> None:
    token = UserToken(access_token="plain-access", refresh_token="plain-refresh")  # type: ignore[arg-type]
    assert token.access_token.reveal() == "plain-access"
    assert "plain" not in repr(token)
