"""Placeholders: names, fallbacks, braces, and nothing that `str.format` would do."""

from __future__ import annotations

from typing import Any

import pytest

from promomsg.errors import UsageError
from promomsg.placeholders import MessageText, MissingParam, Placeholder, PlaceholderTable


def render(source: str, params: dict[str, Any], key: str = "k1", *, url: bool = False) -> str:
    table = PlaceholderTable()
    text = MessageText(source, "title", table, url=url)
    return text.render(table.resolve(params, key))


@pytest.mark.parametrize(
    ("source", "rendered"),
    [
        ("plain 文字", "plain 文字"),
        ("", ""),
        ("{name}", "王"),
        ("亲爱的{name},您好", "亲爱的王,您好"),
        ("{name}{name} {city}", "王王 北京"),
        ("{none|客官}", "客官"),
        ("{empty|客官}", "客官"),
        ("{none|}", ""),
        ("{name|客官}", "王"),
        ("{none|a|b}", "a|b"),
        ("{{name}}", "{name}"),
        ("{{{name}}}", "{王}"),
        ("{key}", "k1"),
        ("{n}", "3"),
        ("{姓名}", "李"),
        ("%s %(name)s $name", "%s %(name)s $name"),
    ],
)
def test_rendering(source: str, rendered: str) -> None:
    params = {"name": "王", "city": "北京", "empty": "", "n": 3, "姓名": "李", "key": "not this"}
    assert render(source, params) == rendered


def test_a_value_is_never_parsed_again() -> None:
    assert render("{a}", {"a": "{b} {{ {0} %s"}) == "{b} {{ {0} %s"


@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_or_empty_value_names_its_parameter(value: Any) -> None:
    with pytest.raises(MissingParam) as caught:
        render("{city}", {"city": value})
    assert caught.value.args == ("city",)
    with pytest.raises(MissingParam):
        render("{city}", {})


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{", "lone '{'"),
        ("a } b", "write '}}' for the brace itself"),
        ("{name", "lone"),
        ("{name}}", "lone"),
        ("{}", "is not a name"),
        ("{0}", "is not a name"),
        ("{a.b}", "is not a name"),
        ("{a[0]}", "is not a name"),
        ("{a!r}", "is not a name"),
        ("{a:>9}", "is not a name"),
        ("{ a }", "is not a name"),
        ("{|x}", "is not a name"),
    ],
)
def test_what_is_no_placeholder_names_its_field(source: str, said: str) -> None:
    with pytest.raises(UsageError, match="title: ") as caught:
        MessageText(source, "title", PlaceholderTable())
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("value", "encoded"),
    [("a b", "a%20b"), ("a/b?c=d&e#f", "a%2Fb%3Fc%3Dd%26e%23f"), ("北京", "%E5%8C%97%E4%BA%AC")],
)
def test_in_a_path_the_value_is_encoded_and_the_rest_is_not(value: str, encoded: str) -> None:
    assert render("pages/x?c={c}&r=/", {"c": value}, url=True) == f"pages/x?c={encoded}&r=/"


def test_one_table_serves_a_whole_message() -> None:
    table = PlaceholderTable()
    title = MessageText("{name}, {key}", "title", table)
    desc = MessageText("{name|客官} {name}", "desc", table)
    plain = MessageText("x", "topic", table)
    assert table.placeholders == [
        Placeholder("name", None),
        Placeholder("key", None),
        Placeholder("name", "客官"),
    ]
    assert table.names == {"name"}
    assert table.optional == frozenset()
    values = table.resolve({"name": "王"}, "k")
    assert (title.render(values), desc.render(values)) == ("王, k", "王 王")
    assert (title.literal, plain.literal) == (None, "x")
