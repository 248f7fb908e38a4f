"""JSON that nobody vouches for: lenient in its texts, strict in everything else.

Platforms write names and messages raw: control characters, characters that were cut in the middle,
backslashes that escape nothing (facts/wechat.md, Wire oddities, control characters). None of that
hides the code beside them. What may not hold any of it (ids, codes) is for the reader to refuse.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any, Final

__all__ = ["GARBLED", "NotJsonError", "decode"]

GARBLED: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffd]")
"""What makes an id or a code another one: control characters, and U+FFFD where one was cut."""

_ESCAPE: Final = re.compile(r'\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})|(\\)')


class NotJsonError(Exception):
    """`args[0]` is what the parser complains of, without a piece of the text."""


def decode(answer: str | bytes, decoder: json.JSONDecoder) -> Any:
    """One JSON value.

    Args:
        answer: UTF-8, with or without a BOM; what is not becomes U+FFFD, as does a backslash that
            escapes nothing.
        decoder: made with `strict=False`, so that texts may hold control characters.

    Raises:
        NotJsonError: not JSON, truncated, or nested too deeply.
    """
    text = answer if isinstance(answer, str) else answer.decode("utf-8-sig", "replace")
    try:
        return _decode(text, decoder)
    except NotJsonError:
        if "\\" not in text:
            raise
        # A backslash is also the second half of some characters of an older encoding.
        other = _as_gb18030(answer)
        if other is not None:
            with suppress(NotJsonError):
                return _decode(other, decoder)
    return _decode(_ESCAPE.sub(_whole_escape, text), decoder)


def _as_gb18030(answer: str | bytes) -> str | None:
    if isinstance(answer, str) or answer.isascii():
        return None
    try:
        return answer.decode("gb18030")
    except UnicodeDecodeError:
        return None


def _decode(text: str, decoder: json.JSONDecoder) -> Any:
    try:
        return decoder.decode(text)
    except RecursionError:
        raise NotJsonError("JSON nested too deeply") from None
    except json.JSONDecodeError as error:
        # Some messages quote a character after a colon.
        what = error.msg.partition(":")[0].removesuffix(" at")
        raise NotJsonError(f"not JSON ({what} at character {error.pos + 1})") from None
    except ValueError:  # absurd numbers, and what the decoder's own hooks refuse
        raise NotJsonError("not JSON") from None


def _whole_escape(match: re.Match[str]) -> str:
    return "\ufffd" if match[1] else match[0]
