"""Texts as platforms write them: raw control characters, a character that was cut, stray escapes.

They cost nobody an answer, a page or an outcome; ids and codes keep their rules.
"""

from __future__ import annotations

import pytest

from promomsg import Verdict
from promomsg.alipay import codec as alipay
from promomsg.alipay import signing
from promomsg.errors import OutcomeUnknown, ProviderError
from promomsg.wechat import codec
from promomsg.wechat.failure_file import parse_failures

ODD = {
    "line feed": b"first\nsecond",
    "tab": b"a\tb",
    "NUL": b"a\0b",
    "bell and escape": b"\x07\x1b[31m",
    "every control character": bytes(range(0x20)) + b"\x7f",
    "cut at its end": "推广员小明".encode()[:-1],
    "cut in the middle": "小".encode()[:2] + b"abc",
    "cut emoji": "😀".encode()[:3],
    "a stray continuation": b"a\x98b",
    "GBK": "推广".encode("gbk"),
    "GBK with a backslash in it": "许僜可".encode("gbk") + "乗".encode("gbk"),
    "Latin-1": "café".encode("latin-1"),
    "half an escaped emoji": b"\\ud83d",
    "an escape that is none": b"C:\\promoters\\x",
    "a cut escape": b"\\u4e",
    "CESU-8": b"\xed\xa0\xbd\xed\xb8\x80",
}


def escaped_quote_free(name: str) -> bytes:
    return b'"' + ODD[name] + b'"'


@pytest.mark.parametrize("name", ODD)
def test_a_code_is_read_beside_any_text(name: str) -> None:
    text = escaped_quote_free(name)
    for code, single in (
        (43101, "FAILED"),
        (45009, "HALT"),
        (40001, "RETRY"),
        (45011, "THROTTLED"),
    ):
        body = b'{"errcode":%d,"errmsg":%b}' % (code, text)
        answer = codec.read_single(200, body)
        assert (answer.verdict, answer.code, answer.readable) == (single, str(code), True)
        assert answer.detail.isprintable()
        assert answer.detail.encode("utf-8")
        assert codec.token_refused(body) is (code == 40001)
    body = b'{"errmsg":%b,"errcode":0,"msg_id":"m1"}' % text
    assert codec.read_single(200, body).verdict is Verdict.SENT
    assert codec.read_group(200, body).msg_id == "m1"


@pytest.mark.parametrize("name", ODD)
def test_one_promoters_name_spoils_no_page(name: str) -> None:
    text = escaped_quote_free(name)
    body = (
        b'{"errcode":0,"errmsg":"OK","total_cnt":2,"promoter_list":['
        b'{"id":"100","name":%b,"phone":%b,"extra_info":%b},{"id":"101","name":"x"}]}'
    ) % (text, text, text)
    page = codec.read_promoters(200, body)
    assert [p.id for p in page.promoters] == ["100", "101"]
    assert (page.total_cnt, page.unreadable) == (2, 0)
    assert (page.promoters[0].name or "").isprintable()


@pytest.mark.parametrize("name", ODD)
def test_nor_any_other_read(name: str) -> None:
    text = escaped_quote_free(name)
    delivery = codec.read_delivery(
        "m1",
        200,
        b'{"errcode":0,"errmsg":%b,"percent":100,"send_cnt":60,"fail_cnt":1,"content":%b,'
        b'"fail_info":[{"id":"7","errcode":103010,"reason":%b}]}' % (text, text, text),
    )
    assert (delivery.percent, delivery.send_cnt, delivery.failures[0].id) == (100, 60, "7")
    (clicks,) = codec.read_clicks(
        200, b'{"errcode":0,"errmsg":%b,"data_list":[{"click_uv":3,"msg_id":"m1"}]}' % text
    )
    assert (clicks.click_uv, clicks.msg_id) == (3, "m1")
    (role,) = codec.read_roles(
        200, b'{"errcode":0,"role_list":[{"role_id":1,"name":%b,"desc":%b}]}' % (text, text)
    )
    assert role.role_id == 1
    assert (
        codec.read_quota(200, b'{"errcode":0,"errmsg":%b,"quota":{"remain":5}}' % text).remain == 5
    )
    token, life = codec.read_token(200, b'{"access_token":"T","expires_in":7,"note":%b}' % text)
    assert (token.reveal(), life) == ("T", 7.0)
    with pytest.raises(ProviderError) as caught:
        codec.read_token(200, b'{"errcode":45011,"errmsg":%b}' % text)
    assert (caught.value.code, caught.value.retry_after) == ("45011", 60.0)


FILES = [
    (name, shape)
    for name in ODD
    for shape in ("array", "lines", "object")
    # A record of a file is not mended in its escapes: it is counted.
    if "escape that" not in name and "cut escape" not in name and "backslash" not in name
]


@pytest.mark.parametrize(("name", "shape"), FILES)
def test_a_failure_file_names_everybody(name: str, shape: str) -> None:
    text = escaped_quote_free(name)
    records = [b'{"id":"%d","errcode":103010,"name":%b}' % (n, text) for n in range(3)]
    raw = {
        "array": b"[" + b",".join(records) + b"]",
        "lines": b"\n".join(records),
        "object": b'{"fail_info":[' + b",".join(records) + b"]}",
    }[shape]
    failures, warning = parse_failures(raw)
    assert [failure.id for failure in failures] == ["0", "1", "2"]
    assert warning is None


@pytest.mark.parametrize("name", ODD)
def test_a_signed_success_is_one_and_its_raw_bytes_are_what_is_verified(name: str) -> None:
    pair = signing.make_key_pair()
    private = signing.load_private_key(pair.private_pem)
    public = signing.load_public_key(pair.public_pem)
    body = (
        b'{"result":{"resultCode":"SUCCESS","resultStatus":"S","resultMessage":%b},'
        b'"extendInfo":%b,"messageId":"M1"}'
    ) % (escaped_quote_free(name), escaped_quote_free(name))
    signature = signing.sign(private, "/p", "c", "t", body)
    headers = {"Signature": signing.signature_header(signature), "Response-Time": "t"}
    proved = signing.check_answer(public, "/p", "c", headers, body)
    answer = alipay.judge(alipay.read_send(200, body), proved)
    assert (answer.verdict, answer.msg_id) == (Verdict.SENT, "M1")
    assert (answer.extra or "").encode("utf-8")
    refused = alipay.read_send(
        200,
        b'{"result":{"resultCode":"USER_NOT_SUBSCRIBED","resultStatus":"F","resultMessage":%b}}'
        % escaped_quote_free(name),
    ).answer
    assert (refused.verdict, refused.code) == (Verdict.FAILED, "USER_NOT_SUBSCRIBED")
    assert refused.detail.isprintable()


GARBLED = [b"\xe6\x98", b"\0", b"\n", b"\x1f", b"\xff"]


@pytest.mark.parametrize("bad", GARBLED)
@pytest.mark.parametrize("code", [b'"0%b"', b'"%b0"', b'"43101%b"'])
def test_a_garbled_errcode_is_none(code: bytes, bad: bytes) -> None:
    answer = codec.read_single(200, b'{"errcode":%b,"errmsg":"ok"}' % (code % bad))
    assert answer.verdict is Verdict.UNKNOWN
    assert "readable errcode" in answer.detail


@pytest.mark.parametrize("bad", GARBLED)
def test_a_garbled_id_is_nobodys(bad: bytes) -> None:
    group = codec.read_group(200, b'{"errcode":0,"msg_id":"m%b1"}' % bad)
    assert group.verdict is Verdict.UNKNOWN
    page = codec.read_promoters(
        200, b'{"errcode":0,"promoter_list":[{"id":"10%b0","name":"x"},{"id":"101"}]}' % bad
    )
    assert [p.id for p in page.promoters] == ["101"]
    assert page.unreadable == 1
    failures, warning = parse_failures(b'[{"id":"10%b0","errcode":103010}]' % bad)
    assert failures == []
    assert warning is not None
    assert "1 cannot be read" in warning
    with pytest.raises(OutcomeUnknown, match="no token"):
        codec.read_token(200, b'{"access_token":"T%bT","expires_in":7}' % bad)


@pytest.mark.parametrize("bad", GARBLED)
def test_a_garbled_result_of_a_wallets_decides_nothing(bad: bytes) -> None:
    for code, status in (
        (b"SUC%bCESS" % bad, b"S"),
        (b"SUCCESS", b"S%b" % bad),
        (b"X%b" % bad, b"S"),
    ):
        body = b'{"result":{"resultCode":"%b","resultStatus":"%b"}}' % (code, status)
        answer = alipay.read_send(200, body).answer
        assert (answer.verdict, answer.readable) == (Verdict.UNKNOWN, False)
        assert "garbled" in answer.detail
    body = b'{"result":{"resultCode":"SUCCESS","resultStatus":"S"},"messageId":"M%b1"}' % bad
    assert alipay.read_send(200, body).answer.msg_id is None
    body = b'{"result":{"resultCode":"SUCCESS","resultStatus":"S"},"accessToken":"T%bT"}' % bad
    with pytest.raises(OutcomeUnknown, match="no readable token"):
        alipay.read_token(200, body, signing.Signature.GOOD)


PAGE = "<html><head><title>张三 13800138000</title></head><body>张三 13800138000 zhang@x.cn</body></html>"


@pytest.mark.parametrize(
    "body",
    [
        PAGE,
        "\ufeff\n" + PAGE,
        "张三 13800138000 zhang@x.cn",
        '{"name":"张三 13800138000 zhang@x.cn"',
        '{"张三 13800138000":1,"张三 13800138000":2}',
        '["张三 13800138000 zhang@x.cn"]',
        '"张三 13800138000 zhang@x.cn"',
        '<?xml version="1.0"?><n>张三 13800138000 zhang@x.cn</n>',
        '{"data":{"name":"张三 13800138000 zhang@x.cn"}}',
        '{"errcode":"张三 13800138000 zhang@x.cn"}',
    ],
)
@pytest.mark.parametrize("status", [200, 403, 429, 500])
def test_a_page_is_never_quoted(status: int, body: str) -> None:
    """It held names and telephone numbers; what kind of page it was is said."""
    raw = body.encode()
    said = [
        codec.read_single(status, raw).detail,
        codec.read_group(status, raw).detail,
        alipay.read_send(status, raw).answer.detail,
    ]
    for read in (codec.read_promoters, codec.read_roles, codec.read_quota, codec.read_clicks):
        with pytest.raises((OutcomeUnknown, ProviderError)) as caught:
            read(status, raw)
        said.append(str(caught.value))
    for text in said:
        assert "张" not in text
        assert "1380" not in text
        assert "zhang" not in text
        assert "\n" not in text
        assert text


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"errcode":0,"errm', "Unterminated string starting at character 14"),
        (b'{"errcode":0}}', "Extra data at character 14"),
        (b"{errcode:0}", "Expecting property name enclosed in double quotes at character 2"),
        (b"<!DOCTYPE html><p>", "an HTML page, 18 bytes"),
        (b"", "an empty answer"),
        (b"  \n", "3 bytes of blanks"),
        (b"\x1f\x8b\x08\x00", "bytes that are no text, 4 bytes"),
    ],
)
def test_what_the_parser_complains_of_is_said(body: bytes, says: str) -> None:
    assert says in codec.read_single(200, body).detail


@pytest.mark.parametrize(
    "body",
    [PAGE.encode(), b"", b'{"message":"API rate limit exceeded"}', b'{"errcode":null}', b"[]"],
)
def test_a_429_without_a_result_is_a_throttle_on_both_channels(body: bytes) -> None:
    for answer in (
        codec.read_single(429, body),
        codec.read_group(429, body),
        alipay.read_send(429, body).answer,
    ):
        assert (answer.verdict, answer.code, answer.readable) == (
            Verdict.THROTTLED,
            "HTTP_429",
            True,
        )
    for read in (codec.read_promoters, codec.read_token, codec.read_quota):
        with pytest.raises(ProviderError) as caught:
            read(429, body)
        assert (caught.value.code, caught.value.verdict) == ("HTTP_429", "THROTTLED")
        assert codec.is_transient(caught.value)
    with pytest.raises(ProviderError, match="HTTP_429") as caught:
        alipay.read_token(429, body, signing.Signature.MISSING)
    assert caught.value.verdict == "THROTTLED"


def test_a_429_with_a_result_says_what_the_result_says() -> None:
    assert codec.read_single(429, b'{"errcode":43101}').code == "43101"
    assert codec.read_single(429, b'{"errcode":45009}').verdict is Verdict.HALT
    # Two words in one: neither is believed, and what may have gone out is not sent again.
    assert codec.read_single(429, b'{"errcode":0}').verdict is Verdict.UNKNOWN
    assert codec.read_single(429, b'{"errcode":0,"errcode":45011}').verdict is Verdict.UNKNOWN


def test_a_rid_has_a_rids_shape() -> None:
    def rid(errmsg: str) -> str | None:
        return codec.read_single(200, b'{"errcode":40001,"errmsg":"%b"}' % errmsg.encode()).rid

    assert rid("invalid credential rid: 65b0a77b-3857ef84-7d2c553e") == "65b0a77b-3857ef84-7d2c553e"
    assert rid("invalid credential rid: 65B0A77B-3857EF84-7D2C553E") is not None
    for other in ("77_TOKENtokenTOKENtoken", "a" * 32, "zzzz-zzzz", "12345678-1234567g-12345678"):
        assert rid(f"invalid credential rid: {other}") is None
