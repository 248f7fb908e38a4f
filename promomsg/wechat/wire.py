"""Reading JSON that nobody vouches for: strictly, without guessing, and without being crashed."""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn

__all__ = [
    "Clash",
    "UnreadableError",
    "clean",
    "excerpt",
    "parse",
    "parse_at",
    "to_code",
    "to_int",
    "to_text",
    "to_words",
]

_INT: Final = re.compile(r"0|-?[1-9][0-9]{0,17}")
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_MISLEADING: Final = re.compile("[\u202a-\u202e\u2066-\u2069\ufeff]")
"""Direction overrides, which make a terminal show another text than there is; and the BOM."""
_CREDENTIAL: Final = re.compile(
    r"""((?:access_token|appsecret|secret)["']?\s*(?:=|:)\s*["']?)[^&\s"'<>,}]+""", re.IGNORECASE
)
_DETAIL: Final = 500
_EXCERPT: Final = 160


class UnreadableError(Exception):
    """Bytes that are not the JSON object they should be. `args[0]` says why."""


class Clash(dict[str, Any]):
    """A JSON object that gives a key two different values: `keys_` says which keys.

    Which one counts is a guess (RFC 8259 leaves it open), so readers refuse to make it.
    """

    keys_: frozenset[str] = frozenset()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) == len(pairs):
        return value
    clash = Clash(value)
    # Unequal types count as a clash too: 0, False and 0.0 are not the same answer.
    clash.keys_ = frozenset(k for k, v in pairs if type(v) is not type(value[k]) or v != value[k])
    return clash if clash.keys_ else value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_constant)


def parse(text: str | bytes) -> Any:
    """One JSON value; an object with contradicting keys comes back as a `Clash`.

    Raises:
        UnreadableError: not UTF-8, not JSON, truncated, or nested too deeply.
    """
    try:
        return _DECODER.decode(text if isinstance(text, str) else text.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise UnreadableError("not UTF-8") from None
    except RecursionError:
        raise UnreadableError("JSON nested too deeply") from None
    except ValueError:
        raise UnreadableError("not JSON") from None


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
    if isinstance(value, str) and _INT.fullmatch(value.strip()):
        return int(value)
    return None


def to_code(value: Any) -> str | None:
    """An errcode as text; None when it is not a whole number."""
    number = to_int(value)
    return None if number is None else str(number)


def to_text(value: Any, limit: int = 512) -> str | None:
    """A non-empty, printable string, or a number's digits; None for anything else."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**40:
        return str(value)
    if not isinstance(value, str) or not value.strip() or len(value) > limit:
        return None
    return None if _UNPRINTABLE.search(value) else value


def to_words(value: Any, limit: int = 512) -> str | None:
    """The same for what people typed: a line feed in it is a space, and loses nobody's name."""
    return to_text(_UNPRINTABLE.sub(" ", value) if isinstance(value, str) else value, limit)


def clean(text: str, limit: int = _DETAIL) -> str:
    """Provider text that can be shown and stored: no control characters, no surrogates, capped.

    What follows `access_token=` or `secret=` is left out before the cut, since half a token is
    not found by whoever masks whole ones.
    """
    text = _MISLEADING.sub("", _UNPRINTABLE.sub(" ", text[: limit * 8]))
    text = _CREDENTIAL.sub(r"\1…", text).strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def excerpt(body: bytes) -> str:
    """The beginning of an answer, for a person; empty for an empty one."""
    if not body:
        return "an empty answer"
    text = " ".join(clean(body[:2048].decode("utf-8", "replace"), 2048).split())
    return repr(text if len(text) <= _EXCERPT else text[: _EXCERPT - 1] + "…")
