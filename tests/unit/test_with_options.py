"""A derived client: other options, the same account and pool, and no option forgotten."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from gateway_channel import KEY, GatewayChannel
from wallet_channel import MESSAGE as WALLET_MESSAGE
from wallet_channel import Memory, deliver, keys, made, single_send

from promomsg import (
    AlipayMiniProgram,
    Halted,
    Pace,
    ProviderError,
    Recipient,
    State,
    UsageError,
    WeChatMessage,
    WeChatPromoter,
)
from promomsg.alipay import signing
from promomsg.alipay.models import UserToken
from promomsg.channel import ChannelOptions
from promomsg.model import Secret, Verdict
from promomsg.sandbox import Sandbox, SandboxSettings, SandboxUser

Client = WeChatPromoter | AlipayMiniProgram | GatewayChannel

MESSAGE = WeChatMessage(1, {"title": "今日优惠活动"}, "pages/index/index")
NOT_TAKEN = {
    WeChatPromoter: {
        "appid": "another account: with_account",
        "secret": "the account's",
        "token": "where the account's one token is from",
        "legacy_token": "how the account's one token is fetched",
        "base_url": "another provider, so another pool",
        "session": "another pool",
        "max_connections": "the pool's permits",
        "hooks": "they watch all that goes through the pool; a campaign has its own",
        "clock": "the life of the account's token is counted by it",
    },
    AlipayMiniProgram: {
        "client_id": "another account",
        "app_id": "another account",
        "private_key": "the account's",
        "public_key": "the account's: what its answers prove is counted over all its clients",
        "verify": "goes with public_key",
        "key_version": "of the account's key",
        "signature_encoding": "how the account signs, in threads that its clients share",
        "tokens": "two stores would each use up a user's one refresh token",
        "base_url": "another wallet, so another pool",
        "session": "another pool",
        "max_connections": "the pool's permits",
        "hooks": "they watch all that goes through the pool; a campaign has its own",
        "clock": "the account signs by it",
    },
}
"""Parameters of the constructors that `with_options` does not take, and why: they would make another
account or another pool."""


def wechat(**given: Any) -> WeChatPromoter:
    return WeChatPromoter("wx0001", "s3cret-of-nobody", **given)


def wallet(**given: Any) -> AlipayMiniProgram:
    return AlipayMiniProgram(
        "CLIENT_1",
        "P1",
        keys().private_pem,
        verify=False,
        base_url="https://wallet.example/api",
        **given,
    )


def gateway(**given: Any) -> GatewayChannel:
    return GatewayChannel("acme", KEY, base_url="https://gateway.example", **given)


def test_a_channel_of_ones_own_takes_those_of_its_options_that_make_no_other_pool() -> None:
    taken = set(inspect.signature(GatewayChannel.with_options).parameters) - {"self"}
    pool = {"session", "max_connections", "hooks", "clock"}
    assert taken | pool == set(ChannelOptions.__annotations__)
    assert not taken & pool


@pytest.mark.parametrize("kind", NOT_TAKEN, ids=lambda kind: kind.__name__)
def test_with_options_takes_every_option_that_makes_no_other_account_or_pool(kind: Any) -> None:
    constructor = dict(inspect.signature(kind).parameters)
    taken = dict(inspect.signature(kind.with_options).parameters)
    del taken["self"]
    assert set(constructor) == set(taken) | set(NOT_TAKEN[kind])
    assert not set(taken) & set(NOT_TAKEN[kind])
    for name, option in taken.items():
        assert option.kind is option.KEYWORD_ONLY
        assert option.default is msgspec.UNSET
        types = set(option.annotation.split(" | "))
        assert types == {*constructor[name].annotation.split(" | "), "UnsetType"}


@pytest.mark.parametrize("client", [wechat(), wallet(), gateway()], ids=lambda client: client.name)
def test_what_is_not_given_stays_and_what_is_given_is_taken(client: Client) -> None:
    same = client.with_options()
    assert type(same) is type(client)
    assert same is not client
    assert (same.account, same.base_url) == (client.account, client.base_url)
    assert same.pacer is client.pacer
    assert same.connections is client.connections
    other = client.with_options(
        timeout=7, proxy="http://127.0.0.1:3128", pace=Pace(singles_per_second=3)
    )
    assert other.connections is client.connections
    assert other.pacer.pace.singles_per_second == 3
    assert other.pacer.shares
    again = other.with_options(pace=None)
    assert again.pacer.pace.singles_per_second == 50
    for each in (other, again):
        assert str(each._http.proxy) == "http://127.0.0.1:3128"
        assert each._http._timeout == 7
    assert other.with_options(proxy=None)._http.proxy is None
    assert (client._http.proxy, client._http._timeout) == (None, 30)


@pytest.mark.parametrize("client", [wechat(), wallet(), gateway()], ids=lambda client: client.name)
@pytest.mark.parametrize(
    "wrong", [{"timeout": 0}, {"timeout": None}, {"proxy": "socks5://user:pw@h:1"}, {"pace": 5}]
)
def test_a_wrong_option_is_refused_as_by_the_constructor(
    client: Client, wrong: dict[str, Any]
) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))) as caught:
        client.with_options(**wrong)
    assert "pw" not in str(caught.value)


def test_a_time_out_that_was_short_leaves_a_longer_one_its_time_to_connect() -> None:
    short = wechat(timeout=2)
    assert short._http._connect_timeout == 2
    assert short.with_options(timeout=60)._http._connect_timeout == 10
    assert short.with_options(timeout=60).with_options(timeout=1)._http._connect_timeout == 1


def test_fields_and_run_ids_of_a_wallet_are_options_too() -> None:
    client = wallet(extra={"authClientId": "A"})
    assert client.with_options()._extra == {"authClientId": "A"}
    other = client.with_options(extra={"customerBelongsTo": "B"}, random_id=lambda: "run-1")
    assert (other._extra, other._random_id()) == ({"customerBelongsTo": "B"}, "run-1")
    assert other.with_options(extra=None)._extra == {}
    assert client._extra == {"authClientId": "A"}


@pytest.mark.asyncio
async def test_a_pace_of_its_own_shares_the_accounts_quota() -> None:
    async with Sandbox() as box:
        day = Pace(singles_per_day=2)
        async with wechat(base_url=box.url, pace=day) as client:
            box.settings.accounts = {"wx0001": "s3cret-of-nobody"}
            other = client.with_options(pace=Pace(singles_per_second=100, singles_per_day=2))
            for sender in (client, other):
                outcome = await sender.send_one(MESSAGE, Recipient(id="1001"))
                assert outcome.state is State.SENT
            for sender in (client, other):
                with pytest.raises(ProviderError, match="SINGLES_PER_DAY"):
                    await sender.send_one(MESSAGE, Recipient(id="1001"))
        assert box.calls["stable_token"] == 1


@pytest.mark.asyncio
async def test_a_refused_token_call_holds_every_client_of_the_account() -> None:
    async with Sandbox(settings=SandboxSettings(accounts={"wx0001": "another"})) as box:
        async with wechat(base_url=box.url) as client:
            derived = client.with_options(timeout=5)
            error = ProviderError("45011", "too many", "rid-1", Verdict.THROTTLED, 60.0, status=200)
            client._account._refuse_until(error)
            with pytest.raises(ProviderError, match="45011") as caught:
                await derived.send_one(MESSAGE, Recipient(id="1"))
            assert (caught.value.status, caught.value.rid) == (200, "rid-1")
        assert box.calls["stable_token"] == 0


@asynccontextmanager
async def wallet_of_an_expired_user(
    store: Memory, **given: Any
) -> AsyncIterator[tuple[Sandbox, AlipayMiniProgram]]:
    user = SandboxUser(access_token="old-token", refresh_token="refresh-1", expired=True)
    settings = SandboxSettings(
        client_public_key=keys().public_base64, alipay_prefix="/acl/api", users=[user]
    )
    async with Sandbox(settings=settings) as box, made(box, tokens=store, **given) as client:
        yield box, client
        assert list(box.complaints) == []


def expired() -> Memory:
    return Memory(u1=UserToken(Secret("old-token"), refresh_token=Secret("refresh-1")))


@pytest.mark.asyncio
async def test_clients_of_a_wallet_refresh_a_users_token_once_between_them() -> None:
    store = expired()
    async with wallet_of_an_expired_user(store) as (box, client):
        derived = client.with_options(timeout=5)
        answers = await asyncio.gather(
            *(
                deliver(each, single_send(request_id=f"r{n}"))
                for n, each in enumerate([client, derived] * 4)
            )
        )
        assert {answer.verdict for answer in answers} == {Verdict.RETRY}
        assert box.calls["alipay.apply_token"] == 1
        assert (await deliver(client, single_send())).verdict is Verdict.SENT
    assert len(store.saved) == 1


@pytest.mark.asyncio
async def test_a_users_token_is_refreshed_with_the_options_of_the_client_that_needs_it() -> None:
    async with wallet_of_an_expired_user(expired(), extra={"authClientId": "A"}) as (box, client):
        derived = client.with_options(extra={"authClientId": "B"})
        assert (await derived.send_one(WALLET_MESSAGE, Recipient("u1"))).state is State.SENT
        assert b'"authClientId":"B"' in box.calls.bodies("alipay.apply_token")[0]


@pytest.mark.asyncio
async def test_a_wrong_key_is_counted_over_all_clients_and_a_close_ends_no_threads() -> None:
    other_key = signing.make_key_pair().public_base64
    async with wallet_of_an_expired_user(Memory(), public_key=other_key) as (_, client):
        derived = client.with_options(timeout=5)
        for number, each in enumerate([client, derived, client]):
            answer = await deliver(each, single_send(f"k{number}", f"token-{number}"))
            assert (answer.code, answer.status) == ("UNSIGNED", 200)
        await derived.close()
        for each in (client, derived):
            with pytest.raises(Halted, match="3 answers are signed with another key"):
                await each.prepare()
        assert (await deliver(client, single_send("k9", "token-9"))).code == "UNSIGNED"
    with pytest.raises(UsageError, match="closed"):
        await derived.send_one(WALLET_MESSAGE, Recipient("k9", access_token="token-9"))
