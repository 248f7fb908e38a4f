"""What an answer that has no readable result comes to, and what a provider's code means: the rules
that every channel shares (docs/design.md, "Verdicts"). Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from promomsg.masking import Mask, printable
from promomsg.model import Answer, Code, Verdict
from promomsg.untrusted_json import ConflictingKeys, NotJsonError, describe, parse

__all__ = ["MOST_WORDS", "CodeMeaning", "read_object", "unknown_answer", "unreadable_answer"]


MOST_WORDS: Final = 500
"""Characters of a provider's text that are kept."""


class CodeMeaning(msgspec.Struct, frozen=True):
    """What one code of a provider means for a single send.

    Attributes:
        verdict: what it leads to. `RETRY` and `THROTTLED` are only for what surely was not sent;
            when in doubt it is `UNKNOWN`.
        text: the meaning, for a person.
        source: where that is written.
        advice: what to do about it; empty when there is nothing to do.
        retry_after: seconds to hold the quota; None when the code says nothing of it.
        token_failed: the access token was refused: a newer one is worth a try.
    """

    verdict: Verdict
    text: str
    source: str
    advice: str = ""
    retry_after: float | None = None
    token_failed: bool = False

    def answer(self, code: str, status: int, words: object = "", mask: Mask = str) -> Answer:
        """What an answer with this code comes to.

        Args:
            code: as the provider wrote it.
            status: of HTTP.
            words: the provider's own text; where it has none, ours.
            mask: takes the secrets of the call out of it.
        """
        own = printable(words, MOST_WORDS, mask) if isinstance(words, str) else ""
        detail = own or self.text
        return Answer(
            self.verdict,
            code,
            f"{detail} ({self.advice})" if self.advice else detail,
            retry_after=self.retry_after,
            token_failed=self.token_failed,
            readable=self.verdict is not Verdict.UNKNOWN,
            status=status,
        )


def read_object(
    status: int, body: bytes, mask: Mask = str, *, decisive: Iterable[str] = ()
) -> dict[str, Any] | Answer:
    """The JSON object of an answer; or, where there is none, the `Answer` that it comes to. Never raises.

    A 5xx is `UNKNOWN` whatever its body says, as are an HTML page, a body that is cut short, a 1xx or
    3xx and two different values under one decisive key; a 429 without an object is `THROTTLED`.
    Texts are read leniently (`promomsg.untrusted_json`).

    Args:
        status: of HTTP.
        mask: takes the secrets of the call out of what is kept.
        decisive: the keys by which the result is told.
    """
    if not (200 <= status < 300 or 400 <= status < 500):
        return unreadable_answer(status, body)
    try:
        data = parse(body)
    except NotJsonError as error:
        return unreadable_answer(status, body, f"that is {error}")
    if not isinstance(data, dict):
        return unreadable_answer(status, body, "that is not a JSON object")
    if isinstance(data, ConflictingKeys) and (twice := data.conflicting & set(decisive)):
        keys = mask(", ".join(sorted(twice)))
        return unknown_answer(status, body, f"that gives {keys} twice, with different values")
    return data


def unreadable_answer(status: int, body: bytes, why: str = "", rid: str | None = None) -> Answer:
    """What an answer without a readable result comes to: `UNKNOWN`; a gateway's 429 let nothing
    through, and is `THROTTLED`.

    Args:
        why: what is wrong with it, after `HTTP 200`, say; its body is described, never quoted.
        rid: the provider's request id, when it could be read.
    """
    if status == 429:
        detail = f"too many calls: {_describe(429, body, why)}"
        return Answer(Verdict.THROTTLED, Code.HTTP_429, detail, rid, status=429)
    return unknown_answer(status, body, why, rid)


def unknown_answer(status: int, body: bytes, why: str = "", rid: str | None = None) -> Answer:
    """What an answer that contradicts itself comes to, whatever its status: `UNKNOWN`."""
    return Answer(
        Verdict.UNKNOWN,
        Code.NO_ANSWER,
        _describe(status, body, why),
        rid,
        readable=False,
        status=status,
    )


def _describe(status: int, body: bytes, why: str) -> str:
    return f"HTTP {status} {why}".rstrip() + f": {describe(body)}"
