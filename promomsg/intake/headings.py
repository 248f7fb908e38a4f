"""What a heading means: known columns are known however a program or a person spells them."""

from __future__ import annotations

import unicodedata
from typing import Final

from promomsg.intake.base import KNOWN
from promomsg.intake.guards import bare, is_invisible

__all__ = ["folded", "known_column"]


def folded(heading: str) -> str:
    """A heading without regard to case, blanks, underscores, hyphens and width: `Open ID` is
    `openid`. What is invisible, and a spreadsheet's guard, does not count."""
    text = bare(heading)
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return "".join(c for c in text.casefold() if c not in "_-" and not is_invisible(c))


_BY_FOLD: Final = {folded(name): name for name in KNOWN}


def known_column(heading: str) -> str | None:
    """The known column that a heading means (`OPENID`, `open_id`: `openid`); None for any other."""
    return _BY_FOLD.get(folded(heading))
