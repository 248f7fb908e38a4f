"""A message rendered for columns of recipients is what it is for each of them by itself."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promomsg.alipay.message import AlipayMessage, CompiledAlipayMessage
from promomsg.channels.base import CompiledMessage
from promomsg.channels.rendered_columns import ColumnRenderer
from promomsg.placeholders import MissingParam
from promomsg.wechat.message import CompiledWeChatMessage, WeChatMessage

_cells = st.text(alphabet='ab客"\\ \n\t\u3000\ud800&/', max_size=4) | st.sampled_from(
    [None, 7, 1.5, float("nan"), "a" * 12, ""]
)
MESSAGES: list[CompiledMessage] = [
    CompiledWeChatMessage(
        WeChatMessage(
            1,
            {"a": "{name} and {word|you}", "b": "{key}"},
            "page/{name}",
            templates={"a": "thing"},
        )
    ),
    CompiledWeChatMessage(WeChatMessage(1, {"when": "{name}"}, "page", templates={"when": "time"})),
    CompiledAlipayMessage(
        AlipayMessage("code", [{"language": "en", "parameters": {"a": "{name} {word|you}"}}])
    ),
]


def _alone(message: CompiledMessage, params: dict[str, Any], key: str) -> Any:
    """Values, digest of the message; None: the row cannot be sent."""
    try:
        values = message.values(params, key)
    except MissingParam:
        return None
    if message.problem(values) is not None:
        return None
    return values, message.message_digest(values)


@pytest.mark.parametrize("message", MESSAGES, ids=["text", "time", "wallet"])
@given(
    rows=st.lists(st.tuples(_cells, _cells, st.sampled_from(["k", "a b"])), min_size=1, max_size=4)
)
def test_columns_say_what_the_rows_say(message: CompiledMessage, rows: list[Any]) -> None:
    names, words, keys = zip(*rows, strict=True)
    rendered = ColumnRenderer(message).render({"name": names, "word": words}, keys)
    alone = [_alone(message, {"name": n, "word": w}, key) for n, w, key in rows]
    if rendered is None:
        return
    assert None not in alone
    values = [tuple(msgspec.json.decode(text)) for text in rendered.values]
    assert list(zip(values, rendered.digests, strict=True)) == alone
    sizes = [sum(map(len, row)) for row in values]
    assert rendered.longest == (
        sizes.index(max(sizes)),
        values[sizes.index(max(sizes))],
        max(sizes),
    )


def test_a_common_batch_is_rendered_by_columns() -> None:
    renderer = ColumnRenderer(MESSAGES[0])
    for words in (["x", "y"], ["y", "x"]):
        rendered = renderer.render({"name": ["ann", "ann"], "word": words}, ["k1", "k1"])
        assert rendered is not None
        assert rendered.values == [f'["ann","{word}","k1"]' for word in words]


def test_each_text_is_rendered_once_however_many_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, ...]] = []
    own = CompiledWeChatMessage.message_digests

    def counted(self: CompiledWeChatMessage, values: Any) -> Any:
        seen.extend(values)
        return own(self, values)

    monkeypatch.setattr(CompiledWeChatMessage, "message_digests", counted)
    renderer = ColumnRenderer(CompiledWeChatMessage(WeChatMessage(1, {"a": "{name}"}, "page")))
    for _ in range(3):
        renderer.render({"name": ["ann", "bob", "ann"]}, ["1", "2", "3"])
    assert seen == [("ann",), ("bob",)]


def test_a_list_of_too_many_texts_is_not_kept() -> None:
    renderer = ColumnRenderer(CompiledWeChatMessage(WeChatMessage(1, {"a": "{key}"}, "page")))
    for first in range(0, 6_000, 1_000):
        keys = [str(first + n) for n in range(1_000)]
        rendered = renderer.render({}, keys)
        assert rendered is not None
        assert rendered.values == [f'["{key}"]' for key in keys]
        assert len(set(rendered.digests)) == 1_000
