"""What every decoder promises for any bytes at all: one function for Hypothesis and atheris alike."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final

from promomsg.alipay.codec import judge, read_send, read_token
from promomsg.alipay.signing import Signature
from promomsg.delivery import is_complete, merge_failures, needs_failure_file
from promomsg.errors import OutcomeUnknown, PromoError, ProviderError
from promomsg.model import Answer, Verdict
from promomsg.transport.body import inflate
from promomsg.wechat import codec
from promomsg.wechat.failure_file import parse_failures

__all__ = ["HONEST", "STATUSES", "TARGETS", "any_bytes"]

STATUSES: Final = (200, 200, 200, 200, 201, 204, 302, 400, 404, 429, 500, 502, 503)
HONEST: Final[list[Any]] = [
    {"errcode": 0, "errmsg": "ok"},
    {"errcode": 0, "errmsg": "OK", "msg_id": "1000001"},
    {"errcode": 43101, "errmsg": "user refuse to accept the msg rid: 637f0b5a-1a2b3c4d-5e6f7a8b"},
    {"errcode": 40001, "errmsg": "invalid credential"},
    {
        "errcode": 0,
        "errmsg": "OK",
        "percent": 100,
        "send_cnt": 60,
        "fail_cnt": 2,
        "fail_info": [{"id": "3", "errcode": 43101}, {"id": "4", "errcode": 103010}],
        "fail_info_url": "https://example.com/f?x=%2F",
        "content": '{"title":{"value":"今日优惠"}}',
        "id": ["3", "4"],
    },
    {"percent": 30, "send_cnt": 18, "fail_cnt": 0, "fail_info": []},
    {"access_token": "AT_0123456789", "expires_in": 7200},
    {"promoter_list": [{"id": "1", "openid": "o1", "name": "张三"}], "total_cnt": 1, "errcode": 0},
    {"quota": {"daily_limit": 1000, "used": 2, "remain": 998}, "errcode": 0},
    {"result": {"resultCode": "SUCCESS", "resultStatus": "S", "resultMessage": "ok"}},
    {"result": {"resultCode": "USER_NOT_SUBSCRIBED", "resultStatus": "F"}, "extendInfo": "{}"},
    [{"id": "1003", "errcode": 43101}, {"id": "1004", "errcode": 103010}],
]
"""Answers as the providers give them: what fuzzing begins with."""
_UNFIT: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""Control characters, line ends, halves of characters, direction overrides: nothing to show."""
MEMBERS: Final = frozenset(str(n) for n in range(60))


def _says_ok(body: bytes) -> bool:
    """Whether a plain reading of these bytes finds errcode 0 at the top, and nothing against it."""
    pairs: list[tuple[str, Any]] = []

    def keep(found: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal pairs
        pairs = found
        return dict(found)

    try:
        # Numbers as text: Python refuses to read one of more than 4,300 digits. A text may hold
        # control characters and cut ones, as the decoders' promise has it.
        text = body.decode("utf-8-sig", "replace")
        whole = json.loads(text, object_pairs_hook=keep, parse_int=str, strict=False)
    except (ValueError, RecursionError):
        return False
    if not isinstance(whole, dict):
        return False
    codes = [value for name, value in pairs if name == "errcode"]
    return bool(codes) and all(str(code) in ("0", "0.0", "-0", "-0.0") for code in codes)


def _in_order(answer: Answer) -> None:
    assert len(answer.detail) < 2000
    assert not _UNFIT.search(answer.detail)
    str(answer.code).encode()
    answer.detail.encode()


def _one_line(error: PromoError) -> None:
    assert "\n" not in str(error)


def single(status: int, body: bytes) -> None:
    """singlesendmsg."""
    answer = codec.read_single(status, body)
    _in_order(answer)
    assert answer.verdict is not Verdict.ACCEPTED
    if answer.verdict is Verdict.SENT:
        assert 200 <= status < 300
        assert _says_ok(body), body
    if status >= 500:
        assert answer.verdict is Verdict.UNKNOWN


def group(status: int, body: bytes) -> None:
    """sendmsg."""
    answer = codec.read_group(status, body)
    _in_order(answer)
    assert answer.verdict is not Verdict.SENT
    if answer.verdict is Verdict.ACCEPTED:
        assert answer.msg_id
        assert 200 <= status < 300
        assert _says_ok(body), body


def delivery(status: int, body: bytes) -> None:
    """getmsg, and what the engine makes of it."""
    try:
        seen = codec.read_delivery("7", status, body)
    except (ProviderError, OutcomeUnknown):
        return
    for figure in (seen.send_cnt, seen.fail_cnt):
        assert figure is None or figure >= 0
    assert seen.percent is None or 0 <= seen.percent <= 100
    is_complete(seen, 60)
    needs_failure_file(seen)
    merged = merge_failures(seen, (), 60, MEMBERS)
    names = [failure.id for failure in merged.failures]
    assert len(names) == len(set(names))
    assert MEMBERS.issuperset(names)
    assert merged.unnamed >= 0
    if merged.unnamed == 0:
        # Everybody unnamed counts as reached: the counts have to say so.
        assert seen.fail_cnt is not None
        assert len(names) >= seen.fail_cnt
        assert seen.send_cnt is not None
        assert seen.send_cnt >= 60


def reads(status: int, body: bytes) -> None:
    """The other reads: a value or one of two errors, and no token in a token's error."""
    readers: tuple[Callable[[int, bytes], object], ...] = (
        codec.read_promoters,
        codec.read_roles,
        codec.read_clicks,
        codec.read_quota,
        codec.read_token,
    )
    for reader in readers:
        try:
            reader(status, body)
        except (ProviderError, OutcomeUnknown) as error:
            _one_line(error)
    codec.token_refused(body)


def failure_file(status: int, body: bytes) -> None:
    """A failure file: never raises, names each promoter once."""
    found, _ = parse_failures(body)
    names = [failure.id for failure in found]
    assert len(names) == len(set(names))
    assert all(failure.code and failure.code != "0" for failure in found)


def wallet(status: int, body: bytes) -> None:
    """message/send and applyToken: unsigned or badly signed is never sent."""
    reply = read_send(status, body)
    _in_order(reply.answer)
    for signature in Signature:
        answer = judge(reply, signature)
        _in_order(answer)
        if signature in (Signature.MISSING, Signature.BAD):
            assert answer.verdict is not Verdict.SENT
        if signature is Signature.BAD:
            assert answer.verdict is Verdict.UNKNOWN
        try:
            read_token(status, body, signature)
        except PromoError as error:
            _one_line(error)


def compressed(status: int, body: bytes) -> None:
    """Content-Encoding: never more than the limit comes out."""
    for encoding in ("gzip", "deflate", "br", "", "x-gzip, gzip"):
        try:
            assert len(inflate(body, encoding, 4096)) <= max(4096, len(body))
        except OutcomeUnknown:
            continue


TARGETS: Final = (single, group, delivery, reads, failure_file, wallet, compressed)


def any_bytes(status: int, body: bytes) -> None:
    """Every decoder on the same bytes."""
    for target in TARGETS:
        target(status, body)
