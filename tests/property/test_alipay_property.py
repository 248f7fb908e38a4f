"""Rules of the wallet channel's pure half that hold for every input."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promomsg.alipay import signing
from promomsg.alipay.codec import derive_request_id, encode, judge, masking, read_send
from promomsg.alipay.message import AlipayMessage, CompiledAlipayMessage
from promomsg.alipay.models import ContentTemplate, SendRequest
from promomsg.alipay.signing import Signature
from promomsg.model import Secret, Verdict
from promomsg.placeholders import MissingParam

PRIVATE = signing.load_private_key(signing.make_key_pair().private_pem)
PUBLIC = PRIVATE.public_key()
FEW = settings(max_examples=60, deadline=None)

anything: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        1e400,
        "",
        "S",
        "a\x1b\u2028b",
        "\ud800",
        "x" * 5000,
        [],
        [{}],
        {},
        {"a": [1]},
    ]
)
results = st.fixed_dictionaries(
    {},
    optional={
        "resultCode": st.sampled_from(["SUCCESS", "PROCESS_FAIL", "ACCESS_DENIED"]) | anything,
        "resultStatus": st.sampled_from(["S", "F", "U"]) | anything,
        "resultMessage": anything,
    },
)
answers = st.fixed_dictionaries(
    {}, optional={"result": results | anything, "extendInfo": anything, "messageId": anything}
)


@given(st.integers(100, 599), st.binary(max_size=80), st.sampled_from(Signature))
def test_no_bytes_make_a_send_raise_or_succeed(
    status: int, body: bytes, signature: Signature
) -> None:
    answer = judge(read_send(status, body), signature)
    assert answer.verdict in (Verdict.UNKNOWN, Verdict.THROTTLED)


@given(st.integers(100, 599), answers, st.sampled_from(Signature))
def test_no_answer_raises_and_an_unproved_one_is_never_sent(
    status: int, fields: Any, signature: Signature
) -> None:
    answer = judge(read_send(status, json.dumps(fields).encode()), signature)
    if answer.verdict is Verdict.SENT:
        assert signature in (Signature.GOOD, Signature.UNCHECKED)
        assert status < 300
        assert fields["result"].get("resultStatus") in ("S", None)
    for text in (answer.code, answer.detail, answer.msg_id or "", answer.extra or ""):
        text.encode()
        assert len(text) <= 4096
    assert answer.detail == "" or answer.detail.isprintable()


@given(st.data())
def test_a_success_cut_short_anywhere_is_unknown(data: st.DataObject) -> None:
    whole = b'{"result":{"resultCode":"SUCCESS","resultStatus":"S"},"messageId":"M"}'
    cut = data.draw(st.integers(0, len(whole) - 1))
    assert read_send(200, whole[:cut]).answer.verdict is Verdict.UNKNOWN


@FEW
@given(
    st.text(st.characters(codec="utf-8")),
    st.binary(max_size=200),
    st.sampled_from(signing.ENCODINGS),
    st.integers(0, 199),
)
def test_a_signature_verifies_and_a_flipped_bit_does_not(
    time: str, body: bytes, encoding: Any, at: int
) -> None:
    signature = signing.sign(PRIVATE, "/api/x", "client", time, body, encoding)
    assert signing.verify(PUBLIC, "/api/x", "client", time, body, signature)
    if body:
        flipped = bytearray(body)
        flipped[at % len(body)] ^= 1
        assert not signing.verify(PUBLIC, "/api/x", "client", time, bytes(flipped), signature)


@given(st.text(max_size=400))
def test_no_text_makes_verification_raise(text: str) -> None:
    assert not signing.verify(PUBLIC, "/", "c", "t", b"", text)
    headers = {"Signature": text, "Response-Time": "t"}
    found = signing.check_answer(PUBLIC, "/", "c", headers, b"")
    assert found in (Signature.BAD, Signature.MISSING)


keys = st.tuples(st.text("0123456789abcdef", min_size=1, max_size=32), st.text(), st.integers(0, 9))


@given(keys, keys)
def test_request_ids_are_as_different_as_what_they_are_of(
    one: tuple[str, str, int], other: tuple[str, str, int]
) -> None:
    first, second = derive_request_id(*one), derive_request_id(*other)
    assert (first == second) == (one == other)
    assert len(first) <= 64
    assert first.isascii()
    assert first.isalnum()


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=60))
def test_a_value_either_arrives_as_it_was_or_is_a_problem(value: str) -> None:
    compiled = CompiledAlipayMessage(
        AlipayMessage(
            "TP",
            [ContentTemplate({"who": "hi {who}"}, "en-US")],
            redirect_url="/p?w={who}",
            extend_info={"m": "{who}"},
        )
    )
    if value.isspace():  # a blank cell is a missing one
        with pytest.raises(MissingParam):
            compiled.values({"who": value}, "k")
        return
    values = compiled.values({"who": value}, "k")
    if compiled.problem(values) is None:
        raw = compiled.body(values, app_id="P", access_token=Secret("t"), request_id="r")
        body = json.loads(raw)
        assert body["templates"][0]["templateParameters"]["who"] == f"hi {value}"
        assert json.loads(body["extendInfo"]) == {"m": value}
        assert body["redirectUrl"].isascii()
    else:
        assert not value.isprintable()


PLAIN = b'{"result":{"resultCode":"SUCCESS","resultStatus":"S","resultMessage":"ok"},"extendInfo":"{\\"a\\":1}","messageId":"M1"}'
pieces_of_answers = st.sampled_from(
    [
        *(b'"resultCode":"SUCCESS",', b'"resultCode":"PROCESS_FAIL",', b'"resultStatus":"F",'),
        *(b'"resultStatus":"S",', b'"result\\u0053tatus":"U",', b'"messageId":"M2",', b'"x":1,'),
        *(b'"result":{"resultStatus":"F"},', b'"extendInfo":null,', b',"messageId":7'),
        *(b" ", b"\n", b"\\", b"\\/", b"\\u00e9", b"\\ud83d", b"\x01", b"\xff", b"\xe5\x90\x8d"),
        *(b"\xef\xbb\xbf", b"}", b"{", b'"', b","),
    ]
)


@given(
    st.lists(st.tuples(st.integers(0, len(PLAIN)), pieces_of_answers), max_size=3),
    st.sampled_from([200, 302, 404, 429, 500]),
)
def test_a_plain_success_is_read_as_every_other_answer_is(
    added: list[tuple[int, bytes]], status: int
) -> None:
    """The short way to read one sees what the long way sees: a key that stands twice above all."""
    body = PLAIN
    for at, piece in added:
        body = body[:at] + piece + body[at:]
    mask = masking(Secret("token-0123456789"))
    short = read_send(status, body, mask)
    # A field that no table names, and which decides nothing, keeps an answer from the short way.
    at = body.find(b"{") + 1
    long = read_send(status, body[:at] + b'"unknown":0,' + body[at:], mask)
    assert short.status == long.status
    assert short.answer.verdict == long.answer.verdict
    assert (short.answer.msg_id, short.answer.extra) == (long.answer.msg_id, long.answer.extra)


@pytest.mark.parametrize("key", [b"resultCode", b"resultStatus"])
@pytest.mark.parametrize("last", [True, False])
def test_a_success_and_a_refusal_in_one_object_are_neither(key: bytes, last: bool) -> None:
    good, bad = (b"SUCCESS", b"PROCESS_FAIL") if key == b"resultCode" else (b"S", b"F")
    pair = b'"%b":"%b"' % (key, good)
    both = [pair, b'"%b":"%b"' % (key, bad)]
    body = PLAIN.replace(pair, b",".join(both if last else both[::-1]))
    assert read_send(200, PLAIN).answer.verdict is Verdict.SENT
    assert read_send(200, body).answer.verdict is Verdict.UNKNOWN


# A message's text: literal pieces, and placeholders by their names.
words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=8)
literals = words | st.sampled_from(["\\", '"', "\\u0080", "/", "\t\n", "{", "}", "a0", "%00"])
pieces = st.lists(literals | st.sampled_from([("a",), ("b",)]), max_size=4)
names = st.text('abc."\\é', min_size=1, max_size=4)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | pieces.map(lambda p: ["text", p]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: ["list", items])
        | st.dictionaries(names, inner, max_size=3)
    ),
    max_leaves=6,
)


def built(node: Any, texts: Any) -> Any:
    """A JSON value of `json_values`, each text made of its pieces by `texts`."""
    if isinstance(node, dict):
        return {name: built(item, texts) for name, item in node.items()}
    if isinstance(node, list):
        kind, items = node
        return texts(items) if kind == "text" else [built(item, texts) for item in items]
    return node


def source(items: list[Any]) -> str:
    """The text as a user writes it."""
    return "".join(
        f"{{{i[0]}}}" if isinstance(i, tuple) else i.replace("{", "{{").replace("}", "}}")
        for i in items
    )


@given(
    st.dictionaries(names, pieces, max_size=3),
    st.none() | st.dictionaries(names, json_values, min_size=1, max_size=3),
    st.dictionaries(names, json_values, max_size=3),
    words.filter(str.strip),
    words.filter(str.strip),
)
def test_a_body_is_what_its_rendered_message_encodes_to(
    parameters: Any, info: Any, extra: Any, a: str, b: str
) -> None:
    """Byte for byte: a recipient's digest, and what is signed, do not hang on how it is put together."""
    given_values = {"a": a, "b": b}

    def rendered(items: list[Any]) -> str:
        return "".join(given_values[i[0]] if isinstance(i, tuple) else i for i in items)

    compiled = CompiledAlipayMessage(
        AlipayMessage(
            "T{P",
            [ContentTemplate({n: source(p) for n, p in parameters.items()}, "en-US")],
            redirect_url="/p%00?w={a}",
            extend_info=None if info is None else built(info, source),
            extra=built(extra, source),
        )
    )
    request = SendRequest(
        app_id="P",
        access_token=Secret('to"k'),
        request_id="r",
        template_code="T{P",
        redirect_url="/p%00?w=" + quote(a, safe=""),
        templates=[
            {
                "templateParameters": {n: rendered(p) for n, p in parameters.items()},
                "language": "en-US",
            }
        ],
        extend_info=None if info is None else msgspec.json.encode(built(info, rendered)).decode(),
    )
    more = msgspec.json.encode(built(extra, rendered)) if extra else b""
    values = compiled.values(given_values, "k")
    body = compiled.body(values, app_id="P", access_token=Secret('to"k'), request_id="r")
    assert body == encode(request, more)
