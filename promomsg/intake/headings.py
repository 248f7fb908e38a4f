"""What a heading of a list means: a spreadsheet's guard around it is no part of it."""

from __future__ import annotations

from promomsg import addresses
from promomsg.intake.guards import bare

__all__ = ["folded", "known_column"]


def folded(heading: str) -> str:
    """A heading without regard to guards, case, blanks, underscores, hyphens and width."""
    return addresses.folded(bare(heading))


def known_column(heading: str) -> str | None:
    """The known column that a heading means (`OPENID`, `open_id`: `openid`); None for any other."""
    return addresses.known_column(bare(heading))
