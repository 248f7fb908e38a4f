"""Which language the terminal speaks, and a text in it. Everything is written in English in the source,
and becomes another language where it is printed: an error, a journal and a log are the same for all."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from promomsg.cli.language.catalogue import Catalogue

__all__ = [
    "LANGUAGES",
    "SHOWN_WORDS",
    "_",
    "chinese",
    "is_wide",
    "language_for",
    "speak",
    "translated",
]

LANGUAGES: Final = ("en", "zh")
"""What `--lang` takes."""

SHOWN_WORDS: Final = (
    # states and counts
    "planned", "sent", "failed", "unknown", "skipped", "cancelled", "pending", "intended", "accepted", "expired",
    "refused", "planning", "sending", "following", "paused", "waiting", "halted", "stopped", "done", "gone",
    "ending", "alive", "clicked",
    # headings
    "key", "verdict", "code", "detail", "attempts", "group", "at", "what", "campaign", "worker", "people",
    "clicks", "members", "journal", "begun", "size", "state", "percent", "concurrency", "version",
    # what `doctor` and `reconcile` find
    "ok", "warn", "fail", "account", "recipients", "suppression", "token", "keys", "proxy", "descriptors",
    "provider", "clock", "quota", "message", "adopted", "matches",
)  # fmt: skip
"""Single words that are data in JSON and CSV, and are shown to a person in tables and lines."""

_in_use: Catalogue | None = None


def language_for(arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    """`en` or `zh`: by `--lang`, else by the locale, as gettext reads it.

    A locale alone does not choose Chinese where standard output or error cannot show it.

    Args:
        arguments: of the command line; a wrong `--lang` is left to who reads the options.
        environment: `LC_ALL`, then `LC_MESSAGES`, then `LANG` name the locale; `LANGUAGE` a list of
            languages to be preferred, unless the locale is `C` or `POSIX`.
    """
    for at, word in enumerate(arguments):
        if word == "--":
            break
        name, _, value = word.partition("=")
        if name == "--lang":
            asked = value or "".join(arguments[at + 1 : at + 2])
            if asked in LANGUAGES:
                return asked
    found = (environment.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    locale = next((value for value in found if value), "C")
    preferred = environment.get("LANGUAGE") or locale
    if locale.partition(".")[0] in ("C", "POSIX") or not preferred.partition(":")[0].startswith(
        "zh"
    ):
        return "en"
    return "zh" if _shows_chinese(sys.stdout) and _shows_chinese(sys.stderr) else "en"


def _shows_chinese(stream: object) -> bool:
    try:
        "中文".encode(getattr(stream, "encoding", None) or "utf-8")
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def speak(language: str) -> None:
    """Has the terminal speak a language from now on, in this process."""
    global _in_use
    _in_use = None if language == "en" else chinese()


@cache
def chinese() -> Catalogue:
    """The Chinese catalogue, whatever the terminal speaks."""
    # Loaded for a reader of Chinese alone.
    from promomsg.cli.language.catalogue import Catalogue

    folder = os.path.join(os.path.dirname(os.path.dirname(__file__)), "locale")
    return Catalogue.load(folder, "zh_CN")


def is_wide() -> bool:
    """Whether the language has no spaces between words, and characters of two columns."""
    return _in_use is not None


def _(text: str) -> str:
    """A word or a text with holes in the language of the terminal: `_("{0} left").format(…)`.

    As it is where there is no such message.
    """
    return text if _in_use is None else _in_use.message(text)


def translated(text: str) -> str:
    """An English text that is complete, values and all, in the language of the terminal."""
    return text if _in_use is None else _in_use.text(text)
