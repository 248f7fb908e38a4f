"""`{name}` in a message's text: parsed once, filled per recipient. Never `str.format`.

`{name}` takes the recipient's parameter, `{name|客官}` falls back when it is missing or empty,
`{{` and `}}` are braces, names are identifiers only, `{key}` is the recipient's key
(docs/design.md, "Placeholders").
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import msgspec

from promomsg.control_characters import is_printable
from promomsg.errors import UsageError

__all__ = ["MessageText", "MissingParam", "Placeholder", "PlaceholderTable"]

# re compiles both for the first message, and keeps them.
_BRACED: Final = r"(?<!\{)\{\{\s*(\w+)\s*\}\}(?!\})"
_BRACE: Final = r"\{\{|\}\}|\{([^{}]*)\}|[{}]"


class Placeholder(msgspec.Struct, frozen=True):
    """One placeholder: the parameter's name, and what stands in for a missing one."""

    name: str
    fallback: str | None


class MissingParam(Exception):
    """A recipient has no value for a placeholder that has no fallback. `args[0]` is its name."""


class PlaceholderTable:
    """The distinct placeholders of one message, in order of first use.

    A recipient's *values* are one string a placeholder, in this order; they are all that the journal
    keeps of the parameters, and all that rendering needs. `notices` says what looks like another
    notation than the one that is read here; `braced` are the names that stand in braces doubled,
    `{{name}}`, each with a notice for a list that has such a column.
    """

    def __init__(self) -> None:
        self.placeholders: list[Placeholder] = []
        self.notices: list[str] = []
        self.braced: dict[str, str] = {}

    def index(self, placeholder: Placeholder) -> int:
        """The placeholder's place, adding it when it is new."""
        try:
            return self.placeholders.index(placeholder)
        except ValueError:
            self.placeholders.append(placeholder)
            return len(self.placeholders) - 1

    @property
    def names(self) -> frozenset[str]:
        """The parameters that some placeholder needs or can use, `key` left out."""
        return frozenset(placeholder.name for placeholder in self.placeholders) - {"key"}

    @property
    def optional(self) -> frozenset[str]:
        """Those of `names` that are never needed: each of their placeholders has a fallback."""
        return self.names - {
            placeholder.name for placeholder in self.placeholders if placeholder.fallback is None
        }

    def resolve(self, params: Mapping[str, Any], key: str) -> tuple[str, ...]:
        """This recipient's values.

        Raises:
            MissingParam: a value is missing, empty or blank, and its placeholder has no fallback.
        """
        values = []
        for placeholder in self.placeholders:
            name, fallback = placeholder.name, placeholder.fallback
            value = key if name == "key" else params.get(name)
            if _is_nothing(value):
                if fallback is None:
                    raise MissingParam(name)
                value = fallback
            values.append(value if isinstance(value, str) else str(value))
        return tuple(values)

    def columns(
        self, params: Mapping[str, Sequence[Any]], keys: Sequence[str]
    ) -> list[Sequence[str]] | None:
        """The values of many recipients, a column a placeholder; None unless each of them is text
        that is not blank, without a control character or half of one."""
        found = []
        for placeholder in self.placeholders:
            name = placeholder.name
            column = keys if name == "key" else params.get(name)
            if (
                column is None
                or set(map(type, column)) != {str}
                or not is_printable("".join(column))
                or not all(map(str.strip, column))
            ):
                return None
            found.append(column)
        return found


def _is_nothing(value: Any) -> bool:
    """An empty or blank cell; in a data frame NaN, NaT, pandas' NA."""
    if isinstance(value, str):
        return not value or value.isspace()
    if value is None:
        return True
    if isinstance(value, float):
        return value != value
    return type(value).__name__ in ("NAType", "NaTType")


class MessageText:
    """One field's text, parsed.

    Args:
        source: the text as the user wrote it.
        where: the field's name, for error messages.
        table: the message's placeholders; this text's are added to it.
        url: values are percent-encoded (a path or a URL).

    Raises:
        UsageError: a brace without its partner, or a placeholder that is not an identifier.
    """

    __slots__ = ("_pieces", "url")

    def __init__(
        self, source: str, where: str, table: PlaceholderTable, *, url: bool = False
    ) -> None:
        self.url = url
        for braces in re.finditer(_BRACED, source):
            # The notation of many template languages; here it is how a brace itself is written.
            table.braced.setdefault(
                braces[1],
                f"{where}: {braces[0]}: the placeholder is written {{{braces[1]}}} here; doubled "
                f"braces are sent as braces, {{{braces[1]}}}",
            )
        pieces: list[str | int] = []
        literal: list[str] = []
        at = 0
        for match in re.finditer(_BRACE, source):
            literal.append(source[at : match.start()])
            at = match.end()
            token = match.group()
            if token in ("{{", "}}"):
                literal.append(token[0])
                continue
            if match.group(1) is None:
                raise UsageError(
                    f"{where}: a lone {token!r} in {source!r}; write {token * 2!r} for the brace itself"
                )
            name, bar, fallback = match.group(1).partition("|")
            if not name.isidentifier():
                raise UsageError(
                    f"{where}: placeholder {token!r} is not a name; "
                    "write {name} or {name|fallback}, and {{ }} for braces"
                )
            before = "".join(literal)
            if before.endswith("$"):
                # The template's own notation (docs/facts/alipay.md, "Request"), or a price in
                # dollars.
                table.notices.append(
                    f"{where}: ${token}: the placeholder is written {token} here; the $ is sent "
                    "as it is"
                )
            pieces.append(before)
            literal = []
            pieces.append(table.index(Placeholder(name, fallback if bar else None)))
        pieces.append("".join(literal) + source[at:])
        self._pieces: tuple[str | int, ...] = tuple(pieces)

    @property
    def pieces(self) -> tuple[str | int, ...]:
        """Literal text and the placeholders' numbers in turn, beginning and ending with literal text."""
        return self._pieces

    @property
    def literal(self) -> str | None:
        """The whole text when it has no placeholder."""
        return str(self._pieces[0]) if len(self._pieces) == 1 else None

    def render(self, values: Sequence[str]) -> str:
        """The text with this recipient's values in it."""
        if self.url:
            return "".join(
                [p if isinstance(p, str) else quote(values[p], safe="") for p in self._pieces]
            )
        return "".join([p if isinstance(p, str) else values[p] for p in self._pieces])
