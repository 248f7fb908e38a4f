"""Answers of a wallet to verdicts: nothing raises, and nothing unproved is a success."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from promomsg.alipay.codec import (
    ParsedResult,
    derive_request_id,
    encode,
    judge,
    masking,
    read_send,
    read_token,
)
from promomsg.alipay.models import SendRequest, TokenRequest
from promomsg.alipay.signing import Signature
from promomsg.errors import OutcomeUnknown, ProviderError
from promomsg.model import Answer, Code, Secret, Verdict


def body(code: str | None, status: str | None, message: Any = "text", **more: Any) -> bytes:
    result = {"resultCode": code, "resultStatus": status, "resultMessage": message}
    return json.dumps({"result": result, **more}, ensure_ascii=False).encode()


def test_a_success_keeps_message_id_and_extend_info() -> None:
    answer = read_send(
        200, body("SUCCESS", "S", messageId="M1", extendInfo='{"memo": "m"}', newField=[1])
    ).answer
    assert answer == Answer(Verdict.SENT, msg_id="M1", extra='{"memo": "m"}', status=200)


def test_the_seeds_own_sample_is_a_success() -> None:
    sample = b'{\n "result": {\n    "resultCode":"SUCCESS",\n    "resultStatus":"S"\n }\n}'
    assert read_send(200, sample).answer.verdict is Verdict.SENT


def test_an_extend_info_object_is_kept_as_json() -> None:
    answer = read_send(200, body("SUCCESS", "S", extendInfo={"名": 1}, messageId=7)).answer
    assert json.loads(answer.extra or "") == {"名": 1}
    assert answer.msg_id == "7"


def test_a_refusal_keeps_the_wallets_words_and_says_what_to_do() -> None:
    answer = read_send(200, body("USER_NOT_SUBSCRIBED", "F", "not subscribed")).answer
    assert (answer.verdict, answer.code, answer.detail) == (
        Verdict.FAILED,
        "USER_NOT_SUBSCRIBED",
        "not subscribed",
    )
    halted = read_send(200, body("INVALID_CLIENT", "F", None)).answer
    assert halted.verdict is Verdict.HALT
    assert "client_id" in halted.detail
    halted = read_send(400, body("KEY_NOT_FOUND", "F", "no key")).answer
    assert halted.detail.startswith("no key (check private_key")


def test_a_token_refusal_blames_the_token_unless_it_contradicts_itself() -> None:
    assert read_send(200, body("EXPIRED_ACCESS_TOKEN", "F")).answer.token_failed
    assert not read_send(200, body("EXPIRED_ACCESS_TOKEN", "S")).answer.token_failed
    assert not read_send(200, body("USER_STATUS_ERROR", "F")).answer.token_failed


@pytest.mark.parametrize(
    ("status", "raw"),
    [
        (200, b""),
        (200, b"<html>Bad gateway</html>"),
        (200, body("SUCCESS", "S")[:-1]),
        (200, b"[]"),
        (200, b"null"),
        (200, b"{}"),
        (200, b'{"result": null}'),
        (200, b'{"result": "SUCCESS"}'),
        (200, b'{"result": {"resultCode": 0, "resultStatus": "S"}}'),
        (200, b'{"result": {"resultCode": "SUCCESS", "resultStatus": true}}'),
        (200, b'{"result": {"resultStatus": "S", "resultStatus": "F"}}'),
        (200, b'{"result": {"resultStatus": "S"}, "result": {"resultStatus": "F"}}'),
        (200, b"\xff\xfe{}"),
        (200, b"[" * 100_000),
        (200, b'{"result": ' + b"9" * 10_000 + b"}"),
        (500, body("SUCCESS", "S")),
        (503, body("USER_NOT_SUBSCRIBED", "F")),
        (404, body("SUCCESS", "S")),
        (302, b""),
    ],
)
def test_what_cannot_be_read_is_unknown(status: int, raw: bytes) -> None:
    answer = read_send(status, raw).answer
    assert (answer.verdict, answer.code) == (Verdict.UNKNOWN, Code.NO_ANSWER)
    assert answer.detail.startswith(f"HTTP {status}: ")


def test_what_is_no_json_to_one_provider_is_none_to_the_other() -> None:
    raw = b'{"result": {"resultCode": "SUCCESS", "resultStatus": "S"}, "x": NaN}'
    assert read_send(200, raw).answer.code == Code.NO_ANSWER


def test_a_result_without_code_and_status_is_unknown() -> None:
    answer = read_send(200, b'{"result": {}}').answer
    assert (answer.verdict, answer.code) == (Verdict.UNKNOWN, Code.NO_ANSWER)


def test_a_field_twice_with_one_value_is_no_contradiction() -> None:
    raw = b'{"result": {"resultCode": "SUCCESS", "resultStatus": "S", "resultStatus": "S"}, "x": 1, "x": 2}'
    assert read_send(200, raw).answer.verdict is Verdict.SENT


def test_a_field_twice_that_decides_nothing_hides_no_result() -> None:
    result = '{"resultCode": "SUCCESS", "resultStatus": "S"}'
    info = '{"resultCode": 1, "resultCode": 2}'
    raw = f'{{"result": {result}, "extendInfo": {info}}}'.encode()
    assert read_send(200, raw).answer.verdict is Verdict.SENT


def test_a_gateways_429_slows_down() -> None:
    answer = judge(read_send(429, b"<html>"), Signature.MISSING)
    assert (answer.verdict, answer.code) == (Verdict.THROTTLED, "HTTP_429")


def test_texts_are_one_line_short_and_without_secrets() -> None:
    secret = Secret("token-0123456789")
    message = "line\none\x1b[31m \u2028" + "x" * 507 + "token-0123456789" + "y" * 900
    answer = read_send(200, body("PARAM_ILLEGAL", "F", message), masking(secret)).answer
    assert len(answer.detail) <= 512
    assert answer.detail.isprintable()
    assert "token-" not in answer.detail
    lone = (
        b'{"result": {"resultStatus": "F", "resultMessage": "a\\ud800b"}, "extendInfo": "\\udc00"}'
    )
    answer = read_send(200, lone).answer
    assert answer.detail == "a\ufffdb"
    assert answer.code == "F"
    (answer.extra or "").encode()
    assert read_send(200, body("PROCESS_FAIL", "F", {"a": 1})).answer.detail == ""


@pytest.mark.parametrize(
    ("raw", "verdict"),
    [
        (b'{"result": "\\ud800"}', Verdict.UNKNOWN),
        (b'{"result": {"resultStatus": "S", "\\uD800": 1}, "\\udfff": 2}', Verdict.SENT),
        (b'{"result": {"resultStatus": "S"}, "messageId": "\\ud83c\\udf89"}', Verdict.SENT),
    ],
)
def test_half_a_character_anywhere_raises_nothing(raw: bytes, verdict: Verdict) -> None:
    answer = read_send(200, raw).answer
    assert answer.verdict is verdict
    assert answer.msg_id in (None, "🎉")


def test_a_short_secret_does_not_garble_the_text() -> None:
    answer = read_send(200, body("PARAM_ILLEGAL", "F", "at"), masking(Secret("t"), None)).answer
    assert answer.detail == "at"


REPLIES = {
    "sent": ParsedResult(Answer(Verdict.SENT), "S"),
    "sent without status": ParsedResult(Answer(Verdict.SENT), None),
    "failed": ParsedResult(Answer(Verdict.FAILED, "USER_STATUS_ERROR"), "F"),
    "failed without status": ParsedResult(Answer(Verdict.FAILED, "USER_STATUS_ERROR"), None),
    "halted": ParsedResult(Answer(Verdict.HALT, "INVALID_CLIENT"), "F"),
    "throttled": ParsedResult(Answer(Verdict.THROTTLED, "REQUEST_TRAFFIC_EXCEED_LIMIT"), "U"),
    "unknown": ParsedResult(Answer(Verdict.UNKNOWN, "UNKNOWN_EXCEPTION"), "U"),
    "lost": ParsedResult(Answer(Verdict.UNKNOWN, "NO_ANSWER"), None),
}


@pytest.mark.parametrize("signature", [Signature.GOOD, Signature.UNCHECKED])
@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_a_good_signature_or_none_asked_for_changes_nothing(
    reply: ParsedResult, signature: Signature
) -> None:
    assert judge(reply, signature) is reply.answer


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_a_bad_signature_is_believed_in_nothing(reply: ParsedResult) -> None:
    answer = judge(reply, Signature.BAD)
    assert (answer.verdict, answer.code) == (Verdict.UNKNOWN, Code.UNSIGNED)


def test_an_unsigned_answer_is_believed_only_with_status_f_or_u() -> None:
    for name in ("failed", "halted", "throttled", "unknown", "lost"):
        assert judge(REPLIES[name], Signature.MISSING) is REPLIES[name].answer
    for name in ("sent", "sent without status", "failed without status"):
        answer = judge(REPLIES[name], Signature.MISSING)
        assert (answer.verdict, answer.code) == (Verdict.UNKNOWN, Code.UNSIGNED)


TOKENS = {
    "accessToken": "access-0123",
    "accessTokenExpiryTime": "2026-12-24T12:08:56+05:30",
    "refreshToken": "refresh-0123",
    "refreshTokenExpiryTime": "later",
    "customerId": "C1",
}


def test_tokens_are_read_and_hidden() -> None:
    token = read_token(200, body("SUCCESS", "S", **TOKENS), Signature.GOOD)
    assert token.access_token.reveal() == "access-0123"
    assert token.refresh_token is not None
    assert token.refresh_token.reveal() == "refresh-0123"
    assert token.access_token_expiry == datetime(2026, 12, 24, 6, 38, 56, tzinfo=UTC)
    assert token.refresh_token_expiry is None
    assert token.customer_id == "C1"
    assert "0123" not in repr(token)


def test_a_time_without_offset_is_no_time() -> None:
    raw = body("SUCCESS", "S", accessToken="a", accessTokenExpiryTime="2026-12-24T12:08:56")
    token = read_token(200, raw, Signature.GOOD)
    assert token.access_token_expiry is None
    assert token.refresh_token is None


def test_a_refused_token_call_is_the_providers_error() -> None:
    raw = body("USED_REFRESH_TOKEN", "F", "spent refresh-0123")
    with pytest.raises(ProviderError) as caught:
        read_token(200, raw, Signature.MISSING, masking(Secret("refresh-0123")))
    assert (caught.value.code, caught.value.verdict) == ("USED_REFRESH_TOKEN", Verdict.FAILED)
    assert "0123" not in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "signature"),
    [
        (b"<html>", Signature.GOOD),
        (body("SUCCESS", "S"), Signature.GOOD),
        (body("SUCCESS", "S", accessToken=""), Signature.GOOD),
        (body("SUCCESS", "S", accessToken=5), Signature.GOOD),
        (body("SUCCESS", "S", **TOKENS), Signature.MISSING),
        (body("SUCCESS", "S", **TOKENS), Signature.BAD),
        (body("ACCESS_DENIED", "F"), Signature.BAD),
    ],
)
def test_a_token_answer_nobody_can_believe(raw: bytes, signature: Signature) -> None:
    with pytest.raises(OutcomeUnknown, match=r"^applyToken: "):
        read_token(200, raw, signature)


def test_requests_are_raw_utf8_with_their_extra_fields() -> None:
    request = SendRequest(
        app_id="P1",
        access_token=Secret("t"),
        request_id="r",
        template_code="T",
        templates=[{"templateParameters": {"who": "小明🎉"}}],
    )
    raw = encode(request, b'{"customerBelongsTo":"TNG"}')
    assert "小明🎉".encode() in raw
    assert json.loads(raw) == {
        "appId": "P1",
        "accessToken": "t",
        "requestId": "r",
        "templateCode": "T",
        "templates": [{"templateParameters": {"who": "小明🎉"}}],
        "customerBelongsTo": "TNG",
    }
    refresh = TokenRequest(app_id="P1", grant_type="REFRESH_TOKEN", refresh_token=Secret("r"))
    assert json.loads(encode(refresh)) == {
        "appId": "P1",
        "grantType": "REFRESH_TOKEN",
        "refreshToken": "r",
    }
    with pytest.raises(NotImplementedError):
        encode(TokenRequest(app_id=object(), grant_type="x"))  # type: ignore[arg-type]


def test_request_ids_are_stable_safe_and_apart() -> None:
    first = derive_request_id("a" * 32, "user-1", 0)
    assert first == derive_request_id("a" * 32, "user-1", 0)
    assert first == "4c23cb86cc30d426543b1252e6c59b641c5bc26fb8561f36"
    others = {
        derive_request_id("b" * 32, "user-1", 0),
        derive_request_id("a" * 32, "user-2", 0),
        derive_request_id("a" * 32, "user-1", 1),
    }
    assert len(others | {first}) == 4
