"""What one cell of a suppression list means: a key, an address, or an error. It is never guessed.

An address column holds addresses. A key column holds any text without control and format
characters. Without headings a cell is an address or a key that cannot be anything else: no blank,
quote, bracket or separator in it, and unchanged by NFKC.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final, NamedTuple, NoReturn

from promomsg.addresses import (
    is_clean_column,
    is_empty_word,
    is_mangled,
    parse_address,
    why_no_address,
)
from promomsg.control_characters import excerpt, is_invisible, trimmed
from promomsg.errors import UsageError
from promomsg.intake.headings import column_of_heading
from promomsg.intake.spreadsheet_guards import key_without_guards, without_guards
from promomsg.model import Problem

__all__ = ["DoubtfulValue", "ListedValues", "are_all_addresses"]

_SEPARATORS: Final = frozenset(",;|#，、；")
_QUOTES: Final = frozenset("\"'`´＂＇")
_BRACKETS: Final = frozenset("<>")
_QUOTE_LIKE: Final = frozenset({"Pi", "Pf"})
_BRACKET_LIKE: Final = frozenset({"Ps", "Pe"})
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_ADDRESS: Final = re.compile(r"[0-9A-Za-z_-]*").fullmatch
_PLAIN: Final = re.compile(r"[!$%&*+\-./0-9:=?@A-Z\\^_a-z~]+")
"""ASCII without any of them."""
_BULLETED: Final = re.compile(
    r"[*•·‣▪●○◦–—−→►✓✗]+[0-9A-Za-z_-]+[.:!?。…]*|[0-9A-Za-z_-]+[.:!?。…]+"
)
"""An address as an item of a written list, or at the end of a sentence."""
_MANGLED: Final = (
    "looks mangled by a spreadsheet and is no key of this campaign, so whoever was meant would "
    "get the message; export the column as text"
)
_MARKED: Final = (
    "is an address with a mark before or after it, and no key of this campaign; take the mark off"
)
_HIDDEN: Final = (
    "is nobody of this campaign, though {} in it is, and would get the message; leave nothing but "
    "the key or address in its cell"
)
_APART: Final = re.compile(r"[^\w-]+|[\uff08-\uff1f]+")
_RUN: Final = re.compile(r"[0-9A-Za-z_-]+")
_GROUPED: Final = re.compile(r"[.,'_ ]")
"""What stands between the thousands of a number."""
_DASHES: Final = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\uff0d"), "-")
_EMAIL: Final = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_SHORTEST: Final = 2
_SHORTEST_NUMBER: Final = 4
"""A shorter number is in many a key by chance: the 17 of `CRM/24.17`."""
_SHORTEST_SECRET: Final = 8
"""A piece of a user token may be like somebody's key by chance."""


class DoubtfulValue(NamedTuple):
    """A value of the list that may mean somebody in another way than it is written.

    Attributes:
        value: as it was read.
        message: the notice or error for it.
        inside: a key or address in it, which is somebody of the campaign if the doubt is right;
            None: it is right unless the campaign has just that key.
        is_key: it is from a key column, so that `inside` can be a key alone.
    """

    value: str
    message: str
    inside: str | None = None
    is_key: bool = False


class ListedValues:
    """One batch of a suppression list, cell by cell.

    Args:
        secret: its cells may be user tokens, which no message shows.

    Attributes:
        values: whom it names: keys and addresses.
        spellings: other ways in which the same are written, such as `'1001` for `1001`.
        doubtful: what a spreadsheet may have made, a writer's bullet or full stop, and keys with
            what may be somebody else's key or address in them.
    """

    __slots__ = ("doubtful", "secret", "spellings", "values")

    def __init__(self, *, secret: bool = False) -> None:
        self.secret = secret
        self.values: list[str] = []
        self.spellings: list[str] = []
        self.doubtful: list[DoubtfulValue] = []

    def add_address(self, name: str, cell: str, where: str) -> bool:
        """A cell of an address column; whether there is anything in it.

        Raises:
            UsageError: it is no address.
        """
        text = trimmed(cell)
        if not text:
            return False
        inside = without_guards(text)
        if name == "access_token":
            got = parse_address(name, inside or text)
            why = got.detail.removeprefix(f"{name} ") if isinstance(got, Problem) else None
        else:
            why = why_no_address(inside) if inside else "it is nothing but quotes"
        if why is not None:
            self._refuse(where, text, f"is no {name}: {why}")
        self.values.append(inside)
        if text != inside:
            self.spellings.append(text)
        return True

    def add_key(self, cell: str, where: str) -> bool:
        """A cell of a key column; whether there is anything in it.

        Raises:
            UsageError: it holds a control or format character.
        """
        text = trimmed(cell)
        if not text:
            return False
        inside = without_guards(text)
        if not inside:
            self._refuse(where, text, "is no key: it is nothing but quotes")
        if not inside.isascii() or not inside.isprintable():
            for character in inside:
                if character != " " and unicodedata.category(character) in _UNSEEN:
                    self._refuse(
                        where, text, f"is no key: U+{ord(character):04X} in it cannot be seen"
                    )
        # As a list of recipients writes it, and as the cell does: keys are compared to the letter.
        spellings = dict.fromkeys((key_without_guards(cell), inside, text, cell))
        first, *others = spellings
        if is_mangled(inside):
            self.doubtful.append(DoubtfulValue(inside, self._message(where, text, _MANGLED)))
        elif not _ADDRESS(inside):
            self._doubt_hidden_address(inside, where, text, is_key=True)
        self.values.append(first)
        self.spellings += others
        return True

    def add_any(self, cell: str, where: str) -> bool:
        """A cell of a list without headings; whether there is anything in it.

        Raises:
            UsageError: it is neither an address nor a key that can be told from a remark.
        """
        text = trimmed(cell)
        if not text:
            return False
        inside = without_guards(text)
        if not inside:
            self._refuse(where, text, "is nothing but quotes")
        if why_no_address(inside) is not None:
            why = _why_no_key(inside)
            if why is not None:
                self._refuse(
                    where, text, f"{why}; give one key or address a line, or headings (key, id, …)"
                )
            if is_mangled(inside):
                self.doubtful.append(DoubtfulValue(inside, self._message(where, text, _MANGLED)))
            elif _BULLETED.fullmatch(inside):
                self.doubtful.append(DoubtfulValue(inside, self._message(where, text, _MARKED)))
            else:
                self._doubt_hidden_address(inside, where, text)
        elif inside[0] == "-":
            self._doubt_hidden_address(inside, where, text)
        self.values.append(inside)
        if text != inside:
            self.spellings.append(text)
        return True

    def add_addresses(self, values: Sequence[str]) -> None:
        """Values that are surely addresses (`are_all_addresses`), or empty."""
        self.values += [value for value in values if value]

    def _doubt_hidden_address(
        self, inside: str, where: str, text: str, *, is_key: bool = False
    ) -> None:
        """Doubts a key that has somebody's key or address in it: `1001:asked`, `user=1001`."""
        if _EMAIL.fullmatch(inside):
            return
        for piece in _possible_addresses(inside):
            if len(piece) >= (_SHORTEST_SECRET if self.secret else 0):
                shown = "what" if self.secret else excerpt(piece)
                message = self._message(where, text, _HIDDEN.format(shown))
                # In a wallet's list a user token may stand in any column.
                self.doubtful.append(
                    DoubtfulValue(inside, message, piece, is_key and not self.secret)
                )

    def _message(self, where: str, text: str, why: str) -> str:
        shown = "a value" if self.secret else excerpt(text)
        return f"{where}: {shown} {why}"

    def _refuse(self, where: str, text: str, why: str) -> NoReturn:
        raise UsageError(self._message(where, text, why))


def are_all_addresses(cells: Sequence[str]) -> bool:
    """Whether every cell is surely an address, or empty; may be False when all are."""
    joined = "".join(cells)
    return is_clean_column("id", joined, cells) or is_clean_column("openid", joined, cells)


def _possible_addresses(text: str) -> set[str]:
    """What in a text may be the key or address that is meant: its first word and its last one,
    and the whole with plain hyphens and digits."""
    plain = unicodedata.normalize("NFKC", text).translate(_DASHES)
    found = {plain}
    for words in (_APART.split(text), _RUN.findall(text)):
        if there := [word for word in words if word]:
            found |= {there[0], there[-1], there[0].strip("-_"), there[-1].strip("-_")}
    digits = _GROUPED.sub("", plain)
    if digits.isdigit():
        found.add(digits)
    found.discard(text)
    return {
        piece
        for piece in found
        if len(piece) >= (_SHORTEST_NUMBER if piece.isdigit() else _SHORTEST)
    }


def _why_no_key(text: str) -> str | None:
    """Why a text that is no address is no key of a list without headings; None when it is one."""
    if (name := column_of_heading(text)) is not None:
        return f"is a heading ({name}) in a list that does not begin with headings"
    if is_empty_word(text):
        return "is what an export writes for an empty cell"
    for character in "" if _PLAIN.fullmatch(text) else text:
        kind = unicodedata.category(character)
        if is_invisible(character) and kind != "Cf":
            return "has a blank in it"
        if character in _SEPARATORS:
            return f"has {character!r} in it"
        if character in _QUOTES or kind in _QUOTE_LIKE:
            return "has a quote in it"
        if character in _BRACKETS or kind in _BRACKET_LIKE:
            return "has a bracket in it"
        if kind in _UNSEEN:
            return f"has U+{ord(character):04X} in it, which cannot be seen"
    if text.isdecimal() and not text.isascii():
        return "is a number that is not in ASCII digits"
    if not unicodedata.is_normalized("NFKC", text):
        return "has characters of another width or form than usual"
    head, found, _ = text.replace("=", ":").partition(":")
    if found and (name := column_of_heading(head)) is not None:
        return f"names its column ({name}) itself"
    return None
