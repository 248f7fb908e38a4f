"""Every decoder on every kind of broken bytes: honest answers bent, cut, doubled, compressed."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any, Final

import pytest
from chaos.fuzz_targets import HONEST, STATUSES, TARGETS
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from promomsg.errors import OutcomeUnknown
from promomsg.transport.body import inflate

_PIECES: Final = [
    b'"errcode":0',
    b'"errcode":-1,',
    b',"errcode":43101',
    b'"percent":101',
    b'"fail_cnt":-3',
    b'"msg_id":null',
    b'"resultStatus":"S"',
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"{}",
    b"[",
    b"1e999",
    b"NaN",
    b"\\ud800",
    b"\r\n",
    b"9" * 4301,
]


@st.composite
def bent(draw: st.DrawFn) -> bytes:
    """An honest answer after one to four mishaps."""
    body = bytearray(json.dumps(draw(st.sampled_from(HONEST)), ensure_ascii=False).encode())
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(body) - 1, 0)))
        kind = draw(st.integers(0, 5))
        if kind == 0 and body:
            body[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == 1:
            body[at:at] = draw(st.sampled_from(_PIECES))
        elif kind == 2:
            del body[at : at + draw(st.integers(1, 30))]
        elif kind == 3:
            del body[at:]
        elif kind == 4:
            body += body[at:]
        else:
            body[at : at + 1] = draw(st.binary(max_size=3))
    return bytes(body)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.__name__)
@settings(
    max_examples=400, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
@given(status=st.sampled_from(STATUSES), body=bent() | st.binary(max_size=80))
@example(status=200, body=b'{"errcode":0,"errcode":43101}')
@example(status=200, body=b'{"errcode":' + b"9" * 5000 + b"}")
@example(status=200, body=b"[" * 20_000)
@example(status=200, body=b'{"a":' * 20_000)
@example(status=200, body=b"")
@example(status=200, body=b'{"\\ud800errcode":0,"percent":100,"send_cnt":60,"fail_cnt":0}')
@example(status=200, body=b'{"errcode":43101,"errmsg":"\xef\xbb\xbf\xe2\x80\xaeno"}')
@example(status=200, body=b'{"result":{"resultCode":"\\ud800","resultStatus":"F"},"\\ud800":1}')
def test_a_decoder_keeps_its_promise(target: Any, status: int, body: bytes) -> None:
    target(status, body)


@settings(max_examples=100, deadline=None)
@given(
    plain=st.binary(max_size=3000),
    cut=st.integers(0, 40),
    kind=st.sampled_from(["gzip", "deflate", "raw"]),
)
def test_what_was_compressed_comes_out_whole_or_not_at_all(
    plain: bytes, cut: int, kind: str
) -> None:
    if kind == "gzip":
        packed = gzip.compress(plain)
    elif kind == "deflate":
        packed = zlib.compress(plain)
    else:
        packer = zlib.compressobj(wbits=-15)
        packed = packer.compress(plain) + packer.flush()
    name = "gzip" if kind == "gzip" else "deflate"
    assert inflate(packed, name, 3000) == plain
    if 0 < cut < len(packed):
        with pytest.raises(OutcomeUnknown):
            inflate(packed[:-cut], name, 3000)
    if plain:
        with pytest.raises(OutcomeUnknown):
            inflate(packed, name, len(plain) - 1)
