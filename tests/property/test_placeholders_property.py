"""Any text, any values: what was written comes out, and nothing else."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promomsg.errors import UsageError
from promomsg.placeholders import MessageText, MissingParam, PlaceholderTable

NAMES = st.from_regex(r"\A[a-z_姓名][a-z0-9_]{0,5}\Z").filter(lambda n: n != "key")
ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


@given(ANY)
@settings(max_examples=150)
def test_escaped_text_comes_out_as_it_was(text: str) -> None:
    parsed = MessageText(escaped(text), "f", PlaceholderTable())
    assert parsed.literal == parsed.render(()) == text


@given(st.text(" \t\r\n\x85\xa0\u2003\u3000", max_size=5))
def test_a_blank_value_is_a_missing_one(blank: str) -> None:
    needed, spare = PlaceholderTable(), PlaceholderTable()
    MessageText("{name}", "f", needed)
    text = MessageText("{name|客官}", "f", spare)
    with pytest.raises(MissingParam):
        needed.resolve({"name": blank}, "k")
    assert text.render(spare.resolve({"name": blank}, "k")) == "客官"


@given(st.lists(st.tuples(ANY, NAMES, ANY.filter(str.strip)), max_size=5), ANY, st.booleans())
@settings(max_examples=150)
def test_every_placeholder_takes_its_own_value(
    parts: list[tuple[str, str, str]], tail: str, url: bool
) -> None:
    params = {name: value for _, name, value in parts}
    table = PlaceholderTable()
    source = "".join(f"{escaped(text)}{{{name}}}" for text, name, _ in parts) + escaped(tail)
    text = MessageText(source, "f", table, url=url)
    got = text.render(table.resolve(params, "k"))
    if url:
        for value in params.values():
            assert (
                unquote(
                    "".join(MessageText("{v}", "f", PlaceholderTable(), url=True).render([value]))
                )
                == value
            )
    else:
        assert got == "".join(text + params[name] for text, name, _ in parts) + tail
    assert table.names == set(params)


@given(st.text("{}ab|.", max_size=12))
@settings(max_examples=300)
def test_any_source_parses_or_is_refused(source: str) -> None:
    table = PlaceholderTable()
    said = rendered = None
    try:
        rendered = MessageText(source, "f", table).render(["v"] * len(table.placeholders))
    except UsageError as error:
        said = str(error)
    assert rendered is not None or (said is not None and said.startswith("f: "))
