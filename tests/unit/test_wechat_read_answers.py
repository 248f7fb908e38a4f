"""Answers of reads and token calls: the pages' own examples, odd ones, and what none may hold."""

from __future__ import annotations

import json
from typing import Any

import pytest

from promomsg.errors import NotSent, OutcomeUnknown, ProviderError, UsageError
from promomsg.model import Failure, Verdict
from promomsg.wechat import codec
from promomsg.wechat.codes import meaning_of
from promomsg.wechat.models import Clicks, Quota, Role

PAGE_GETMSG = r"""{
  "send_cnt" : 2,
  "fail_cnt" : 1,
  "fail_info" : [
    {
      "id" : "123",
      "errcode" : 103010
    }
  ],
  "fail_info_url" : "https://xxxxxxxxxx",
  "msg_type" : 1,
  "content" : "{\"title\":\"今日优惠活动\",\"topic\":\"双十一大促\",\"desc\":\"三件五折,两件七折\",\"date\":\"2022/10/28\"}",
  "appid" : "xxxxx",
  "path" : "pages/index/xxxxx",
  "list_type" : 1,
  "role_id" : [ 1, 2 ],
  "errcode": 0,
  "errmsg": "OK"
}""".encode()


PAGE_CLICKS_0 = b"""{
  "data_list" : [
    {
      "msg_id" : "123456",
      "send_time" : 1691114400,
      "click_uv" : 123,
      "click_pv" : 200
    }
  ],
  "errcode": 0,
  "errmsg": "OK"
}"""


PAGE_CLICKS_1 = b"""{
  "data_list" : [
    {
      "msg_type" : 1,
      "click_uv" : 123,
      "click_pv" : 200
    }
  ],
  "errcode": 0,
  "errmsg": "OK"
}"""


RID = "65b0a77b-3857ef84-7d2c553e"


def refusal(code: Any, errmsg: str = "no") -> bytes:
    return json.dumps({"errcode": code, "errmsg": errmsg}).encode()


def test_the_seeds_delivery() -> None:
    delivery = codec.read_delivery("123456", 200, PAGE_GETMSG)
    assert delivery.msg_id == "123456"
    assert (delivery.send_cnt, delivery.fail_cnt, delivery.percent) == (2, 1, None)
    assert delivery.failures == (Failure("123", "103010"),)
    assert delivery.fail_info_url == "https://xxxxxxxxxx"
    assert json.loads(delivery.content or "")["date"] == "2022/10/28"
    assert (delivery.list_type, delivery.role_ids, delivery.msg_type) == (1, (1, 2), 1)
    assert (delivery.appid, delivery.path) == ("xxxxx", "pages/index/xxxxx")
    assert delivery.warnings == ()


def delivery(**fields: Any) -> Any:
    return codec.read_delivery(
        "m", 200, json.dumps({"errcode": 0, "send_cnt": 2, **fields}).encode()
    )


@pytest.mark.parametrize(
    ("percent", "kept", "warns"),
    [
        (0, 0, False),
        (100, 100, False),
        ("100", 100, False),
        (100.0, 100, False),
        (99.9, 99, True),
        (101, None, True),
        (-1, None, True),
        ("100%", None, True),
        (True, None, True),
        ([100], None, True),
        ({}, None, True),
        (1e300, None, True),
        (None, None, False),
    ],
)
def test_percent_that_makes_no_sense_is_unknown_progress(
    percent: Any, kept: int | None, warns: bool
) -> None:
    seen = delivery(percent=percent)
    assert seen.percent == kept
    assert bool(seen.warnings) == warns
    assert all(text.startswith("group m: percent is ") for text in seen.warnings)


def test_counts_that_make_no_sense_are_not_given() -> None:
    seen = delivery(send_cnt=-1, fail_cnt="many")
    assert (seen.send_cnt, seen.fail_cnt) == (None, None)
    assert len(seen.warnings) == 2
    assert delivery(fail_cnt="3").fail_cnt == 3


def test_odd_failures_are_counted_and_never_guessed() -> None:
    seen = delivery(
        fail_info=[
            {"id": 1, "errcode": "103010"},
            {"id": "2", "errcode": 43101, "more": 1},
            {"id": "2", "errcode": 5},
            {"id": "3", "errcode": 0},
            {"id": "4"},
            {"errcode": 5},
            {"id": 1.5, "errcode": 5},
            {"id": "5\x00", "errcode": 5},
            "6",
            None,
            ["7", 5],
        ]
    )
    assert seen.failures == (Failure("1", "103010"), Failure("2", "43101"))
    assert seen.warnings == (
        "group m: of fail_info, 7 cannot be read as id and errcode (the first: record 5)",
        "group m: of fail_info, 1 name a promoter again (the first one counts)",
        "group m: of fail_info, 1 have errcode 0, which is no failure",
    )


def test_a_failure_that_names_two_ids_is_not_guessed() -> None:
    seen = codec.read_delivery(
        "m", 200, b'{"errcode":0,"fail_info":[{"id":"1","id":"2","errcode":5}]}'
    )
    assert seen.failures == ()
    assert "1 cannot be read" in seen.warnings[0]


@pytest.mark.parametrize(("wrong", "kind"), [({}, "an object"), ("x", "a string"), (7, "a number")])
def test_fail_info_of_a_wrong_type_is_left_aside(wrong: Any, kind: str) -> None:
    seen = delivery(fail_info=wrong)
    assert seen.failures == ()
    assert seen.warnings == (f"group m: fail_info is {kind}, not a list; left aside",)


def test_the_older_name_of_the_failure_url_is_taken() -> None:
    assert delivery(fail_openid_url="https://x/f").fail_info_url == "https://x/f"
    assert delivery(fail_info_url="", fail_openid_url="https://x/f").fail_info_url == "https://x/f"
    odd = delivery(fail_info_url=["https://x"])
    assert odd.fail_info_url is None
    assert "not a usable URL" in odd.warnings[0]
    assert delivery(fail_info_url="https://x/\x00").fail_info_url is None


def test_odd_details_of_a_delivery_are_left_out() -> None:
    seen = delivery(content={}, role_id=["1", "x", None], retail_id="x", id=[1, "2"], path=5.5)
    assert (seen.content, seen.role_ids, seen.retail_ids, seen.ids) == (None, (1,), (), ("1", "2"))
    assert seen.path is None


def test_the_seeds_clicks() -> None:
    assert codec.read_clicks(200, PAGE_CLICKS_0) == [
        Clicks(click_uv=123, click_pv=200, msg_id="123456", send_time=1691114400)
    ]
    assert codec.read_clicks(200, PAGE_CLICKS_1) == [Clicks(click_uv=123, click_pv=200, msg_type=1)]
    assert codec.read_clicks(200, refusal(103006)) == []
    assert codec.read_clicks(200, b'{"errcode":0,"data_list":null}') == []


@pytest.mark.parametrize("rows", ["[5]", "{}", '"x"', '[{"click_uv":1,"click_uv":2}]'])
def test_click_rows_that_are_none_say_so(rows: str) -> None:
    with pytest.raises(OutcomeUnknown, match="data_list"):
        codec.read_clicks(200, f'{{"errcode":0,"data_list":{rows}}}'.encode())


FACTS_PROMOTERS = b"""{"promoter_list":[{"openid":"x","role_id":1,"retail_id":"x","extra_info":"x",
"auth_status":1,"decl_status":1,"update_time":1668667349,"id":"100","name":"x","phone":"x"}],
"total_cnt":2,"errcode":0,"errmsg":"OK"}"""


def test_promoters_as_the_facts_show_them() -> None:
    page = codec.read_promoters(200, FACTS_PROMOTERS)
    assert (page.total_cnt, page.unreadable, len(page.promoters)) == (2, 0, 1)
    one = page.promoters[0]
    assert (one.id, one.openid, one.role_id, one.auth_status) == ("100", "x", 1, 1)
    assert one.update_time == 1668667349


def test_an_empty_page_is_not_an_error() -> None:
    page = codec.read_promoters(200, refusal(103006))
    assert (page.promoters, page.total_cnt) == ((), 0)


def test_odd_promoters_are_counted_and_harm_nobody() -> None:
    body = json.dumps(
        {
            "errcode": 0,
            "promoter_list": [{"id": 7, "role_id": "3"}, 5, {"name": "x"}, {"openid": "o"}],
        }
    )
    page = codec.read_promoters(200, body.encode())
    assert [p.id or p.openid for p in page.promoters] == ["7", "o"]
    assert page.promoters[0].role_id == 3
    assert (page.unreadable, page.total_cnt) == (2, 4)


def test_a_line_feed_in_a_name_is_a_space() -> None:
    person = {"id": "1", "name": "王\r\n小明\x07", "extra_info": "a\u2028b", "phone": 139}
    body = json.dumps({"errcode": 0, "promoter_list": [person]})
    [one] = codec.read_promoters(200, body.encode()).promoters
    assert (one.name, one.extra_info, one.phone) == ("王 小明 ", "a b", "139")


def test_roles_as_the_facts_show_them() -> None:
    body = b'{"role_list":[{"role_id":1,"name":"x","desc":"y"}],"total_cnt":2,"errcode":0,"errmsg":"OK"}'
    assert codec.read_roles(200, body) == [Role(1, "x", "y")]
    assert codec.read_roles(200, refusal(103006)) == []
    for bad in (b'{"role_list":[5],"errcode":0}', b'{"role_list":[{"name":"x"}],"errcode":0}'):
        with pytest.raises(OutcomeUnknown, match="no role"):
            codec.read_roles(200, bad)


def test_quota_figures_are_each_optional() -> None:
    body = b'{"quota":{"daily_limit":1000,"used":1,"remain":999},"rate_limit":{"call_count":50,"refresh_second":1},"errcode":0}'
    assert codec.read_quota(200, body) == Quota(1000, 1, 999, 50, 1)
    assert codec.read_quota(200, b'{"errcode":0,"quota":{"remain":"7"},"rate_limit":[]}') == Quota(
        remain=7
    )


READS = [
    codec.read_clicks,
    codec.read_promoters,
    codec.read_roles,
    codec.read_token,
    codec.read_quota,
    lambda status, body: codec.read_delivery("m", status, body),
]


@pytest.mark.parametrize("read", READS)
def test_a_refused_read_says_code_words_rid_and_verdict(read: Any) -> None:
    with pytest.raises(ProviderError) as caught:
        read(200, refusal(48001, f"api unauthorized rid: {RID}"))
    error = caught.value
    assert (error.code, error.rid, error.verdict) == ("48001", RID, Verdict.HALT)
    assert error.detail.startswith("api unauthorized")


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (200, b"<html>"),
        (200, b"[" * 100_000),
        (200, b"[]"),
        (200, b"{}"),
        (200, b'{"errcode":"x"}'),
        (200, b'{"errcode":0,"errcode":1}'),
        (502, b'{"errcode":0}'),
        (302, b'{"errcode":0}'),
        (404, b'{"errcode":0}'),
    ],
)
def test_an_unreadable_read_is_an_error_that_is_worth_another_try(
    read: Any, status: int, body: bytes
) -> None:
    with pytest.raises(OutcomeUnknown) as caught:
        read(status, body)
    assert codec.is_transient(caught.value)


def test_a_read_that_contradicts_itself_is_not_believed() -> None:
    with pytest.raises(OutcomeUnknown, match="gives percent twice"):
        codec.read_delivery("m", 200, b'{"errcode":0,"percent":50,"percent":100}')


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (NotSent("x"), True),
        (OutcomeUnknown("x"), True),
        (ProviderError("-1", "", None, meaning_of("-1").single), True),
        (ProviderError("45011", "", None, meaning_of("45011").single), True),
        (ProviderError("42001", "", None, meaning_of("42001").single), True),
        (ProviderError("48001", "", None, meaning_of("48001").single), False),
        (ProviderError("777", "", None, meaning_of("777").single), False),
        (UsageError("x"), False),
        (ValueError("x"), False),
    ],
)
def test_which_reads_are_worth_another_try(error: Exception, again: bool) -> None:
    assert codec.is_transient(error) is again


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        (refusal(40001), True),
        (refusal("42001"), True),
        (refusal(0), False),
        (refusal(45011), False),
        (b'{"errcode":40001', False),
        (b'["errcode"]', False),
        (b'{"errcode":40001,"errcode":0}', False),
        (b'{"errcode":"x"}', False),
        (b"{}", False),
        (refusal(40001, "x" * 5000), False),
    ],
)
def test_a_refused_token_is_recognised(body: bytes, refused: bool) -> None:
    assert codec.token_refused(body) is refused


def test_a_token_without_an_errcode_is_a_token() -> None:
    token, life = codec.read_token(200, b'{"access_token":"T0KEN","expires_in":7200}')
    assert (token.reveal(), life) == ("T0KEN", 7200.0)
    assert "T0KEN" not in repr(token)
    long = "t" * 5000
    assert codec.read_token(200, json.dumps({"access_token": long}).encode())[0].reveal() == long


@pytest.mark.parametrize(
    ("given", "life"),
    [
        ("7200", 7200.0),
        (7200.5, 7200.5),
        (0, 0.0),
        (None, None),
        (-1, None),
        ("x", None),
        (1e300, None),
    ],
)
def test_a_tokens_life(given: Any, life: float | None) -> None:
    body = json.dumps({"access_token": "t", "expires_in": given}).encode()
    assert codec.read_token(200, body)[1] == life


@pytest.mark.parametrize(
    "body",
    [
        b'{"access_token":"T0KEN","expires',
        b'{"access_token":"T0KEN\\u0000"}',
        b'{"access_token":["T0KEN"]}',
        b'"T0KEN"',
        b'{"errcode":0,"token":"T0KEN"}',
        b'{"errcode":0,"access_token":"T0KEN","access_token":"T0KEN2"}',
    ],
)
def test_no_error_holds_a_token(body: bytes) -> None:
    for status in (200, 404, 502):
        with pytest.raises(OutcomeUnknown) as caught:
            codec.read_token(status, body)
        assert "T0KEN" not in str(caught.value)
        assert caught.value.__cause__ is None


def test_a_bad_appsecret_is_not_a_stale_token() -> None:
    with pytest.raises(ProviderError) as caught:
        codec.read_token(200, refusal(40001, "invalid credential"))
    assert caught.value.verdict == Verdict.HALT
    assert "check the appsecret" in caught.value.detail
    assert not codec.is_transient(caught.value)


@pytest.mark.parametrize("value", ["", " ", None, 5, "a\x00"])
def test_an_empty_msg_id_is_not_asked_for(value: Any) -> None:
    with pytest.raises(UsageError, match="msg_id"):
        codec.delivery_body(value)


def test_a_figure_beyond_all_numbers_is_not_given() -> None:
    seen = codec.read_delivery("m", 200, b'{"errcode":0,"percent":1e999,"send_cnt":-1e999}')
    assert (seen.percent, seen.send_cnt) == (None, None)
    assert len(seen.warnings) == 2


@pytest.mark.parametrize("other", ['"555"', "555"])
def test_an_answer_about_another_message_says_nothing_of_this_one(other: str) -> None:
    body = b'{"errcode":0,"percent":100,"send_cnt":60,"fail_cnt":0,"msg_id":%s}' % other.encode()
    with pytest.raises(OutcomeUnknown, match="about another message"):
        codec.read_delivery("123456", 200, body)


@pytest.mark.parametrize("same", ['"123456"', "123456", "null", '""', "[1]", "true"])
def test_an_answer_may_repeat_the_message_that_was_asked_for(same: str) -> None:
    """Or say nothing of it: what is no id names no other message."""
    body = b'{"errcode":0,"percent":100,"msg_id":%s}' % same.encode()
    assert codec.read_delivery("123456", 200, body).percent == 100
