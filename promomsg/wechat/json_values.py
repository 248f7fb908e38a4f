"""Reading JSON that nobody vouches for: lenient in its texts, strict in everything that decides."""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn

from promomsg.masking import Mask, printable
from promomsg.untrusted_json import GARBLED, NotJsonError, decode

__all__ = [
    "ConflictingKeys",
    "UnreadableError",
    "clean",
    "describe",
    "parse",
    "parse_at",
    "to_code",
    "to_int",
    "to_text",
    "to_words",
]

_INT: Final = re.compile(r"0|-?[1-9][0-9]{0,17}")
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_DETAIL: Final = 500


class UnreadableError(Exception):
    """Bytes that are not the JSON object they should be. `args[0]` says why."""


class ConflictingKeys(dict[str, Any]):
    """A JSON object that gives a key two different values: `keys_` says which keys.

    Which one counts is a guess (RFC 8259 leaves it open), so readers refuse to make it.
    """

    keys_: frozenset[str] = frozenset()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) == len(pairs):
        return value
    clash = ConflictingKeys(value)
    # Unequal types count as a clash too: 0, False and 0.0 are not the same answer.
    clash.keys_ = frozenset(k for k, v in pairs if type(v) is not type(value[k]) or v != value[k])
    return clash if clash.keys_ else value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# Not strict: control characters may stand in a text. Ids and codes are asked for by `to_text` and
# `to_code`, which take none of them.
_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_no_constant, strict=False
)


def parse(answer: str | bytes) -> Any:
    """One JSON value; an object with contradicting keys comes back as a `ConflictingKeys`.

    Lenient in texts alone: they may hold raw control characters, a character that was cut (its
    bytes become U+FFFD, as does a stray backslash) and halves of escaped ones.

    Raises:
        UnreadableError: not JSON, truncated, or nested too deeply; it says what the parser
            complains of, without a piece of the text.
    """
    try:
        return decode(answer, _DECODER)
    except NotJsonError as error:
        raise UnreadableError(error.args[0]) from None


def parse_at(text: str, at: int) -> tuple[Any, int]:
    """The JSON value that begins at `at`, as `parse` reads it, and where it ends.

    Raises:
        UnreadableError: not JSON, truncated, or nested too deeply.
    """
    try:
        return _DECODER.raw_decode(text, at)
    except (ValueError, RecursionError):
        raise UnreadableError("not JSON") from None


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
    return None if GARBLED.search(value) else value


def to_words(value: Any, limit: int = 512) -> str | None:
    """The same for what people typed: a line feed in it is a space, a cut character loses nobody's
    name."""
    if not isinstance(value, str):
        return to_text(value, limit)
    text = _UNPRINTABLE.sub(" ", value)
    return text if text.strip() and len(text) <= limit else None


def clean(text: str, mask: Mask = str, limit: int = _DETAIL) -> str:
    """Provider text that can be shown and stored: see `masking.printable`."""
    return printable(text, limit, mask)


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
