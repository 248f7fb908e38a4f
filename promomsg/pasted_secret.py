"""A secret as people paste it: what stands around it comes off, what cannot be one is named.

Out of a terminal, a chat or a file come line ends, quotes and characters that nobody sees. Sent as
they are they are a refusal by the provider (40001, 40125) that nobody understands.
"""

from __future__ import annotations

from typing import Final

from promomsg.control_characters import is_invisible, trimmed
from promomsg.errors import UsageError
from promomsg.model import Secret

__all__ = ["pasted_secret"]

_QUOTES: Final = {'"': '"', "'": "'", "`": "`", "\u201c": "\u201d", "\u2018": "\u2019"}
_REFERENCES: Final = ("env:", "file:", "command:")


def pasted_secret(what: str, secret: Secret) -> Secret:
    """The secret without the blanks, quotes and invisible characters around it.

    Args:
        what: the setting, for the message: `WeChatPromoter(secret=…)`.

    Raises:
        UsageError: it is empty, or cannot be a secret; no piece of it is said.
    """
    # Nothing of it is in a variable of the frame that the error is raised in.
    bare = Secret(_bare(secret.reveal()))
    problem = _problem(bare.reveal())
    if problem is not None:
        raise UsageError(f"{what}: {problem}")
    return bare


def _bare(text: str) -> str:
    text = trimmed(text)
    if len(text) > 1 and _QUOTES.get(text[0]) == text[-1]:
        text = trimmed(text[1:-1])
    return text


def _problem(text: str) -> str | None:
    if not text:
        return "it is empty"
    if text.startswith(_REFERENCES):
        kind = text.partition(":")[0]
        return f"'{kind}:…' is how a campaign file names a secret; here give the secret itself"
    if text.startswith("{"):
        return "it is JSON; give the value in it alone"
    if any(map(str.isspace, text)):
        return "a blank or a line end stands in the middle of it; copy it again"
    if not text.isprintable() or any(map(is_invisible, text)):
        return "a control character or an invisible one stands in it; copy it again"
    if not text.isascii():
        return "a character stands in it that no secret has; copy it again"
    return None
