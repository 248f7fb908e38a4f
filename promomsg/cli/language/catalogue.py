"""The messages of one language, and an English text known again among them
(docs/design.md, "The language of the terminal").

An error says in English what is wrong, with its values in it, whoever catches it. So that a person reads
it in another language, the terminal finds the message that the text was made from: its words in their
order, with anything in its holes. `'crm-1' is not text` is `{0!r} is not text`. Where several fit, the one
with the most words of its own counts; what stands in a hole may be a text itself. A text that is put
together of several is taken apart at its punctuation. What nothing fits stays English.
"""

from __future__ import annotations

import gettext
import io
import os
import re
from collections.abc import Collection, Iterator
from string import Formatter
from typing import Final, Self

from promomsg.cli.language.texts_of_others import WORDS_IN_TEXTS

__all__ = ["Catalogue", "Pattern"]

_QUOTED: Final = re.compile(r"""b?(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")
_REPR: Final = re.compile(
    _QUOTED.pattern
    + r"|\[[^\]]*\]|\{[^}]*\}|\([^)]*\)|<[^>]*>|-?\d[\w.+-]*|None|True|False|[A-Z]\w*\([^()]*\)"
)
"""A text in quotes, or another value as Python writes it: `5`, `None`, `[1, 2]`, `Pace(…)`."""
_NUMBER: Final = re.compile(r"-?[\d,]*\.?\d+(?:e[+-]?\d+)?%?|inf|nan")
_SHORT: Final = 7
"""A message with fewer characters of its own, `and {0}`, fits nearly any text: it counts only with a number
and a few words in its holes, `row 7`, `3 days ago`."""
_A_FEW_WORDS: Final = 3
_HEAD: Final = re.compile(r"(-?\d{5,}|[A-Z][A-Z\d]*_[A-Z\d_]+|(?:\S+ )?(?:row|line|item) \d+): ")
"""What a text begins with that is no part of it: `NOT_SENT: `, `45009: `, `people.csv line 7: `."""
_PUNCTUATION: Final = (
    ("; ", "；"),
    (": ", "："),
    (". ", "。"),
    (", ", "，"),
    (" and ", "和"),
    (" is ", " 是 "),
    (" (", "（"),
)
_TWO_SCRIPTS: Final = re.compile("[\u4e00-\u9fff][0-9A-Za-z]|[0-9A-Za-z][\u4e00-\u9fff]").fullmatch
_ENGLISH: Final = re.compile("[A-Za-z]+ [a-z]+ [a-z]+").search
"""Words that a message which fits has left English."""
_OWN_SPACE: Final = frozenset("，；：。（")
"""No blank stands before these."""
_FOLLOWS: Final = (" ", ";", ",", ".")
"""How a message begins that is the end of a text; one that is the beginning ends with a blank."""
_MOST_PIECES: Final = 16
"""A text with more punctuation than that is not ours, and is not taken apart."""
_DEEPEST: Final = 24
"""Pieces in pieces; what is deeper is a stranger's text, and stays as it is."""
_LONGEST: Final = 4000
"""Characters of a text that is looked at."""
_KEPT: Final = 5000
"""Texts whose translation is remembered: the rows of a report say the same few things."""


class Pattern:
    """A message with holes.

    Args:
        message: with `{0}` for a value, `{0!r}` for a quoted one and `{0:,}` for a number.
        translation: with the same holes, in any order.

    Attributes:
        letters, length: how many letters, and characters, it has of its own.
        longest: the longest piece of text between its holes.
        ends_in_blank: a hole is its end, after a blank.
        tables: the holes in square brackets, for the name of a table in a file.
    """

    def __init__(self, message: str, translation: str) -> None:
        self._literals = [""]
        self._holes: list[tuple[str, re.Pattern[str] | None]] = []
        for literal, name, spec, conversion in Formatter().parse(message):
            self._literals[-1] += literal
            if name is not None:
                form = _REPR if conversion else _NUMBER if spec else None
                self._holes.append((name, form))
                self._literals.append("")
        self._translation = translation
        self.tables = frozenset(
            name
            for (name, _), before, after in zip(
                self._holes, self._literals[:-1], self._literals[1:], strict=True
            )
            if before.endswith("[") and after.startswith("]")
        )
        self.letters = sum(c.isalpha() for literal in self._literals for c in literal)
        self.length = sum(map(len, self._literals))
        self.ends_in_blank = not self._literals[-1] and self._literals[-2:][0].endswith(" ")
        self.longest = max(self._literals, key=len)

    def match(self, text: str) -> dict[str, str] | None:
        """What stands in the holes when `text` was made from this message; else None.

        It looks once from left to right, however often a piece between two holes is in the text.
        """
        first, last = self._literals[0], self._literals[-1]
        end = len(text) - len(last)
        if not text.startswith(first) or not text.endswith(last) or end < len(first):
            return None
        at, found = len(first), {}
        for number, (name, form) in enumerate(self._holes):
            is_last = number == len(self._holes) - 1
            following = self._literals[number + 1]
            if form is not None:
                value = form.match(text, at, end)
                upto = -1 if value is None else value.end()
                if (is_last and upto != end) or not text.startswith(following, max(upto, 0)):
                    return None
            elif is_last:
                upto = end
            elif following:
                upto = text.find(following, at, end)
            else:
                upto = self._before_next(number, text, at, end)
            if upto < at:
                return None
            found[name] = text[at:upto]
            at = upto + (0 if is_last else len(following))
        return found

    def _before_next(self, number: int, text: str, at: int, end: int) -> int:
        """Where a hole ends that the next one follows at once: before what that one has to be."""
        form = self._holes[number + 1][1]
        value = None if form is None else form.search(text, at, end)
        return at if form is None else -1 if value is None else value.start()

    def filled(self, values: dict[str, str]) -> str:
        """The translation with these values; a blank stands between a Chinese character and a word or
        number of another script."""
        filled = ""
        for literal, name, _, _ in Formatter().parse(self._translation):
            for part in (literal, "" if name is None else values[name]):
                filled += f" {part}" if _TWO_SCRIPTS(filled[-1:] + part[:1]) else part
        return filled


class _Messages(gettext.GNUTranslations):
    def pairs(self) -> Iterator[tuple[str, str]]:
        """Every message and its translation: gettext has no public way to list them."""
        found: dict[str, str] = vars(self)["_catalog"]
        return ((msgid, text) for msgid, text in found.items() if msgid)


class Catalogue:
    """One language.

    Args:
        messages: English with holes, and the same in this language.
    """

    def __init__(self, messages: dict[str, str]) -> None:
        self._messages = messages
        self._forms: dict[str, str] = {}
        self._known: dict[str, str] = {}
        patterns = []
        for message, translation in messages.items():
            if message[:1] in _FOLLOWS:
                patterns.append(Pattern(f"{{before}}{message}", f"{{before}}{translation}"))
            elif message[-1:] == " ":
                patterns.append(Pattern(f"{message}{{after}}", f"{translation}{{after}}"))
            if "{" in message.replace("{{", ""):
                patterns.append(Pattern(message.strip(), translation.strip()))
            elif " " in message.strip():
                self._known[message.strip().format()] = translation.strip().format()
        self._words = {word: messages.get(word, word) for word in WORDS_IN_TEXTS}
        self._complete = frozenset(self._known)
        self._patterns = sorted(patterns, key=lambda one: (-one.letters, -one.length))

    @classmethod
    def load(cls, folder: str, locale: str) -> Self:
        """The catalogue of a locale: its `.mo`, or in a source tree, which has none, its `.po`."""
        base = os.path.join(folder, locale, "LC_MESSAGES", "promomsg")
        try:
            with open(f"{base}.mo", "rb") as compiled:
                raw = compiled.read()
        except FileNotFoundError:
            from promomsg.cli.language.po_file import compile_po

            with open(f"{base}.po", encoding="utf-8") as source:
                raw = compile_po(source.read())
        return cls(dict(_Messages(io.BytesIO(raw)).pairs()))

    def message(self, message: str) -> str:
        """The translation of a message as the source has it, holes and all: `{0:,}` for a number of the
        source's form."""
        found = self._forms.get(message)
        if found is None:
            found = self._forms[message] = _formed(message, self._messages.get(message, message))
        return found

    def text(self, text: str) -> str:
        """An English text in this language; itself where no message fits."""
        core = text.strip()
        if not core or len(core) > _LONGEST:
            return text
        before, _, after = text.partition(core)
        return before + (self._words.get(core) or self._translated(core, 0)) + after

    def _translated(self, text: str, depth: int) -> str:
        known = self._known.get(text)
        if known is not None:
            return known
        if " " not in text or depth > _DEEPEST:
            return text
        head = _HEAD.match(text)
        if head is not None:
            rest = self._translated(text[head.end() :], depth + 1)
            return f"{self._translated(head[1], depth + 1)}：{rest}"
        found = self._by_pattern(text, depth)
        if found is None or _ENGLISH(found):
            pieces = (found, self._by_pieces(text, depth))
            found = min((one for one in pieces if one), key=_english_left, default=text)
        if len(self._known) > _KEPT + len(self._complete):
            self._known = {one: self._known[one] for one in self._complete}
        self._known[text] = found
        return found

    def _by_pattern(self, text: str, depth: int) -> str | None:
        """The message with the most words that fits; of several, the one that leaves the least English."""
        letters, fitting = 0, []
        for pattern in self._patterns:
            if pattern.letters < letters:
                break
            if pattern.longest not in text:
                continue
            holes = pattern.match(text)
            if holes is None and pattern.ends_in_blank:
                holes = pattern.match(f"{text} ")  # what stands behind it was empty
            if holes is None:
                continue
            if pattern.length < _SHORT and not _counts(holes.values()):
                continue
            inside = {
                name: value if name in pattern.tables else self._hole(value, depth + 1)
                for name, value in holes.items()
            }
            letters = pattern.letters
            fitting.append(pattern.filled(inside))
        return min(fitting, key=_english_left, default=None)

    def _hole(self, text: str, depth: int) -> str:
        core = text.strip()
        found = self._words.get(core) or self._translated(core, depth)
        if found[:1] in _OWN_SPACE and found != core:
            return found
        return text.replace(core, found, 1) if core else text

    def _by_pieces(self, text: str, depth: int) -> str | None:
        """A text put together of several, taken apart where the least of it stays English."""
        places = [
            (found.start(), mark, sign)
            for mark, sign in _PUNCTUATION
            for found in re.finditer(re.escape(mark), text)
        ]
        if len(places) > _MOST_PIECES:
            return None
        together = []
        for at, mark, sign in places:
            before, after, end = text[:at], text[at + len(mark) :], ""
            if mark == " (":
                if not text.endswith(")"):
                    continue
                after, end = after[:-1], "）"
            pieces = (self._translated(before, depth + 1), self._translated(after, depth + 1))
            if pieces != (before, after):
                together.append(f"{pieces[0]}{sign}{pieces[1]}{end}")
        quoted = _QUOTED.match(text)
        if quoted is not None and text[quoted.end() :].startswith(" "):
            rest = text[quoted.end() + 1 :]
            together.append(f"{quoted[0]} {self._translated(rest, depth + 1)}")
        return min(together, key=_english_left, default=None)


def _counts(values: Collection[str]) -> bool:
    """Whether a number is among a few words."""
    return any(c.isdigit() for value in values for c in value) and all(
        len(value.split()) <= _A_FEW_WORDS for value in values
    )


def _english_left(text: str) -> int:
    return sum(c.isascii() and c.isalpha() for c in text)


def _formed(message: str, translation: str) -> str:
    """The translation, each hole in the form that it has in the message."""
    if "{" not in message:
        return translation
    forms = {}
    for _, name, spec, conversion in Formatter().parse(message):
        if name is not None:
            forms[name] = (
                f"{{{name}{'!' + conversion if conversion else ''}{':' + spec if spec else ''}}}"
            )
    return "".join(
        literal.replace("{", "{{").replace("}", "}}") + ("" if name is None else forms[name])
        for literal, name, _, _ in Formatter().parse(translation)
    )
