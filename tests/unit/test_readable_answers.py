"""Whether an answer is the provider's own and can be understood: what tells an outage from a no."""

from __future__ import annotations

import pytest

from promomsg.alipay import codec as alipay
from promomsg.wechat import codec as wechat

PAGE = b"<html><title>403 Forbidden</title></html>"
NOT_THERE = [
    (200, PAGE),
    (403, PAGE),
    (404, b""),
    (407, b"Proxy Authentication Required"),
    (502, b'{"errcode":0,"errmsg":"ok","result":{"resultCode":"SUCCESS","resultStatus":"S"}}'),
    (503, PAGE),
    (200, b""),
    (200, b'{"errcode":'),
    (200, b"[]"),
    (200, b"{}"),
]


@pytest.mark.parametrize(("status", "body"), NOT_THERE)
def test_what_something_else_answers_in_the_providers_name_is_not_readable(
    status: int, body: bytes
) -> None:
    assert not wechat.read_single(status, body).readable
    assert not wechat.read_group(status, body).readable
    assert not alipay.read_send(status, body).answer.readable


@pytest.mark.parametrize("code", [0, 43101, 45009, 45011, 40001, 48001, 999999])
def test_every_code_of_wechats_is_an_answer_but_minus_one(code: int) -> None:
    body = b'{"errcode":%d,"errmsg":"said","msg_id":"m1"}' % code
    assert wechat.read_single(200, body).readable
    assert wechat.read_group(200, body).readable
    assert not wechat.read_single(200, b'{"errcode":-1,"errmsg":"system error"}').readable


@pytest.mark.parametrize(
    ("code", "status", "readable"),
    [
        ("SUCCESS", "S", True),
        ("USER_NOT_SUBSCRIBED", "F", True),
        ("REQUEST_TRAFFIC_EXCEED_LIMIT", "F", True),
        ("INVALID_SIGNATURE", "F", True),
        ("UNKNOWN_EXCEPTION", "U", False),
        ("BUSY", "U", False),
    ],
)
def test_every_result_of_a_wallet_is_an_answer_but_a_u(
    code: str, status: str, readable: bool
) -> None:
    body = b'{"result":{"resultCode":"%s","resultStatus":"%s"}}' % (code.encode(), status.encode())
    assert alipay.read_send(200, body).answer.readable is readable


def test_a_429_is_an_answer() -> None:
    assert alipay.read_send(429, PAGE).answer.readable
