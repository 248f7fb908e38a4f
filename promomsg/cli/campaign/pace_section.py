"""`[pace]` of a campaign file, or of an account: how fast to send."""

from __future__ import annotations

from typing import Any, Final

from promomsg.cli.campaign.table_reader import TableReader
from promomsg.transport.pace import Pace

__all__ = ["QUOTAS", "read_pace"]

QUOTAS: Final = (
    "singles_per_second",
    "singles_per_minute",
    "singles_per_day",
    "groups_per_minute",
    "unlimited",
    "shared_quota",
)
"""The keys that make a `Pace`."""


def read_pace(section: TableReader) -> Pace | None:
    """The pace that a table says; None when it says nothing of how fast to send."""
    quotas: dict[str, Any] = {
        "singles_per_second": section.number("singles_per_second"),
        "singles_per_minute": section.number("singles_per_minute"),
        "singles_per_day": section.whole("singles_per_day", 1),
        "groups_per_minute": section.number("groups_per_minute"),
        "unlimited": section.flag("unlimited", False) or None,
        "shared_quota": None if section.flag("shared_quota", True) else False,
    }
    given = {name: value for name, value in quotas.items() if value is not None}
    return section.build(Pace, **given) if given else None
