"""`[campaign] max_per_person`: how many messages a person may have."""

from __future__ import annotations

import secrets
from pathlib import Path

from promomsg.cli.campaign.table_reader import TableReader
from promomsg.cli.journal_place import JournalPlace
from promomsg.engine.frequency.frequency_cap import parse_frequency_cap

__all__ = ["beside", "read_max_per_person"]


def read_max_per_person(campaign: TableReader) -> str | None:
    """The cap as it is written; None when there is none.

    Raises:
        UsageError: it is none, like `"2 in 7d"`.
    """
    text = campaign.text("max_per_person", "")
    if not text:
        return None
    campaign.build(parse_frequency_cap, text)
    return text


def beside(journal: JournalPlace) -> JournalPlace:
    """A place in the same folder or database, for a plan that counts what is there and stays nowhere."""
    name = f"plan-{secrets.token_hex(8)}"
    if isinstance(journal, Path):
        return journal.resolve().with_name(f"{name}.db")
    return journal._replace(name=name)
