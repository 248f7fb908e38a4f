"""Secrets masked in whatever is stored, logged or shown; before it is cut, so that no piece is left.

A provider, or a box in between, may say a secret back in whatever it writes: an errmsg, a request
id, a header. It is found whole and in pieces, in either case of its letters, percent-encoded and
escaped; and never by a text's end that a cut has made unrecognisable.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cached_property
from string import ascii_lowercase, ascii_uppercase
from typing import Final
from urllib.parse import quote, quote_plus

from promomsg.control_characters import one_line

__all__ = ["LiveMasker", "Mask", "Masker", "mask_start", "printable"]

Mask = Callable[[str], str]
"""Takes the secrets out of a text."""

_WORD: Final = 4
"""Characters from which on a secret is masked where it stands alone as a word: a shorter one (a
test's `x`) would only garble every text."""
_ANYWHERE: Final = 8
"""Characters from which on it is masked inside of other words too."""
_PIECE: Final = 16
"""Characters of a longer secret that are masked without the rest of it."""
_STEP: Final = _PIECE // 2
"""A piece holds one whole block of this size of the text, wherever it begins: looking for these
blocks finds every piece with few looks."""

_LOWER: Final = str.maketrans(ascii_uppercase, ascii_lowercase)
# re compiles both when they are first looked for, and keeps them.
_MISLEADING: Final = "[\u202a-\u202e\u2066-\u2069\ufeff]"
"""Direction overrides, which make a terminal show another text than there is; and the BOM."""
_CREDENTIAL: Final = r"""(?i)((?:access_?token|refresh_?token|appsecret|secret)["']?\s*(?:=|:)\s*["']?)[^&\s"'<>,}]+"""


class Masker:
    """Replaces these secrets by `…` in a text. Calling it is cheap where there is no text.

    Args:
        secrets: in the clear. Those under 4 characters are left in a text; under 8 they are masked
            as whole words; of those of 16 and more any piece of 16 characters is masked too.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = tuple(secret for secret in secrets if len(secret) >= _WORD)

    def __repr__(self) -> str:
        return "Masker(…)"

    def __call__(self, text: str) -> str:
        if len(text) < _WORD or not self._secrets:
            return text
        low = text.translate(_LOWER)  # ASCII alone: its length stays the same
        spans = [*self._whole(low), *self._pieces(low)]
        if not spans:
            return text
        parts: list[str] = []
        at = 0
        for begin, end in sorted(spans):
            if begin > at or not parts:
                parts.append(text[at:begin] + "…")
            at = max(at, end)
        return "".join(parts) + text[at:]

    @cached_property
    def _forms(self) -> frozenset[str]:
        """The secrets as they stand, percent-encoded, and escaped for JSON and HTML."""
        return frozenset(
            form.translate(_LOWER) for secret in self._secrets for form in _forms_of(secret)
        )

    @cached_property
    def _short(self) -> re.Pattern[str] | None:
        """Those without a piece that is told from other text: whole, or not at all."""
        found = sorted(form for form in self._forms if len(form) < _PIECE)
        if not found:
            return None
        bounded = r"(?<![0-9a-z_\-]){}(?![0-9a-z_\-])"
        return re.compile(
            "|".join(
                re.escape(form) if len(form) >= _ANYWHERE else bounded.format(re.escape(form))
                for form in sorted(found, key=len, reverse=True)
            )
        )

    @cached_property
    def _long(self) -> str:
        """All others, one after the other: no piece goes over a line's end."""
        return "\n".join(sorted(form for form in self._forms if len(form) >= _PIECE))

    def _whole(self, low: str) -> list[tuple[int, int]]:
        return [match.span() for match in self._short.finditer(low)] if self._short else []

    def _pieces(self, low: str) -> list[tuple[int, int]]:
        secrets, spans, done = self._long, [], 0
        if not secrets:
            return []
        for at in range(0, len(low) - _STEP + 1, _STEP):
            if at + _STEP <= done:
                continue  # inside of a piece that was found
            block = low[at : at + _STEP]
            where = secrets.find(block)
            while where >= 0:
                begin, end = _around(low, at, secrets, where)
                if end - begin >= _PIECE:
                    spans.append((begin, end))
                    done = max(done, end)
                where = secrets.find(block, where + 1)
        return spans


class LiveMasker:
    """A `Masker` whose secrets change: tokens that are renewed.

    Args:
        secrets: gives the secrets of this moment, in the clear; asked for each text.
    """

    def __init__(self, secrets: Callable[[], Iterable[str]]) -> None:
        self._secrets = secrets
        self._known: tuple[str, ...] = ()
        self._masker = Masker(())

    def __repr__(self) -> str:
        return "LiveMasker(…)"

    def __call__(self, text: str) -> str:
        known = tuple(self._secrets())
        if known != self._known:
            self._known, self._masker = known, Masker(known)
        return self._masker(text)


def _around(text: str, at: int, secrets: str, where: int) -> tuple[int, int]:
    """What a text has in common with the secrets around a block of both."""
    before = 0
    while (
        at > before
        and where > before
        and text[at - before - 1] == secrets[where - before - 1] != "\n"
    ):
        before += 1
    after = _STEP
    while (
        at + after < len(text)
        and where + after < len(secrets)
        and text[at + after] == secrets[where + after] != "\n"
    ):
        after += 1
    return at - before, at + after


def _forms_of(secret: str) -> tuple[str, ...]:
    """How a secret may be written."""
    if secret.isascii() and secret.isalnum():
        return (secret,)  # nothing of it is ever encoded or escaped
    # Loaded where a secret is about to be masked: it has a table of every named character.
    import html

    return (
        secret,
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
        secret.replace("/", "\\/"),
        html.escape(secret),
    )


def mask_start(text: str, limit: int, mask: Mask) -> str:
    """The beginning of a text, masked: so much of a stranger's text is looked at, however long it is.

    A secret that the limit cuts leaves up to a piece less one character that no mask knows, so that
    much of the end goes too.

    Args:
        limit: characters of `text` to take.
    """
    masked = mask(text[:limit])
    return masked if len(text) <= limit else masked[: 1 - _PIECE]


def printable(text: str, limit: int, mask: Mask = str) -> str:
    """A stranger's text that can be shown and stored: one line of at most `limit` characters.

    No control characters, no halves of a character, no direction overrides; without the secrets,
    and without whatever follows `access_token=`, `secret=` and their like. In this order: what is
    taken out may have stood in the middle of a secret, and half of one is not found after a cut.
    """

    def without_controls(text: str) -> str:
        return mask(re.sub(_MISLEADING, "", one_line(text)))

    text = re.sub(_CREDENTIAL, r"\1…", mask_start(text, limit * 8, without_controls)).strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"
