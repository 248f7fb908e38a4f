"""Where the rows of a list stand, for the message of a duplicate: `line 7`, `item 3`, `b.csv line 2`.

Rows nearly always follow one another line by line, so only where they do not is kept: a list of
millions takes a handful of places.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from promomsg.journal.records import Place

__all__ = ["RowPlaces"]

_MOST: Final = 50_000
"""Places kept; a list that is blank at every second line is not worth more memory."""


class RowPlaces:
    """The places of a list's rows, as it is read."""

    def __init__(self) -> None:
        self._places: list[Place] = []
        self._given_up = False

    def add(self, first: int, where: Sequence[str]) -> None:
        """Takes the places of the next rows in order.

        Args:
            first: the seq of the first of them.
            where: their places, a word or more and a number each; an empty one says nothing.
        """
        if self._given_up or not where:
            return
        if self._continues(first, where[0]) and self._continues(first + len(where) - 1, where[-1]):
            return  # the numbers only ever rise, so those in between go on too
        for seq, text in enumerate(where, first):
            if self._continues(seq, text):
                continue
            word, _, number = text.rpartition(" ")
            if not number.isdecimal() or len(self._places) >= _MOST:
                self._given_up = True
                return
            self._places.append(Place(seq, word, int(number)))

    def _continues(self, seq: int, text: str) -> bool:
        if not self._places:
            return False
        last = self._places[-1]
        return text == f"{last.unit} {last.number + seq - last.seq}"

    def known(self) -> tuple[Place, ...]:
        """The places where counting begins anew; none when they cannot be told."""
        return () if self._given_up else tuple(self._places)
