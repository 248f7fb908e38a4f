"""Whatever comes back, readers end in a verdict or a named error, and never make up a success."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from promomsg.errors import OutcomeUnknown, ProviderError
from promomsg.model import Promoters, Verdict
from promomsg.placeholders import MissingParam
from promomsg.wechat import codec
from promomsg.wechat.failure_file import parse_failures
from promomsg.wechat.message import CompiledWeChatMessage, WeChatMessage
from promomsg.wechat.templates import KINDS, LENGTHS

FIELDS = [
    "errcode", "errmsg", "msg_id", "percent", "send_cnt", "fail_cnt", "fail_info", "id",
    "fail_info_url", "data_list", "promoter_list", "role_list", "role_id", "total_cnt", "quota",
    "rate_limit", "access_token", "expires_in", "content", "click_uv",
]  # fmt: skip
CODES = [0, "0", -1, 40001, 43101, 103006, 9999999]

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(), max_size=20)
    | st.sampled_from(CODES)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)
objects = st.dictionaries(st.sampled_from(FIELDS), values, max_size=8)
honest = st.builds(lambda code, rest: {**rest, "errcode": code}, st.sampled_from(CODES), objects)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Random bytes, JSON, JSON with doubled keys, cut JSON."""
    kind = draw(st.integers(0, 4))
    if kind == 0:
        return draw(st.binary(max_size=60))
    text = json.dumps(draw(honest | objects | values), ensure_ascii=draw(st.booleans()))
    body = text.encode("utf-8", "surrogatepass")
    if kind == 1 and body.startswith(b"{") and len(body) > 2:
        other = json.dumps(draw(objects)).encode()
        return body[:-1] + b"," + other[1:] if len(other) > 2 else body
    if kind == 2:
        return body[: draw(st.integers(0, len(body)))]
    return body


statuses = st.sampled_from([200, 200, 200, 201, 302, 400, 404, 500, 502, 0, 999])


def pairs_of(body: bytes) -> list[tuple[str, Any]] | None:
    """The top object's members, repeats and all, by a reader of its own; texts may be damaged."""
    text = body.decode("utf-8-sig", "replace")
    try:
        top = json.loads(text, object_pairs_hook=lambda pairs: pairs, strict=False)
    except (ValueError, RecursionError):
        return None
    return top if body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") else None


@settings(max_examples=400, deadline=None)
@given(statuses, bodies())
@example(200, b'{"errcode":0,"errcode":1}')
@example(200, b'{"errcode":0}')
@example(200, b"[" * 5000)
@example(200, b'{"errmsg": "\xed\xa0\x80", "errcode": 0}')
def test_a_send_is_sent_only_when_the_answer_says_errcode_0(status: int, body: bytes) -> None:
    for read, success in ((codec.read_single, Verdict.SENT), (codec.read_group, Verdict.ACCEPTED)):
        answer = read(status, body)
        assert isinstance(answer.verdict, Verdict)
        assert len(answer.detail) < 1000
        answer.detail.encode()
        assert answer.verdict not in {Verdict.SENT, Verdict.ACCEPTED} - {success}
        if answer.verdict is success:
            members = pairs_of(body)
            assert 200 <= status < 300
            assert members is not None
            codes = [value for name, value in members if name == "errcode"]
            assert codes
            assert all(str(code).strip() == "0" and not isinstance(code, bool) for code in codes)
            assert success is Verdict.SENT or answer.msg_id


READS = [
    codec.read_clicks,
    codec.read_promoters,
    codec.read_roles,
    codec.read_token,
    codec.read_quota,
    lambda status, body: codec.read_delivery("m", status, body),
]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(READS), statuses, bodies())
def test_a_read_gives_a_value_or_one_of_two_errors(read: Any, status: int, body: bytes) -> None:
    said = ""
    try:
        read(status, body)
    except (ProviderError, OutcomeUnknown) as error:
        said = str(error)
    said.encode()
    assert len(said) < 1200
    codec.token_refused(body)


@settings(max_examples=200, deadline=None)
@given(honest)
def test_a_delivery_never_holds_a_figure_that_makes_no_sense(data: dict[str, Any]) -> None:
    data |= {"errcode": 0, "msg_id": "m"}
    seen = codec.read_delivery("m", 200, json.dumps(data).encode())
    assert seen.percent is None or 0 <= seen.percent <= 100
    assert all(n is None or n >= 0 for n in (seen.send_cnt, seen.fail_cnt))
    assert len({failure.id for failure in seen.failures}) == len(seen.failures)
    assert all(failure.code not in ("", "0") for failure in seen.failures)


@settings(max_examples=300, deadline=None)
@given(bodies() | st.lists(st.binary(max_size=12), max_size=6).map(b"\n".join))
def test_a_failure_file_never_raises_and_names_each_promoter_once(raw: bytes) -> None:
    failures, warning = parse_failures(raw)
    assert len({failure.id for failure in failures}) == len(failures)
    assert all(failure.code not in ("", "0") for failure in failures)
    assert warning is None or len(warning) < 400


records = st.dictionaries(
    st.integers(1, 10**12).map(str), st.integers(1, 10**6).map(str), min_size=1, max_size=20
)


@settings(max_examples=60, deadline=None)
@given(records, st.sampled_from(["array", "lines", "csv", "tsv", "headed"]))
def test_every_shape_of_failure_file_comes_back_whole(named: dict[str, str], shape: str) -> None:
    items = [{"id": id, "errcode": int(code)} for id, code in named.items()]
    text = {
        "array": lambda: json.dumps(items),
        "lines": lambda: "\n".join(map(json.dumps, items)),
        "csv": lambda: "\n".join(f"{id},{code}" for id, code in named.items()),
        "tsv": lambda: "\n".join(f"{id}\t{code}" for id, code in named.items()),
        "headed": lambda: "errcode,id\n" + "\n".join(f"{c},{i}" for i, c in named.items()),
    }[shape]()
    failures, warning = parse_failures(text.encode())
    assert {failure.id: failure.code for failure in failures} == named
    assert warning is None


params = st.text(st.characters(), min_size=1, max_size=24)


@settings(max_examples=400, deadline=None)
@given(params, params, st.sampled_from([None, *KINDS]), st.text("ab ", max_size=6))
def test_a_message_without_a_problem_arrives_as_it_was_rendered(
    a: str, b: str, kind: str | None, fixed: str
) -> None:
    message = WeChatMessage(
        1,
        {"t": fixed + "{a}{b}", "u": '"\\{b}'},
        "p?x={a}&y={b}",
        templates=None if kind is None else {"t": kind},
    )
    compiled = CompiledWeChatMessage(message)
    if a.isspace() or b.isspace():  # a blank cell is a missing one
        with pytest.raises(MissingParam):
            compiled.values({"a": a, "b": b}, "k")
        return
    given_values = compiled.values({"a": a, "b": b}, "k")
    assert len(compiled.message_digest(given_values) or b"") == 16
    problem = compiled.problem(given_values)
    if problem is not None:
        problem.detail.encode()
        assert problem.detail.startswith(("content.", "path"))
        return
    shown = compiled.preview(given_values)
    if kind in LENGTHS:
        assert len(shown["t"]) <= LENGTHS[kind]
    for body in (
        compiled.single_body(given_values, openid="o"),
        compiled.group_body(given_values, Promoters(["1"])),
    ):
        sent = json.loads(body)
        assert json.loads(sent["content"]) == {"t": fixed + a + b, "u": '"\\' + b}
        assert sent["path"] == shown["path"]
        assert b"\\u" not in body.replace(b"\\\\", b"")
