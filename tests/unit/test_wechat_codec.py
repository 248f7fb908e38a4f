"""Answers of sends against the page's own examples, every errcode of docs/facts/wechat.md, hostile bytes;
and the bodies of requests."""

from __future__ import annotations

import json
from typing import Any

import pytest

from promomsg.errors import UsageError
from promomsg.model import Code, Secret, Verdict
from promomsg.wechat import codec
from promomsg.wechat.codes import ROWS, advice_for
from promomsg.wechat.models import StableTokenRequest

# The examples of the page that docs/facts/wechat.md is made from, letter for letter.
PAGE_GROUP_OK = b"""{
  "msg_id": "123456",
  "errcode": 0,
  "errmsg": "OK"
}"""
PAGE_SINGLE_OK = b"""{
  "errcode": 0,
  "errmsg": "OK"
}"""
RID = "65b0a77b-3857ef84-7d2c553e"


def refusal(code: Any, errmsg: str = "no") -> bytes:
    return json.dumps({"errcode": code, "errmsg": errmsg}).encode()


# Sends.


def test_the_seeds_successes() -> None:
    assert codec.read_single(200, PAGE_SINGLE_OK).verdict == Verdict.SENT
    group = codec.read_group(200, PAGE_GROUP_OK)
    assert (group.verdict, group.msg_id, group.code) == (Verdict.ACCEPTED, "123456", "")


@pytest.mark.parametrize(
    "body",
    [
        b'{"errcode":0,"errmsg":"ok"}',
        b'{"errcode":"0","errmsg":"ok"}',
        b'{"errcode":0}',
        b'{"errcode":0,"errmsg":null}',
        b'\xef\xbb\xbf{"errcode":0,"errmsg":"ok"}',
        b'{"errcode":0,"errmsg":"ok \\u4f60","errcode":0}',
        '{"errcode":0,"errmsg":"成功","more":{"errcode":5}}'.encode(),
        b'{"err\\u0063ode":0}',
    ],
)
def test_success_in_every_honest_form(body: bytes) -> None:
    assert codec.read_single(200, body).verdict == Verdict.SENT
    assert codec.read_single(201, body).verdict == Verdict.SENT


# docs/facts/wechat.md, "Error codes": (codes, single, group).
FACTS = [
    ((-1,), Verdict.UNKNOWN, Verdict.UNKNOWN),
    ((40001, 40014, 42001), Verdict.RETRY, Verdict.RETRY),
    ((40003, 43101, 103010), Verdict.FAILED, Verdict.FAILED),
    ((40013, 40125, 41002, 41004, 40164), Verdict.HALT, Verdict.HALT),
    ((40066, 41001, 43002, 43003, 44002, 47001), Verdict.HALT, Verdict.HALT),
    ((45002, 47003), Verdict.REFUSED, Verdict.REFUSED),
    ((45009,), Verdict.HALT, Verdict.HALT),
    ((45011,), Verdict.THROTTLED, Verdict.THROTTLED),
    ((48001, 48004, 50002, 61003, 61004, 61007, 89503), Verdict.HALT, Verdict.HALT),
    ((103001,), Verdict.FAILED, Verdict.REFUSED),
    ((103003, 103006), Verdict.FAILED, Verdict.FAILED),
    ((9999999, 1, -5, 88000), Verdict.FAILED, Verdict.REFUSED),
]


@pytest.mark.parametrize(
    ("code", "single", "group"),
    [(code, single, group) for codes, single, group in FACTS for code in codes],
)
def test_every_errcode_of_the_facts(code: int, single: Verdict, group: Verdict) -> None:
    body = refusal(code, f"some words rid: {RID}")
    for answer, verdict in (
        (codec.read_single(200, body), single),
        (codec.read_group(200, body), group),
        (codec.read_single(200, refusal(str(code), f"some words rid: {RID}")), single),
    ):
        assert answer.verdict == verdict
        assert answer.code == str(code)
        assert answer.rid == RID
        assert answer.detail.startswith("some words rid: ")
        assert answer.token_failed == (code in (40001, 40014, 42001))
        assert answer.retry_after == (60.0 if code == 45011 else None)


def test_every_row_names_its_source() -> None:
    for row in ROWS.values():
        assert row.source.startswith("docs/facts/wechat.md")
        assert row.text
        if row.single is Verdict.HALT:
            assert advice_for(row.code, "")
    known = {str(code) for codes, _, _ in FACTS[:-1] for code in codes} | {"0"}
    assert set(ROWS) == known


def test_40164_shows_the_ip_and_where_to_allow_it() -> None:
    answer = codec.read_single(
        200,
        refusal(
            40164, f"invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist rid: {RID}"
        ),
    )
    assert answer.verdict == Verdict.HALT
    assert "add IP 203.0.113.7 to the allow-list: mp.weixin.qq.com" in answer.detail
    assert "errmsg names it" in advice_for("40164", "invalid ip")


def test_45009_says_when_it_goes_on() -> None:
    assert "midnight China time" in codec.read_single(200, refusal(45009)).detail


def test_no_errmsg_gets_our_words_and_a_hint_is_kept() -> None:
    assert codec.read_single(200, b'{"errcode":43101}').detail == "the recipient refuses messages"
    hint = codec.read_single(200, refusal(43101, "refused hint: [abc_1]"))
    assert hint.detail == "refused hint: [abc_1]"
    assert hint.rid is None


def test_details_can_be_printed_and_are_short() -> None:
    errmsg = "a\x1b[31m\n\u2028\ud800" + "x" * 10_000 + f" rid: {RID}"
    answer = codec.read_single(200, refusal(43101, errmsg))
    assert answer.rid == RID
    assert len(answer.detail) <= 500
    assert "\x1b" not in answer.detail
    assert answer.detail.encode()
    assert "\n" not in answer.detail


def test_a_token_that_is_echoed_is_left_out_even_when_cut() -> None:
    url = "https://api.weixin.qq.com/promoter/sendmsg?access_token=" + "SECRETTOKEN" * 200
    for body in (refusal(43101, url), f"<html>{url}".encode(), b'{"secret":"SECRETTOKEN"'):
        assert "SECRET" not in codec.read_single(200, body).detail


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (200, b"", "an empty answer"),
        (
            200,
            b"<html><body>502 Bad Gateway</body></html>",
            "not JSON (Expecting value at character 1): an HTML page, 41 bytes",
        ),
        (200, b'{"errcode":0,"errm', "not JSON"),
        (200, b'{"errcode":0}}', "not JSON"),
        (200, b"[0]", "not a JSON object"),
        (200, b"0", "not a JSON object"),
        (200, b"null", "not a JSON object"),
        (200, b"{}", "without a readable errcode"),
        (200, b'{"errmsg":"ok"}', "without a readable errcode"),
        (200, b'{"errcode":null}', "readable errcode"),
        (200, b'{"errcode":false}', "readable errcode"),
        (200, b'{"errcode":0.0}', "readable errcode"),
        (200, b'{"errcode":"ok"}', "readable errcode"),
        (200, b'{"errcode":"\xd9\xa0"}', "readable errcode"),
        (200, b'{"errcode":[0]}', "readable errcode"),
        (200, b'{"errcode":' + b"9" * 400 + b"}", "readable errcode"),
        (200, b'{"errcode":' + b"9" * 9000 + b"}", ""),
        (200, b'{"errcode":0,"errcode":40001}', "gives errcode twice"),
        (200, b'{"errcode":40001,"errcode":0}', "gives errcode twice"),
        (200, b'{"errcode":0,"err\\u0063ode":43101}', "gives errcode twice"),
        (200, b'{"errcode":0,"errcode":false}', "gives errcode twice"),
        (200, b'{"errcode":0,"errmsg":"\xff\xfe', "not JSON (Unterminated string"),
        (200, b'{"errcode":0,"x":NaN}', "not JSON"),
        (200, b"[" * 100_000, "nested too deeply"),
        (200, b'{"errcode":0,"x":' + b"[" * 100_000, "nested too deeply"),
        (200, b'{"errcode":0,"x":' + b'{"a":' * 100_000, "nested too deeply"),
        (302, b'{"errcode":0}', "HTTP 302"),
        (304, b"", "HTTP 304"),
        (404, b'{"errcode":0}', "HTTP 404 with errcode 0"),
        (404, b"not found", "HTTP 404 that is not JSON"),
        (500, b'{"errcode":40001}', "HTTP 500"),
        (502, PAGE_GROUP_OK, "HTTP 502"),
        (101, PAGE_GROUP_OK, "HTTP 101"),
    ],
)
def test_what_cannot_be_read_is_unknown(status: int, body: bytes, says: str) -> None:
    for read in (codec.read_single, codec.read_group):
        answer = read(status, body)
        assert answer.verdict == Verdict.UNKNOWN
        assert answer.code == Code.NO_ANSWER
        assert says in answer.detail
        assert len(answer.detail) < 400


def test_a_4xx_that_carries_an_errcode_is_that_refusal() -> None:
    assert codec.read_single(412, refusal(43101)).verdict == Verdict.FAILED


@pytest.mark.parametrize(
    ("msg_id", "kept"), [('"7"', "7"), ("7", "7"), ('"\\u0037"', "7"), ('"消息"', "消息")]
)
def test_a_msg_id_may_be_a_number(msg_id: str, kept: str) -> None:
    answer = codec.read_group(
        200, f'{{"errcode":0,"errmsg":"x rid: {RID}","msg_id":{msg_id}}}'.encode()
    )
    assert (answer.verdict, answer.msg_id) == (Verdict.ACCEPTED, kept)


@pytest.mark.parametrize(
    "msg_id", ["", ',"msg_id":""', ',"msg_id":null', ',"msg_id":1.5', ',"msg_id":["1"]']
)
def test_accepted_without_a_msg_id_is_unknown_and_says_why(msg_id: str) -> None:
    answer = codec.read_group(200, f'{{"errcode":0{msg_id}}}'.encode())
    assert (answer.verdict, answer.code) == (Verdict.UNKNOWN, Code.NO_ANSWER)
    assert "accepted (errcode 0), but the answer has no msg_id" in answer.detail


def test_two_different_msg_ids_are_not_guessed_between() -> None:
    answer = codec.read_group(200, b'{"errcode":0,"msg_id":"1","msg_id":"2"}')
    assert answer.verdict == Verdict.UNKNOWN
    assert "gives msg_id twice" in answer.detail
    assert codec.read_group(200, b'{"errcode":0,"msg_id":"1","msg_id":"1"}').msg_id == "1"


# Requests.


def test_requests_as_the_seed_and_the_facts_have_them() -> None:
    assert codec.delivery_body("123456") == b'{"msg_id":"123456"}'
    assert json.loads(
        codec.clicks_body("2023-08-04", dimension=0, msg_type=1, begin=1691114400, end=1691128800)
    ) == {
        "send_date": "2023-08-04",
        "dimonsion": 0,
        "msg_type": 1,
        "begin_send_time": 1691114400,
        "end_send_time": 1691128800,
    }
    assert (
        codec.clicks_body("2023-08-04", dimension=1, msg_type=1)
        == b'{"send_date":"2023-08-04","dimonsion":1,"msg_type":1}'
    )
    assert codec.roles_body() == b"{}"
    assert codec.quota_body("/promoter/sendmsg") == b'{"cgi_path":"/promoter/sendmsg"}'
    assert (
        codec.stable_token_body("wx1", Secret("s"))
        == b'{"grant_type":"client_credential","appid":"wx1","secret":"s","force_refresh":false}'
    )
    assert json.loads(codec.stable_token_body("wx1", "s", force=True))["force_refresh"] is True
    assert "hidden" not in repr(StableTokenRequest(appid="wx1", secret="hidden"))


def test_promoter_filters() -> None:
    facts = {
        "openid": "x",
        "role_id": 1,
        "retail_id": "x",
        "begin_time": 1668614400,
        "end_time": 1668666429,
        "start_id": "123",
        "need_unionid": 1,
        "auth_status": 1,
        "decl_status": 1,
    }
    assert json.loads(codec.promoters_body(**facts)) == facts
    assert codec.promoters_body(start_id=None, role_id=None) == b"{}"
    assert codec.promoters_body(need_unionid=True) == b'{"need_unionid":1}'
    with pytest.raises(UsageError, match="did you mean 'role_id'"):
        codec.promoters_body(role=1)
    with pytest.raises(UsageError, match="there are openid"):
        codec.promoters_body(zzz=1)
    with pytest.raises(UsageError, match="role_id"):
        codec.promoters_body(role_id="one")
