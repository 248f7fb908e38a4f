"""Where an answer's JSON is read: lenient in its texts, strict in everything that decides.

Nobody vouches for what comes back. Platforms write names and messages raw: control characters,
characters that were cut in the middle, backslashes that escape nothing
(docs/facts/wechat.md, "Wire oddities", control characters). None of that hides the code beside
them. What may not hold any of it (ids, codes) is for `to_text` and `to_code` to refuse.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any, Final, NoReturn

from promomsg.control_characters import is_garbled, one_line

__all__ = [
    "ConflictingKeys",
    "NotJsonError",
    "describe",
    "parse",
    "parse_at",
    "to_code",
    "to_int",
    "to_text",
    "to_words",
]

_ESCAPE: Final = re.compile(r'\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})|(\\)')
_INT: Final = re.compile(r"0|-?[1-9][0-9]{0,17}")


class NotJsonError(Exception):
    """Not JSON. `args[0]` is what the parser complains of, without a piece of the text."""


class ConflictingKeys(dict[str, Any]):
    """A JSON object that gives a key two different values: `conflicting` says which keys.

    Which one counts is a guess (RFC 8259 leaves it open), so readers refuse to make it.
    """

    conflicting: frozenset[str] = frozenset()


def parse(answer: str | bytes) -> Any:
    """One JSON value; an object with contradicting keys comes back as a `ConflictingKeys`.

    Args:
        answer: UTF-8, with or without a BOM. In texts alone it may hold raw control characters,
            a character that was cut (its bytes become U+FFFD, as does a backslash that escapes
            nothing) and halves of escaped ones.

    Raises:
        NotJsonError: not JSON, truncated, or nested too deeply.
    """
    text = answer if isinstance(answer, str) else answer.decode("utf-8-sig", "replace")
    try:
        return _decode(text)
    except NotJsonError:
        if "\\" not in text:
            raise
        # A backslash is also the second half of some characters of an older encoding.
        other = _as_gb18030(answer)
        if other is not None:
            with suppress(NotJsonError):
                return _decode(other)
    return _decode(_ESCAPE.sub(_whole_escape, text))


def parse_at(text: str, at: int) -> tuple[Any, int]:
    """The JSON value that begins at `at`, and where it ends.

    Raises:
        NotJsonError: not JSON, truncated, or nested too deeply.
    """
    try:
        return _DECODER.raw_decode(text, at)
    except (ValueError, RecursionError):
        raise NotJsonError("not JSON") from None


def _as_gb18030(answer: str | bytes) -> str | None:
    if isinstance(answer, str) or answer.isascii():
        return None
    try:
        return answer.decode("gb18030")
    except UnicodeDecodeError:
        return None


def _decode(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise NotJsonError("JSON nested too deeply") from None
    except json.JSONDecodeError as error:
        # Some messages quote a character after a colon.
        what = error.msg.partition(":")[0].removesuffix(" at")
        raise NotJsonError(f"not JSON ({what} at character {error.pos + 1})") from None
    except ValueError:  # absurd numbers, and what `_no_constant` refuses
        raise NotJsonError("not JSON") from None


def _whole_escape(match: re.Match[str]) -> str:
    return "\ufffd" if match[1] else match[0]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) == len(pairs):
        return value
    found = ConflictingKeys(value)
    # Values of unequal types conflict too: 0, False and 0.0 are not the same answer.
    found.conflicting = frozenset(
        key for key, v in pairs if type(v) is not type(value[key]) or v != value[key]
    )
    return found if found.conflicting else value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# Not strict: control characters may stand in a text.
_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_no_constant, strict=False
)


def to_int(value: Any) -> int | None:
    """A whole number given as an int or as its digits in a string; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if abs(value) < 10**18 else None
    if isinstance(value, str) and _INT.fullmatch(value.strip(" ")):
        return int(value)
    return None


def to_code(value: Any) -> str | None:
    """An errcode as text; None when it is not a whole number."""
    number = to_int(value)
    return None if number is None else str(number)


def to_text(value: Any, limit: int = 512) -> str | None:
    """A non-empty, printable string, or a number's digits; None for anything else.

    For ids, addresses and whatever else is nothing when a character of it was cut.
    """
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**40:
        return str(value)
    if not isinstance(value, str) or not value.strip() or len(value) > limit:
        return None
    return None if is_garbled(value) else value


def to_words(value: Any, limit: int = 512) -> str | None:
    """The same for what people typed: a line feed in it is a space, a cut character loses nobody's
    name."""
    if not isinstance(value, str):
        return to_text(value, limit)
    text = one_line(value)
    return text if text.strip() and len(text) <= limit else None


def describe(body: bytes) -> str:
    """What kind of answer this is, for a person. It is never quoted: a page may name people."""
    start = body[:1024].strip(b"\xef\xbb\xbf \t\r\n\0").lower()
    if not start:
        return "an empty answer" if not body else f"{len(body)} bytes of blanks"
    if b"<html" in start or b"<!doctype html" in start:
        kind = "an HTML page"
    elif start[:1] == b"<":
        kind = "XML"
    elif start[:1] in (b"{", b"["):
        kind = "JSON, or the beginning of it"
    else:
        kind = "text that is no JSON" if _is_text(body[:1024]) else "bytes that are no text"
    return f"{kind}, {len(body)} bytes"


def _is_text(start: bytes) -> bool:
    return b"\0" not in start and start.decode("utf-8", "ignore").isprintable()
