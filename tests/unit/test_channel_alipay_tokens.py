"""Users' tokens over the wire, against the sandbox: refreshed once, saved first, and applied for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
import pytest
import pytest_asyncio
from waiting import until
from wallet_channel import MESSAGE, Memory, deliver, keys, made, single_send

from promomsg.alipay.models import UserToken
from promomsg.channels.alipay import AlipayMiniProgram
from promomsg.channels.alipay_tokens import TOKEN_STORE
from promomsg.errors import (
    JournalError,
    NotSent,
    OutcomeUnknown,
    ProviderError,
    UsageError,
)
from promomsg.model import Code, Recipient, Secret, State, Verdict
from promomsg.sandbox import Fault, FaultPlan, Sandbox, SandboxSettings, SandboxUser

pytestmark = pytest.mark.asyncio


def pair(access: str, refresh: str | None = None) -> UserToken:
    return UserToken(Secret(access), refresh_token=Secret(refresh) if refresh else None)


@pytest_asyncio.fixture
async def box() -> AsyncIterator[Sandbox]:
    settings = SandboxSettings(client_public_key=keys().public_base64, alipay_prefix="/acl/api")
    async with Sandbox(settings=settings) as sandbox:
        yield sandbox
        assert list(sandbox.complaints) == []


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
