"""A message compiled once and filled for each recipient: what the messages of all channels share.

`CompiledTexts` answers for the placeholders of any message; `CompiledJson` is a whole
`promomsg.channels.base.CompiledMessage` for a message that is sent as one JSON object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

import msgspec

from promomsg.control_characters import find_control
from promomsg.errors import UsageError
from promomsg.model import Code, Problem
from promomsg.placeholders import MessageText, PlaceholderTable

__all__ = [
    "ChannelMessage",
    "CompiledJson",
    "CompiledTexts",
    "compile_json",
    "json_as_text",
    "json_texts",
    "render_json",
    "value_problem",
    "whole_text",
]

_MAY_STAND_IN_TEXT: Final = "\t\n\r"
_encode: Final = msgspec.json.Encoder().encode

CheckText = Callable[[str, str], "Problem | None"]
"""(where it stands, such as `data.thing1.value`; the text as it will be sent) → what is wrong."""


class ChannelMessage(msgspec.Struct, frozen=True):
    """What to send over a channel of one's own: subclass it, with a field for each setting.

    Its fields hold plain JSON values, so that a journal can keep the message and a resume can have it
    again.
    """


class CompiledTexts:
    """What a compiled message says of its placeholders, which are in `_table`."""

    __slots__ = ("_table",)
    _table: PlaceholderTable

    @property
    def names(self) -> frozenset[str]:
        """The parameters its placeholders use, `key` left out."""
        return self._table.names

    @property
    def optional(self) -> frozenset[str]:
        """Those of `names` that have a fallback wherever they stand."""
        return self._table.optional

    @property
    def braced(self) -> Mapping[str, str]:
        """See `PlaceholderTable.braced`."""
        return self._table.braced

    @property
    def has_placeholders(self) -> bool:
        """Whether it has any placeholder."""
        return bool(self._table.placeholders)

    @property
    def notices(self) -> tuple[str, ...]:
        """What a user should know before sending."""
        return tuple(self._table.notices)

    def values(self, params: Mapping[str, Any], key: str) -> tuple[str, ...]:
        """This recipient's values, one a placeholder.

        Raises:
            promomsg.placeholders.MissingParam: a value is missing or empty, without a fallback.
        """
        return self._table.resolve(params, key)

    def message_digest(self, values: Sequence[str]) -> bytes | None:
        """A 16-byte digest of the rendered message; None for a message without placeholders."""
        raise NotImplementedError

    def message_digests(self, values: Sequence[tuple[str, ...]]) -> list[bytes | None]:
        """`message_digest` of each of many."""
        return [self.message_digest(one) for one in values]


class CompiledJson(CompiledTexts):
    """A message that is sent as one JSON object: its texts may hold placeholders, wherever they stand.

    Args:
        message: what the user wrote; its fields are the snapshot.
        body: the request's fields that are the same for everybody, with `{name}` in their texts.
        check: says what is wrong with a text as it will be sent; asked of fixed ones now, and of the
            others for each recipient. It is pure: the same text, the same answer.
        urls: of which texts the values are percent-encoded: names of fields of `body`.
        notices: what the plan should say of the message.

    Raises:
        UsageError: a value that is not JSON, a lone brace, a control character, or a fixed text that
            `check` refuses.
    """

    __slots__ = ("_body", "_check", "_filled", "_fixed", "_message", "_notices")

    def __init__(
        self,
        message: ChannelMessage,
        body: Mapping[str, Any],
        *,
        check: CheckText | None = None,
        urls: Sequence[str] = (),
        notices: Sequence[str] = (),
    ) -> None:
        self._message = message
        self._table = PlaceholderTable()
        self._check = check
        self._body = {
            name: compile_json(value, name, self._table, url=name in urls)
            for name, value in body.items()
        }
        texts = list(json_texts(self._body))
        self._filled = [(where, text) for where, text in texts if isinstance(text, MessageText)]
        self._fixed = None if self._filled else _encode(self._body)[1:-1]
        for where, text in texts:
            problem = check(where, text) if check and isinstance(text, str) else None
            if problem is not None:
                raise UsageError(problem.detail)
        self._notices = tuple(notices)

    def __repr__(self) -> str:
        return f"CompiledJson({self._message!r})"

    @property
    def notices(self) -> tuple[str, ...]:
        """What a user should know before sending."""
        return (*self._notices, *super().notices)

    def problem(self, values: Sequence[str]) -> Problem | None:
        """What is wrong with this recipient's message: BAD_ROW, or what the check says; or None."""
        return value_problem(self._table, values) or self._refused(values)

    def _refused(self, values: Sequence[str]) -> Problem | None:
        check = self._check
        if check is None:
            return None
        found = (check(where, text.render(values)) for where, text in self._filled)
        return next((problem for problem in found if problem is not None), None)

    def message_digest(self, values: Sequence[str]) -> bytes | None:
        """A 16-byte digest of the rendered message; None for a message without placeholders."""
        if self._fixed is not None:
            return None
        try:
            rendered = _encode(render_json(self._body, values))
        except UnicodeEncodeError:  # `problem` says so; it shares its message with nobody else's
            rendered = repr(tuple(values)).encode()
        return blake2b(rendered, digest_size=16).digest()

    def value_columns(
        self, params: Mapping[str, Sequence[Any]], keys: Sequence[str]
    ) -> Sequence[Sequence[str]] | None:
        """The values of many recipients, a column a placeholder; None: `values` and `problem` have
        to say of each whether it has all of them, and no problem."""
        columns = self._table.columns(params, keys)
        if columns is None or (
            self._check is not None and any(map(self._refused, zip(*columns, strict=True)))
        ):
            return None
        return columns

    def preview(self, values: Sequence[str]) -> dict[str, str]:
        """The rendered message: where a value stands (`data.thing1.value`) to its text."""
        return dict(_leaves(render_json(self._body, values), ""))

    def snapshot(self) -> dict[str, Any]:
        """The message as plain JSON values."""
        plain: dict[str, Any] = msgspec.to_builtins(self._message)
        return plain

    def body(self, values: Sequence[str], **recipient: Any) -> bytes:
        """The request's bytes for one recipient: raw UTF-8 JSON.

        Args:
            recipient: the fields that are theirs alone (an address, an idempotency key); they come first.

        Raises:
            UsageError: text that is not Unicode (a lone surrogate).
        """
        try:
            own = _encode(recipient)
            fixed = self._fixed
            shared = _encode(render_json(self._body, values))[1:-1] if fixed is None else fixed
        except UnicodeEncodeError:
            raise UsageError("a lone surrogate in the address or a value") from None
        return own[:-1] + (b"," if recipient and shared else b"") + shared + b"}"


def value_problem(table: PlaceholderTable, values: Sequence[str]) -> Problem | None:
    """BAD_ROW for a value that no text can hold: a control character, or half of one; or None."""
    for placeholder, value in zip(table.placeholders, values, strict=True):
        if find_control(value, _MAY_STAND_IN_TEXT):
            return Problem(
                Code.BAD_ROW, f"{{{placeholder.name}}}: a control character or half a character"
            )
    return None


def whole_text(text: str, where: str) -> str:
    """`text`, when all of it can go out.

    Raises:
        UsageError: a control character, or half a character.
    """
    if find_control(text, _MAY_STAND_IN_TEXT):
        raise UsageError(f"{where}: a control character or half a character in it; remove it")
    return text


def compile_json(value: Any, where: str, table: PlaceholderTable, *, url: bool = False) -> Any:
    """A JSON value whose texts with placeholders are `MessageText`.

    Args:
        where: its name, for messages.
        table: the message's placeholders; this value's are added.
        url: values are percent-encoded.

    Raises:
        UsageError: it is no JSON value, or one of its texts cannot be sent.
    """
    if isinstance(value, str):
        text = MessageText(whole_text(value, where), where, table, url=url)
        return text if text.literal is None else text.literal
    if isinstance(value, Mapping):
        compiled = {}
        for name, item in value.items():
            if not isinstance(name, str):
                raise UsageError(f"{where}: the name {name!r} is not text")
            named = f"{where}.{name}"
            compiled[whole_text(name, where)] = compile_json(item, named, table, url=url)
        return compiled
    if isinstance(value, (list, tuple)):
        return [
            compile_json(item, f"{where}[{at}]", table, url=url) for at, item in enumerate(value)
        ]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    raise UsageError(f"{where}: {type(value).__name__} is not a JSON value; write it as text")


def json_texts(node: Any, where: str = "") -> Iterator[tuple[str, MessageText | str]]:
    """The texts in a compiled JSON value, each with where it stands."""
    if isinstance(node, (MessageText, str)):
        yield where, node
    elif isinstance(node, dict):
        for name, item in node.items():
            yield from json_texts(item, f"{where}.{name}" if where else name)
    elif isinstance(node, list):
        for at, item in enumerate(node):
            yield from json_texts(item, f"{where}[{at}]")


def _leaves(node: Any, where: str) -> Iterator[tuple[str, str]]:
    """The values in a JSON value that hold no others, each with where it stands."""
    inside: list[tuple[str, Any]] = []
    if isinstance(node, dict):
        inside = [(f"{where}.{name}" if where else name, item) for name, item in node.items()]
    elif isinstance(node, list):
        inside = [(f"{where}[{at}]", item) for at, item in enumerate(node)]
    if not inside:
        yield where, json_as_text(node)
    for place, item in inside:
        yield from _leaves(item, place)


def render_json(node: Any, values: Sequence[str]) -> Any:
    """A compiled JSON value with this recipient's values in it."""
    if isinstance(node, MessageText):
        return node.render(values)
    if isinstance(node, dict):
        return {name: render_json(item, values) for name, item in node.items()}
    if isinstance(node, list):
        return [render_json(item, values) for item in node]
    return node


def json_as_text(value: Any) -> str:
    """A text as it is, any other JSON value as JSON."""
    return value if isinstance(value, str) else _encode(value).decode()
