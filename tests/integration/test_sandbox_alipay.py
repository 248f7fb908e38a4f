"""The wallet stand-in answers as docs/facts/alipay.md says."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import lru_cache
from typing import Any

import aiohttp
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from sandbox_client import Merchant, note

from promomsg.errors import UsageError
from promomsg.sandbox import Fault, FaultPlan, Sandbox, SandboxSettings, SandboxUser, read_ledger

pytestmark = pytest.mark.asyncio


@lru_cache(maxsize=2)
def key(_number: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public(number: int = 0) -> bytes:
    return (
        key(number)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


@asynccontextmanager
async def merchant(**settings: Any) -> AsyncIterator[tuple[Sandbox, Merchant]]:
    faults = settings.pop("faults", None)
    ledger = settings.pop("ledger", None)
    settings.setdefault("client_public_key", public())
    async with (
        Sandbox(settings=SandboxSettings(**settings), faults=faults, ledger=ledger) as box,
        aiohttp.ClientSession() as http,
    ):
        yield box, Merchant(box, http, key(0))


async def test_a_signed_message_is_delivered_and_the_answer_is_signed() -> None:
    async with merchant() as (box, shop):
        answer = await shop.send("r1", "u1", extendInfo='{"memo":"memo"}')
        assert answer["result"] == {
            "resultCode": "SUCCESS",
            "resultStatus": "S",
            "resultMessage": "success",
        }
        assert answer["messageId"]
        assert answer["extendInfo"] == '{"memo":"memo"}'
        assert shop.signed is True
        assert box.ledger.requests == {"r1": "u1"}
        assert box.ledger.deliveries("u1") == 1
        assert "小明" in box.ledger.messages["u1"]
        assert not box.complaints


async def test_the_same_request_id_gets_the_same_answer_and_one_delivery() -> None:
    async with merchant() as (box, shop):
        assert await shop.send("r1", "u1") == await shop.send("r1", "u1")
        assert (await shop.send("r1", "u2"))["result"]["resultCode"] == "SUCCESS"
        assert dict(box.ledger.delivered) == {"u1": 1}
        assert box.ledger.conflicts == ["r1"]
        await shop.send("r2", "u1")
        assert box.ledger.twice() == ["u1"]


async def test_a_signature_over_anything_else_is_refused() -> None:
    async with merchant() as (box, shop):
        shop.key = key(1)
        assert await shop.code() == "INVALID_SIGNATURE"
        assert shop.signed is True
        shop.key = key(0)
        for header in (
            None,
            "algorithm=RSA256, signature=eA",
            "algorithm=MD5, keyVersion=1, signature=eA",
            "algorithm=RSA256, keyVersion=1, signature=%%",
        ):
            shop.headers = {"Signature": header}
            assert await shop.code() == "INVALID_SIGNATURE"
        shop.headers = {"Client-Id": "somebody else"}
        assert await shop.code() == "INVALID_SIGNATURE"
        assert not box.ledger.delivered


@pytest.mark.parametrize("encoding", ["percent", "base64", "base64url"])
async def test_one_signature_encoding_can_be_insisted_on(encoding: str) -> None:
    async with merchant(signature_encoding=encoding) as (box, shop):
        written = {
            "percent": shop.encode,
            "base64": lambda raw: base64.b64encode(raw).decode(),
            "base64url": lambda raw: base64.urlsafe_b64encode(raw).decode(),
        }
        for name, encode in written.items():
            shop.encode = encode
            # Only percent-encoding always differs; the two alphabets may agree by chance.
            if name == encoding:
                assert await shop.code() == "SUCCESS"
            elif "percent" in (name, encoding):
                assert await shop.code() == "INVALID_SIGNATURE"
        box.settings.signature_encoding = "any"
        for encode in written.values():
            shop.encode = encode
            assert await shop.code() == "SUCCESS"


async def test_without_a_public_key_only_the_form_is_checked() -> None:
    async with merchant(client_public_key=None, key_versions=[1]) as (box, shop):
        shop.key = key(1)
        assert await shop.code() == "SUCCESS"
        shop.headers = {"Signature": "algorithm=RSA256, keyVersion=2, signature=eA"}
        assert await shop.code() == "KEY_NOT_FOUND"
        box.settings.client_public_key = base64.b64encode(
            key(1)
            .public_key()
            .public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        ).decode()
        shop.headers = {}
        assert await shop.code() == "SUCCESS"


async def test_a_public_key_that_is_none_is_said_at_once() -> None:
    curve = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = curve.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for text in ("nonsense!", pem):
        with pytest.raises(UsageError, match="client_public_key"):
            Sandbox(settings=SandboxSettings(client_public_key=text))


async def test_the_calling_convention() -> None:
    async with merchant(client_ids=["C1"], app_ids=["P1"], template_codes=["TP_1"]) as (box, shop):
        for header, value, code in (
            ("Content-Type", "text/plain", "MEDIA_TYPE_NOT_ACCEPTABLE"),
            ("Client-Id", None, "INVALID_CLIENT"),
            ("Client-Id", "C2", "INVALID_CLIENT"),
            ("Request-Time", None, "PARAM_ILLEGAL"),
            ("Request-Time", "2026-11-24T12:08:56", "PARAM_ILLEGAL"),
        ):
            shop.headers = {header: value}
            assert await shop.code() == code
        shop.headers = {}
        assert await shop.code(appId="P2") == "INVALID_AUTH_CLIENT"
        assert await shop.code(templateCode="TP_2") == "TEMPLATE_NOT_EXIST"
        async with shop.http.get(box.url + "/api/v2/miniprogram/message/send") as response:
            assert (await response.json())["result"]["resultCode"] == "METHOD_NOT_SUPPORTED"
        assert (await shop.call("/v2/nosuch", {}))["result"]["resultCode"] == "INVALID_API"
        assert not box.ledger.delivered
        assert await shop.code() == "SUCCESS"


async def test_the_prefix_can_be_insisted_on() -> None:
    async with merchant(alipay_prefix="/api") as (_, shop):
        assert await shop.code() == "SUCCESS"
        shop.prefix = ""
        assert await shop.code() == "INVALID_API"


@pytest.mark.parametrize(
    ("field", "limit"),
    [
        ("appId", 32),
        ("accessToken", 128),
        ("requestId", 64),
        ("templateCode", 64),
        ("redirectUrl", 2048),
        ("extendInfo", 4096),
    ],
)
async def test_lengths_are_characters_up_to_the_seeds_limit(field: str, limit: int) -> None:
    async with merchant() as (box, shop):
        assert await shop.code(**{field: "中" * limit}) == "SUCCESS"
        answer = await shop.send(**{field: "中" * (limit + 1)})
        assert answer["result"]["resultCode"] == "PARAM_ILLEGAL"
        assert field in answer["result"]["resultMessage"]
        assert await shop.code(**{field: 7}) == "PARAM_ILLEGAL"
        assert box.ledger.total == 1


@pytest.mark.parametrize(
    "change",
    [
        {"requestId": None},
        {"requestId": ""},
        {"templates": []},
        {"templates": None},
        {"templates": [{"templateParameters": {}}] * 6},
        {"templates": ["x"]},
        {"templates": [{"language": "en-US"}]},
        {"templates": [{"templateParameters": {}, "language": 1}]},
    ],
)
async def test_a_message_that_is_not_one_reaches_nobody(change: dict[str, Any]) -> None:
    async with merchant() as (box, shop):
        answer = await shop.call("/v2/miniprogram/message/send", note("r", "u") | change)
        assert answer["result"]["resultCode"] == "PARAM_ILLEGAL"
        assert (await shop.call("/v2/miniprogram/message/send", b"[]"))["result"][
            "resultCode"
        ] == "PARAM_ILLEGAL"
        assert (await shop.call("/v2/miniprogram/message/send", b"{"))["result"][
            "resultCode"
        ] == "PARAM_ILLEGAL"
        assert not box.ledger.delivered


async def test_oddities_are_complained_about_or_refused_when_strict() -> None:
    async with merchant() as (box, shop):
        odd = {"actionUrl": "/x", "templates": [{"templateParameters": {"n": 1}}]}
        assert await shop.code(**odd, customerBelongsTo="GCASH") == "SUCCESS"
        assert len(box.complaints) == 2
        box.settings.strict = True
        assert await shop.code(request_id="r2", **odd) == "PARAM_ILLEGAL"


async def test_every_result_code_on_demand_and_only_a_final_one_is_remembered() -> None:
    async with merchant(user_results={"u1": "USER_NOT_SUBSCRIBED", "u2": "ACCESS_DENIED"}) as (
        box,
        shop,
    ):
        assert await shop.code(request_id="r1", token="u1") == "USER_NOT_SUBSCRIBED"
        assert await shop.code(request_id="r2", token="u2") == "ACCESS_DENIED"
        box.settings.user_results = {}
        assert await shop.code(request_id="r1", token="u1") == "USER_NOT_SUBSCRIBED"
        assert await shop.code(request_id="r2", token="u2") == "SUCCESS"
        assert await shop.code(request_id="r3", token="u1") == "SUCCESS"
        assert dict(box.ledger.delivered) == {"u1": 1, "u2": 1}


async def test_signatures_of_answers_can_be_missing_or_wrong() -> None:
    async with merchant(unsigned_f=True, user_results={"u2": "PROCESS_FAIL"}) as (box, shop):
        await shop.send()
        assert shop.signed is True
        await shop.send("r2", "u2")
        assert shop.signed is None
        box.settings.success_signature = "unsigned"
        await shop.send("r3")
        assert shop.signed is None
        box.settings.success_signature = "bad"
        await shop.send("r4")
        assert shop.signed is False
        assert box.ledger.deliveries("u1") == 3


async def test_an_expired_user_token_is_refreshed_once_per_refresh_token() -> None:
    users = [SandboxUser(access_token="u1", refresh_token="t1", customer_id="c1", expired=True)]
    async with merchant(users=users, only_users=True) as (box, shop):
        assert await shop.code(token="u1") == "EXPIRED_ACCESS_TOKEN"
        assert await shop.code(token="stranger") == "INVALID_ACCESS_TOKEN"
        got = await shop.apply(grantType="REFRESH_TOKEN", refreshToken="t1")
        assert got["customerId"] == "c1"
        assert shop.signed is True
        assert got["accessTokenExpiryTime"].endswith("+00:00")
        assert await shop.code(token=got["accessToken"]) == "SUCCESS"
        again = await shop.apply(grantType="REFRESH_TOKEN", refreshToken="t1")
        assert again["result"]["resultCode"] == "USED_REFRESH_TOKEN"
        unknown = await shop.apply(grantType="REFRESH_TOKEN", refreshToken="t9")
        assert unknown["result"]["resultCode"] == "INVALID_REFRESH_TOKEN"
        box.clock.advance(3601)
        # The message is known by its requestId, whatever became of the token.
        assert await shop.code(token=got["accessToken"]) == "SUCCESS"
        assert not box.ledger.conflicts
        assert await shop.code(request_id="r2", token=got["accessToken"]) == "EXPIRED_ACCESS_TOKEN"
        box.clock.advance(31 * 86_400)
        late = await shop.apply(grantType="REFRESH_TOKEN", refreshToken=got["refreshToken"])
        assert late["result"]["resultCode"] == "EXPIRED_REFRESH_TOKEN"


async def test_any_code_and_refresh_token_work_once_unless_told_otherwise() -> None:
    async with merchant() as (box, shop):
        code = {"grantType": "AUTHORIZATION_CODE", "authCode": "a1"}
        got = await shop.apply(**code)
        assert got["result"]["resultCode"] == "SUCCESS"
        assert await shop.code(token=got["accessToken"]) == "SUCCESS"
        assert (await shop.apply(**code))["result"]["resultCode"] == "USED_CODE"
        refresh = {"grantType": "REFRESH_TOKEN", "refreshToken": "any"}
        assert (await shop.apply(**refresh))["result"]["resultCode"] == "SUCCESS"
        assert (await shop.apply(**refresh))["result"]["resultCode"] == "USED_REFRESH_TOKEN"
        box.settings.auth_codes = {"a2": "c2"}
        assert (await shop.apply(**code | {"authCode": "a2"}))["customerId"] == "c2"
        assert (await shop.apply(**code | {"authCode": "a3"}))["result"][
            "resultCode"
        ] == "INVALID_CODE"
        for wrong in ({}, {"grantType": "X"}, {"grantType": "REFRESH_TOKEN"}, {"appId": ""}):
            answer = await shop.apply(**code | {"grantType": None} | wrong)
            assert answer["result"]["resultCode"] == "PARAM_ILLEGAL"
        box.alipay.users.expire("u7")
        assert await shop.code(request_id="r7", token="u7") == "EXPIRED_ACCESS_TOKEN"


@pytest.mark.parametrize(
    ("fault", "code", "status"),
    [
        (Fault(kind="minus_one"), "UNKNOWN_EXCEPTION", "U"),
        (Fault(kind="token_invalid"), "INVALID_ACCESS_TOKEN", "F"),
        (Fault(kind="throttle"), "REQUEST_TRAFFIC_EXCEED_LIMIT", "F"),
        (Fault(kind="throttle", result_status="U"), "REQUEST_TRAFFIC_EXCEED_LIMIT", "U"),
        (Fault(kind="daily"), "MESSAGE_SEND_EXCEED_LIMIT", "F"),
        (Fault(result="KEY_NOT_FOUND"), "KEY_NOT_FOUND", "F"),
        (Fault(errcode=1), "PROCESS_FAIL", "F"),
    ],
)
@pytest.mark.parametrize("delivered", [False, True])
async def test_faults_speak_the_wallets_language(
    fault: Fault, code: str, status: str, delivered: bool
) -> None:

    plan = FaultPlan([replace(fault, endpoint="alipay.send", calls=[1], delivered=delivered)])
    async with merchant(faults=plan) as (box, shop):
        result = (await shop.send())["result"]
        assert (result["resultCode"], result["resultStatus"]) == (code, status)
        assert shop.signed is True
        assert box.ledger.deliveries("u1") == delivered
        assert await shop.code() == "SUCCESS"
        assert box.ledger.deliveries("u1") == 1


async def test_faulty_signatures_and_altered_answers_of_one_call() -> None:
    plan = FaultPlan(
        [
            Fault(endpoint="alipay.*", kind="unsigned", calls=[1]),
            Fault(endpoint="alipay.*", kind="bad_signature", calls=[2]),
            Fault(endpoint="alipay.*", kind="alter", calls=[3], set={"x": 1}, unset=["messageId"]),
        ]
    )
    async with merchant(faults=plan) as (box, shop):
        seen = []
        for number in range(4):
            answer = await shop.send(f"r{number}")
            seen.append((shop.signed, "x" in answer, "messageId" in answer))
        assert seen == [
            (None, False, True),
            (False, False, True),
            (True, True, False),
            (True, False, True),
        ]
        assert box.ledger.deliveries("u1") == 4


async def test_a_sandbox_that_goes_on_with_a_ledger_remembers_request_ids(tmp_path: Any) -> None:
    path = tmp_path / "ledger.jsonl"
    async with merchant(ledger=path) as (_, shop):
        first = await shop.send("r1", "u1")
    async with merchant(ledger=path) as (box, shop):
        assert await shop.send("r1", "u1") == first
        assert not box.ledger.conflicts
    assert read_ledger(path).requests == {"r1": "u1"}
    assert read_ledger(path).deliveries("u1") == 1
