"""What `[campaign]` says of the first few: how many, and when the others follow."""

from __future__ import annotations

from typing import Any, Final

from promomsg.cli.campaign.table_reader import TableReader
from promomsg.engine.schedule.first_options import FIRST_OPTIONS, checked_first

__all__ = ["FIRST_KEYS", "as_first", "read_first"]

FIRST_KEYS: Final = ("first", *FIRST_OPTIONS)
"""The keys of `[campaign]` that are about the first few."""


def read_first(campaign: TableReader) -> dict[str, Any]:
    """Those of the keys that are there, as options of a campaign.

    Raises:
        UsageError: one is out of its range.
    """
    given = {name: campaign.table[name] for name in FIRST_KEYS if name in campaign}
    said = {"first": None, "first_stop_above": 0.1, "first_wait": 0, "first_ask": False, **given}
    campaign.build(
        checked_first,
        said["first"],
        stop_above=said["first_stop_above"],
        wait=said["first_wait"],
        ask=said["first_ask"],
    )
    return given


def as_first(text: str) -> int | str:
    """`--first`: a whole number, or a share."""
    return int(text) if text.isascii() and text.isdigit() else text
