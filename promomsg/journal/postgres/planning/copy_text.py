"""Rows as the text that COPY reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

__all__ = ["copy_text"]

_NULL: Final = "\\N"
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_SPECIAL: Final = ("\\", "\t", "\n", "\r")


def copy_text(columns: Iterable[Sequence[int] | Sequence[str | bytes | None]]) -> str:
    """The rows of some columns, each of numbers, of texts or of bytes; None stands for NULL."""
    lines = "\n".join(map("\t".join, zip(*map(_column, columns), strict=True)))
    return f"{lines}\n" if lines else ""


def _column(values: Sequence[int] | Sequence[str | bytes | None]) -> Iterable[str]:
    kinds = set(map(type, values))
    if kinds == {int}:
        return map(str, values)
    if bytes in kinds:
        return [_NULL if value is None else f"\\\\x{_hex(value)}" for value in values]
    if kinds == {str}:
        return _escaped(values)  # type: ignore[arg-type]
    present = _escaped(["" if value is None else str(value) for value in values])
    return [_NULL if value is None else text for value, text in zip(values, present, strict=True)]


def _hex(value: object) -> str:
    assert isinstance(value, bytes)
    return value.hex()


def _escaped(texts: Sequence[str]) -> Sequence[str]:
    """Most columns need no escape anywhere: to look at all of a column at once is quickest."""
    joined = "".join(texts)
    if any(character in joined for character in _SPECIAL):
        return [text.translate(_ESCAPES) for text in texts]
    return texts
