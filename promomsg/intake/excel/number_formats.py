"""A spreadsheet's number as its cell shows it: `42` under `000000` is `000042`, `0.15` is `15%`.

Of a format everything is understood or nothing: under any other one the number itself is what was
written. Dates are ISO whatever their format, without the time when that is midnight. Ids of the
formats that a file need not spell out: ECMA-376, part 1, §18.8.30.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Final

__all__ = ["NumberFormat"]

_BUILT_IN: Final = {
    1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 9: "0%", 10: "0.00%",
    37: "#,##0;-#,##0", 38: "#,##0;-#,##0", 39: "#,##0.00;-#,##0.00", 40: "#,##0.00;-#,##0.00",
    45: "mm:ss", 46: "[h]:mm:ss", 47: "mm:ss",
}  # fmt: skip
_DATES: Final = frozenset((*range(14, 18), 22, *range(27, 32), 36, *range(50, 59)))
"""Those of them that show a day, the ones of Chinese, Japanese and Korean Excel included."""
_TIMES: Final = frozenset((18, 19, 20, 21, *range(32, 36)))

_EPOCH: Final = datetime(1899, 12, 30)  # noqa: DTZ001  (a cell has no time zone)
_EPOCH_1904: Final = datetime(1904, 1, 1)  # noqa: DTZ001
_TOKEN: Final = re.compile(
    r'"(?P<quoted>[^"]*)"|\\(?P<escaped>.)|(?P<blank>[_*].)|\[(?P<bracket>[^\]]*)\]|(?P<char>.)',
    re.DOTALL,
)
_COLOUR: Final = re.compile(
    r"black|blue|cyan|green|magenta|red|white|yellow|color ?\d+|颜色 ?\d+|[黑蓝青绿红白黄]色|洋红",
    re.IGNORECASE,
)
_MONEY: Final = re.compile(r"\$([^-]*)(-[0-9A-Fa-f]+)?")
_ELAPSED: Final = re.compile(r"h+|m+|s+", re.IGNORECASE)
_DIGITS: Final = frozenset("0#?")
_AS_IT_IS: Final = frozenset("$+-() ¥￥€£%")


class NumberFormat:
    """One number format, understood once for all the cells that have it.

    Args:
        number: its id in the file.
        code: its text; None when the file has none, as for the built-in ones.
        epoch_1904: whether days count from 1904.
    """

    def __init__(self, number: int, code: str | None, epoch_1904: bool = False) -> None:
        self._epoch_1904 = epoch_1904
        if code is None:
            code = _BUILT_IN.get(number, "")
        letters = _letters(code)
        self.is_elapsed = "[" in letters
        self.is_date = number in _DATES or any(c in letters for c in "yd")
        self._is_time = number in _TIMES or any(c in letters for c in "hms")
        self.pads = len(code) if code and not code.strip("0") else 0
        """How many digits are shown at least, when that is all that the format says."""
        self._sections: list[_Pattern | None] = []
        if not (self.is_elapsed or self.is_date or self._is_time):
            self._sections = [_pattern(section) for section in _split(code)] if code else []

    def number(self, text: str) -> int | float:
        """The number itself: whole ones as such, others with the 15 digits that Excel keeps."""
        try:
            return int(text)
        except ValueError:
            value = float(f"{float(text):.15g}")
        return int(value) if value.is_integer() else value

    def address(self, text: str) -> int | float | str:
        """The number as an id: padded when the format does nothing else."""
        value = self.number(text)
        if self.pads > 1 and isinstance(value, int) and value >= 0:
            return str(value).zfill(self.pads)
        return value

    def as_shown(self, text: str) -> int | float | str | date | time:
        """What a person sees in the cell.

        Raises:
            ValueError: the text is no number, or no day that there is.
        """
        value = self.number(text)
        if self.is_elapsed:
            return _elapsed(float(text))
        if self.is_date or self._is_time:
            return self._moment(float(text))
        if not self._sections:
            return value
        which = 0 if value > 0 else 1 if value < 0 else 2
        own = which < len(self._sections)
        pattern = self._sections[which if own else 0]
        if pattern is None:
            return value
        written = pattern.write(
            Decimal(repr(abs(value)) if isinstance(value, float) else abs(value))
        )
        if written is None:
            return value
        return f"-{written}" if value < 0 and not own else written

    def _moment(self, serial: float) -> date | time:
        days, rest = divmod(round(serial * 86_400_000), 86_400_000)
        clock = timedelta(milliseconds=rest)
        if days == 0 and not self.is_date:
            return (_EPOCH_1904 + clock).time()
        begin = _EPOCH_1904
        if not self._epoch_1904:  # day 60 is a 29 February 1900 that never was
            begin = _EPOCH if days >= 60 else _EPOCH + timedelta(days=1)
        try:
            moment = begin + timedelta(days=days) + clock
        except OverflowError:
            raise ValueError(f"{serial:g} is no day") from None
        if serial < 0:
            raise ValueError(f"{serial:g} is no day")
        return moment if rest else moment.date()


class _Pattern:
    """One section of a format: literal text and digit places, in order."""

    def __init__(self, pieces: list[str], places: list[int], core: str, percent: int) -> None:
        self._pieces = pieces
        self._places = places
        self._percent = percent
        whole, self._point, decimals = core.partition(".")
        self._thousands = "," in whole
        self._least = whole.count("0")
        self._most_decimals = len(decimals)
        self._least_decimals = decimals.count("0")

    def write(self, value: Decimal) -> str | None:
        """A number that is not negative; None when nothing would be seen of it."""
        with localcontext() as context:
            context.prec = 400
            scaled = value * 100**self._percent
            rounded = scaled.quantize(Decimal(1).scaleb(-self._most_decimals), ROUND_HALF_UP)
        whole, _, decimals = f"{rounded:f}".partition(".")
        whole = whole.lstrip("0").zfill(self._least)
        decimals = decimals.rstrip("0").ljust(self._least_decimals, "0")
        if not (whole or decimals):
            return None
        if len(self._places) > 1:
            return self._spread(whole)
        if self._thousands and len(whole) > 3:
            head = len(whole) % 3
            groups = [whole[:head]] * bool(head)
            groups += [whole[i : i + 3] for i in range(head, len(whole), 3)]
            whole = ",".join(groups)
        number = whole + (f".{decimals}" if decimals else "")
        out = list(self._pieces)
        out.insert(self._places[0], number)
        return "".join(out).strip()

    def _spread(self, digits: str) -> str:
        """Digits over several groups, as in `000-0000`: from the right."""
        out = list(self._pieces)
        for place in reversed(self._places[1:]):
            size = len(out[place])
            out[place] = digits[-size:]
            digits = digits[:-size]
        out[self._places[0]] = digits
        return "".join(out).strip()


def _split(code: str) -> list[str]:
    """The sections: more than zero, less, zero, text."""
    sections = [""]
    for match in _TOKEN.finditer(code):
        if match["char"] == ";":
            sections.append("")
        else:
            sections[-1] += match.group()
    return sections


def _letters(code: str) -> str:
    """The letters of a first section that mean days and times; `[` for one of elapsed time."""
    found = ""
    for match in _TOKEN.finditer(_split(code)[0].replace("General", "")):
        if (bracket := match["bracket"]) is not None:
            found += "[" if _ELAPSED.fullmatch(bracket) else ""
        elif (char := match["char"]) is not None and char.lower() in "ymdhs":
            found += char.lower()
    return found


def _pattern(section: str) -> _Pattern | None:
    """A section understood in full, else None."""
    pieces: list[str] = []
    places: list[int] = []
    core = ""
    percent = 0
    digits = ""

    def place() -> None:
        nonlocal digits
        if digits:
            places.append(len(pieces))
            pieces.append(digits)
            digits = ""

    for match in _TOKEN.finditer(section):
        char = match["char"]
        if char is not None and (char in _DIGITS or char in ".,"):
            digits += char
            core += char
            continue
        place()
        if (bracket := match["bracket"]) is not None:
            money = _MONEY.fullmatch(bracket)
            if money is None and not _COLOUR.fullmatch(bracket):
                return None
            pieces.append(money[1] if money else "")
        elif match["blank"] is not None:
            continue
        elif char is None:
            pieces.append(match["quoted"] or match["escaped"] or "")
        elif char in _AS_IT_IS or (not char.isascii() and char.isprintable()):
            percent += char == "%"
            pieces.append(char)
        else:
            return None
    place()
    if not re.fullmatch(r"(?:[0#?]+|[0#?]+,[0#?,]*[0#?])?(?:\.[0#?]*)?", core) or not places:
        return None
    if len(places) == 1:
        pieces.pop(places[0])
    elif any(c in core for c in ".,"):
        return None
    return _Pattern(pieces, places, core, percent)


def _elapsed(days: float) -> str:
    """Hours, minutes and seconds, as `[h]:mm:ss` shows them."""
    seconds = round(abs(days) * 86_400)
    sign = "-" if days < 0 and seconds else ""
    return f"{sign}{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
