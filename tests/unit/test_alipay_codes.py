"""resultCode first, resultStatus second: every row of docs/facts/alipay.md, "Result"."""

from __future__ import annotations

import pytest

from promomsg.alipay.codes import CODES, classify
from promomsg.model import Verdict

ROWS = {
    Verdict.UNKNOWN: ["UNKNOWN_EXCEPTION"],
    Verdict.THROTTLED: ["REQUEST_TRAFFIC_EXCEED_LIMIT"],
    Verdict.FAILED: [
        "EXPIRED_ACCESS_TOKEN",
        "INVALID_ACCESS_TOKEN",
        "USER_NOT_SUBSCRIBED",
        "USER_STATUS_ERROR",
        "MESSAGE_SEND_EXCEED_LIMIT",
        "PARAM_ILLEGAL",
        "PROCESS_FAIL",
        "NEVER_HEARD_OF",
    ],
    Verdict.REFUSED: ["TEMPLATE_NOT_EXIST"],
    Verdict.HALT: [
        "INVALID_API",
        "ACCESS_DENIED",
        "INVALID_CLIENT",
        "INVALID_SIGNATURE",
        "INVALID_AUTH_CLIENT",
        "METHOD_NOT_SUPPORTED",
        "MEDIA_TYPE_NOT_ACCEPTABLE",
        "KEY_NOT_FOUND",
    ],
}


@pytest.mark.parametrize(
    ("code", "verdict"), [(code, verdict) for verdict, codes in ROWS.items() for code in codes]
)
def test_each_code_with_the_status_of_the_table(code: str, verdict: Verdict) -> None:
    assert classify(code, "F").verdict is verdict


def test_success_is_believed_with_its_own_status_only() -> None:
    assert classify("SUCCESS", "S").verdict is Verdict.SENT
    assert classify("SUCCESS", None).verdict is Verdict.SENT
    for status in ("F", "U", "A", ""):
        assert classify("SUCCESS", status).verdict is Verdict.UNKNOWN


def test_a_refusal_that_claims_success_is_neither() -> None:
    for code in (*CODES, "PROCESS_FAIL"):
        if code != "SUCCESS":
            assert classify(code, "S").verdict is Verdict.UNKNOWN


def test_the_code_goes_before_the_status() -> None:
    assert classify("REQUEST_TRAFFIC_EXCEED_LIMIT", "U").verdict is Verdict.THROTTLED
    assert classify("USER_NOT_SUBSCRIBED", "U").verdict is Verdict.FAILED
    assert classify("KEY_NOT_FOUND", None).verdict is Verdict.HALT


def test_without_a_known_code_the_status_decides() -> None:
    for code in (None, "NEVER_HEARD_OF", "PROCESS_FAIL"):
        if code != "PROCESS_FAIL":
            assert classify(code, "S").verdict is Verdict.SENT
        assert classify(code, "F").verdict is Verdict.FAILED
        assert classify(code, "U").verdict is Verdict.UNKNOWN
        assert classify(code, None).verdict is Verdict.UNKNOWN


def test_only_the_two_token_codes_blame_the_token() -> None:
    blamed = {code for code, meaning in CODES.items() if meaning.token_failed}
    assert blamed == {"EXPIRED_ACCESS_TOKEN", "INVALID_ACCESS_TOKEN"}


def test_every_row_names_its_source() -> None:
    assert all(meaning.source for meaning in CODES.values())
