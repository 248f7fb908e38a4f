"""A message's bytes against the page's own examples, and what is refused before sending."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest

from promomsg.errors import UsageError
from promomsg.model import Code, Everyone, Promoters, Retailers, Roles
from promomsg.placeholders import MissingParam
from promomsg.wechat.message import CompiledWeChatMessage, WeChatMessage

# The examples of the page that docs/facts/wechat.md is made from, letter for letter.
CONTENT = {
    "title": "今日优惠活动",
    "topic": "双十一大促",
    "desc": "三件五折,两件七折",
    "date": "2022/10/28",
}
PAGE_CONTENT = r'''"content" : "{\"title\":\"今日优惠活动\",\"topic\":\"双十一大促\",\"desc\":\"三件五折,两件七折\",\"date\":\"2022/10/28\"}"'''
PAGE_HEAD = rf'''"msg_type" : 1,
  {PAGE_CONTENT},
  "appid" : "xxxxx",
  "path" : "pages/index/xxxxx"'''
PAGE_ALL = f"{{ {PAGE_HEAD} }}"
PAGE_ROLES = f'{{ {PAGE_HEAD}, "list_type" : 1, "role_id" : [ 1, 2 ] }}'
PAGE_RETAILERS = f'{{ {PAGE_HEAD}, "list_type" : 2, "retail_id" : [ "xxxxx", "xxxxx" ] }}'
PAGE_IDS = f'{{ {PAGE_HEAD}, "list_type" : 3, "id" : [ "1", "2" ] }}'
PAGE_SINGLE_ID = f'{{ {PAGE_HEAD}, "id" : "1" }}'
PAGE_SINGLE_OPENID = f'{{ {PAGE_HEAD}, "openid" : "xxxxxxxxxxxx" }}'

MESSAGE = WeChatMessage(1, CONTENT, "pages/index/xxxxx", "xxxxx")


def compiled(content: dict[str, Any] | None = None, **other: Any) -> CompiledWeChatMessage:
    fields = {"msg_type": 1, "path": "pages/index/index", **other}
    return CompiledWeChatMessage(
        WeChatMessage(content={"title": "hi"} if content is None else content, **fields)
    )


def raw_content(body: bytes) -> str:
    found = re.search(rb'"content"\s*:\s*("(?:[^"\\]|\\.)*")', body)
    assert found is not None
    return found.group(1).decode()


@pytest.mark.parametrize(
    ("audience", "example"),
    [
        (Everyone(confirm=True), PAGE_ALL),
        (Roles([1, 2]), PAGE_ROLES),
        (Retailers(["xxxxx", "xxxxx"]), PAGE_RETAILERS),
        (Promoters(["1", "2"]), PAGE_IDS),
    ],
)
def test_group_bodies_are_the_pages(audience: Any, example: str) -> None:
    body = CompiledWeChatMessage(MESSAGE).group_body((), audience)
    assert json.loads(body) == json.loads(example)
    assert raw_content(body) == raw_content(example.encode())
    assert list(json.loads(body)) == list(json.loads(example))


@pytest.mark.parametrize(
    ("address", "example"),
    [({"id": "1"}, PAGE_SINGLE_ID), ({"openid": "xxxxxxxxxxxx"}, PAGE_SINGLE_OPENID)],
)
def test_single_bodies_are_the_pages(address: dict[str, str], example: str) -> None:
    body = CompiledWeChatMessage(MESSAGE).single_body((), **address)
    assert json.loads(body) == json.loads(example)
    assert raw_content(body) == raw_content(example.encode())


class Fields(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    msg_type: int
    content: str
    appid: str | None = None
    path: str


class GroupFields(Fields, kw_only=True, forbid_unknown_fields=True):
    """`POST /promoter/sendmsg` (docs/facts/wechat.md, "Group send")."""

    list_type: int | None = None
    role_id: list[int] | None = None
    retail_id: list[str] | None = None
    id: list[str] | None = None


class SingleFields(Fields, kw_only=True, forbid_unknown_fields=True):
    """`POST /promoter/singlesendmsg` (docs/facts/wechat.md, "Single send")."""

    openid: str | None = None
    id: str | None = None


def test_bodies_hold_no_field_that_the_request_does_not_have() -> None:
    group = CompiledWeChatMessage(MESSAGE).group_body((), Promoters(["1"]))
    single = CompiledWeChatMessage(MESSAGE).single_body((), id="1")

    assert msgspec.json.decode(group, type=GroupFields).id == ["1"]
    assert msgspec.json.decode(single, type=SingleFields).openid is None


def test_without_a_jump_appid_the_field_is_left_out() -> None:
    body = compiled().single_body((), id="1")
    assert (
        body
        == rb'{"msg_type":1,"content":"{\"title\":\"hi\"}","path":"pages/index/index","id":"1"}'
    )


def test_openid_goes_before_unionid_before_id_and_only_one_is_sent() -> None:
    plain = compiled()
    both = {"id": "1", "openid": "o", "unionid": "u"}
    assert plain.single_body((), **both).endswith(b',"openid":"o"}')
    assert plain.single_body((), id="1", openid=None, unionid="u").endswith(b',"openid":"u"}')
    assert plain.single_body((), id="1", openid="", unionid="").endswith(b',"id":"1"}')
    assert plain.single_body((), **both).count(b'"id"') == 0


def test_no_address_is_an_error_and_not_a_call() -> None:
    with pytest.raises(UsageError, match="no openid, unionid or id"):
        compiled().single_body(())


def test_values_are_escaped_twice_and_stay_raw_utf8() -> None:
    made = compiled({"title": '说"{a}"', "desc": "{b}"}, path="p?x={a}&y=1")
    values = made.values({"a": '"\\李/', "b": "x\ny"}, "k")
    body = made.single_body(values, openid="o")
    sent = json.loads(body)
    assert json.loads(sent["content"]) == {"title": '说""\\李/"', "desc": "x\ny"}
    assert sent["path"] == "p?x=%22%5C%E6%9D%8E%2F&y=1"
    assert "李".encode() in body
    assert b"\\u" not in body


def test_braces_fallbacks_and_the_key() -> None:
    made = compiled({"title": "{{{name|客官}}} {key}"})
    assert made.names == {"name"}
    assert made.has_placeholders
    values = made.values({}, "k1")
    assert made.preview(values) == {"title": "{客官} k1", "path": "pages/index/index"}
    with pytest.raises(MissingParam):
        compiled({"title": "{name}"}).values({"name": ""}, "k1")


def test_a_message_without_placeholders_is_one_for_all() -> None:
    plain = compiled()
    assert not plain.has_placeholders
    assert plain.names == frozenset()
    assert plain.values({"x": 1}, "k") == ()
    assert plain.message_digest(()) is None
    assert plain.problem(()) is None
    assert plain.notices == ()


def test_another_notation_of_a_placeholder_is_said() -> None:
    made = compiled({"title": "Hello, ${who}", "desc": "$5 for {who}"}, path="p?u=${who}")
    assert made.notices == (
        "content.title: ${who}: the placeholder is written {who} here; the $ is sent as it is",
        "path: ${who}: the placeholder is written {who} here; the $ is sent as it is",
    )
    assert made.preview(("A",))["title"] == "Hello, $A"


def test_forms_are_those_of_the_rendered_message() -> None:
    made = compiled({"title": "{a}{b}"}, path="p?c={c}")
    assert made.message_digest(("x", "yz", "1")) == made.message_digest(("xy", "z", "1"))
    assert made.message_digest(("x", "yz", "1")) != made.message_digest(("x", "yz", "2"))
    assert len(made.message_digest(("x", "y", "1")) or b"") == 16
    assert made.message_digest(("\ud800", "y", "1")) != made.message_digest(("\ud801", "y", "1"))


def test_a_field_called_path_does_not_hide_the_path() -> None:
    made = compiled({"path": "a", "title": "b"}, path="p")
    assert made.preview(()) == {"content.path": "a", "title": "b", "path": "p"}


def test_a_snapshot_survives_json_that_sorts_its_keys() -> None:
    made = CompiledWeChatMessage(
        WeChatMessage(7, {"z": "{a}", "b": "x"}, "p", "wxa", {"z": "thing", "b": "first"})
    )
    kept = json.loads(json.dumps(made.snapshot(), sort_keys=True))
    again = CompiledWeChatMessage.from_snapshot(kept)
    assert again.single_body(("v",), id="1") == made.single_body(("v",), id="1")
    assert again.snapshot() == made.snapshot() == kept
    assert "msg_type=7" in repr(again)


@pytest.mark.parametrize("broken", [{}, {"msg_type": 1, "content": 5, "path": "p"}])
def test_a_broken_snapshot_says_so(broken: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="not a kept WeChat message"):
        CompiledWeChatMessage.from_snapshot(broken)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"msg_type": True}, "msg_type"),
        ({"msg_type": -1}, "msg_type"),
        ({"msg_type": "1"}, "msg_type"),
        ({"msg_type": 2**32}, "msg_type"),
        ({"content": {}}, "no field"),
        ({"content": "title"}, "content: give field names"),
        ({"content": {"title": 5}}, "content.title: give a string, not int"),
        ({"content": {"title": {"value": "x"}}}, "content is flat"),
        ({"content": {"": "x"}}, "field name ''"),
        ({"content": {5: "x"}}, "field name 5"),
        ({"content": {"a\nb": "x"}}, "line feed"),
        ({"content": {"title": "a\x00"}}, r"content.title: control character U\+0000"),
        ({"content": {"title": "a\ud800"}}, "content.title: a lone surrogate"),
        ({"content": {"title": "{a|\x07}"}}, r"U\+0007"),
        ({"content": {"title": "{a b}"}}, "content.title"),
        ({"content": {"title": "{"}}, "content.title"),
        ({"path": ""}, "path: give the page"),
        ({"path": None}, "path: give the page"),
        ({"path": "p\n"}, "path: a line feed"),
        ({"path": "{x"}, "path: a lone"),
        ({"jump_appid": " "}, "jump_appid"),
        ({"jump_appid": "wx\x00"}, "jump_appid"),
        ({"templates": {"title": "thng"}}, "did you mean 'thing'"),
        ({"templates": {"title": "xyz"}}, "it is one of first, thing"),
        ({"templates": {"title": 5}}, "5 is not a kind"),
        ({"templates": {"titel": "thing"}}, "did you mean 'title'"),
        ({"templates": {"zzz": "thing"}}, "it has title"),
        ({"templates": ["thing"]}, "templates: give field names"),
        (
            {"content": {"t": "x" * 21}, "templates": {"t": "thing"}},
            "at most 20 characters, given 21",
        ),
        ({"content": {"t": "x" * 21 + "{a}"}, "templates": {"t": "thing"}}, "given 21"),
        (
            {"content": {"t": "a\nb\nc"}, "templates": {"t": "first"}},
            "at most one line feed, given 2",
        ),
        ({"content": {"t": "soon"}, "templates": {"t": "time"}}, "content.t: time takes"),
    ],
)
def test_a_wrong_message_is_refused_by_name(change: dict[str, Any], text: str) -> None:
    fields: dict[str, Any] = {"msg_type": 1, "content": {"title": "x"}, "path": "p", **change}
    with pytest.raises(UsageError, match=text):
        CompiledWeChatMessage(WeChatMessage(**fields))


def test_a_row_over_its_limit_names_field_limit_and_what_was_given() -> None:
    made = compiled({"t": "{a}:{a}"}, templates={"t": "thing"})
    assert made.problem(("x" * 9,)) is None
    problem = made.problem(("优" * 10,))
    assert problem is not None
    assert problem.code == Code.OVER_LIMIT
    assert problem.detail.startswith("content.t: thing takes at most 20 characters, given 21: '优")


def test_an_emoji_is_as_many_characters_as_it_has_code_points() -> None:
    made = compiled({"t": "{a}"}, templates={"t": "first"})
    assert made.problem(("👍" * 9,)) is None
    assert made.problem(("👍" * 10,)) is not None


def test_line_feeds_only_where_the_kind_takes_them() -> None:
    free = compiled({"t": "{a}"})
    first = compiled({"t": "{a}"}, templates={"t": "first"})
    thing = compiled({"t": "{a}"}, templates={"t": "thing"})
    path = compiled({"t": "{a}"}, path="p?x={a}")
    assert free.problem(("a\nb\nc",)) is None
    assert first.problem(("a\nb",)) is None
    assert "one line feed, given 2" in getattr(first.problem(("a\nb\nc",)), "detail", "")
    assert "no line feed, given 1" in getattr(thing.problem(("a\nb",)), "detail", "")
    assert "a line feed in the value" in getattr(path.problem(("a\nb",)), "detail", "")


@pytest.mark.parametrize(
    ("value", "what"),
    [("a\x00", "U+0000"), ("\x1b[31m", "U+001B"), ("\x85", "U+0085"), ("\ud800", "surrogate")],
)
def test_control_characters_in_a_row_fail_it(value: str, what: str) -> None:
    made = compiled({"t": "x", "u": "{a}"}, path="p?{b|1}")
    problem = made.problem((value, "1"))
    assert problem is not None
    assert problem.code == Code.BAD_ROW
    assert problem.detail.startswith("content.u: ")
    assert what in problem.detail
    problem.detail.encode()


def test_unprintable_but_lawful_values_pass() -> None:
    made = compiled({"t": "{a}"}, templates={"t": "thing"})
    assert made.problem(("全角　空格",)) is None
    assert made.problem(("👨\u200d👩",)) is None


def test_a_value_of_a_checked_kind_is_checked_once_rendered() -> None:
    made = compiled({"t": "¥{a}", "w": "{b}"}, templates={"t": "amount", "w": "time"})
    assert made.problem(("12.50", "2022/10/28")) is None
    assert getattr(made.problem(("12,50", "2022/10/28")), "code", None) == Code.BAD_ROW
    assert getattr(made.problem(("12345678901", "2022/10/28")), "code", None) == Code.OVER_LIMIT


def test_a_lone_surrogate_never_reaches_the_wire() -> None:
    made = compiled({"t": "{a}"})
    with pytest.raises(UsageError, match="surrogate"):
        made.single_body(("\ud800",), id="1")
    with pytest.raises(UsageError, match="surrogate"):
        made.single_body(("x",), openid="\ud800")
    with pytest.raises(UsageError, match="surrogate"):
        made.group_body(("\ud800",), Promoters(["1"]))


def forced(audience: Any, **fields: Any) -> Any:
    for name, value in fields.items():
        msgspec.structs.force_setattr(audience, name, value)
    return audience


@pytest.mark.parametrize(
    "audience",
    [
        forced(Promoters(["1"]), ids=()),
        forced(Roles([1]), ids=()),
        forced(Retailers(["1"]), ids=()),
        forced(Promoters(["1"]), ids=("1", "")),
        forced(Promoters(["1"]), ids=(1,)),
        forced(Roles([1]), ids=(True,)),
        forced(Roles([1]), ids=("1",)),
        forced(Everyone(confirm=True), confirm=False),
        ["1", "2"],
        None,
    ],
)
def test_nothing_but_a_confirmed_everyone_goes_out_without_a_list(audience: Any) -> None:
    with pytest.raises(UsageError):
        compiled().group_body((), audience)


def test_a_personal_message_to_a_group_is_rendered() -> None:
    made = compiled({"t": "{a}"})
    body = json.loads(made.group_body(("夏",), Promoters(["1", "2"])))
    assert json.loads(body["content"]) == {"t": "夏"}
    assert body["list_type"] == 3
