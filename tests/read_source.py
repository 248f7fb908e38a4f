"""Reads a source to its end, as planning does."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

from promomsg.intake.python.iterables import as_source
from promomsg.intake.sources import Row
from promomsg.model import Everyone, Promoters, Retailers, Roles


async def read(recipients: Any, *names: str, size: int = 1000, check: bool = True) -> list[Row]:
    """Every row of whatever `send` would be given, with `names` as its parameters."""
    source = as_source(recipients)
    assert not isinstance(source, (Promoters, Roles, Retailers, Everyone))
    wanted = frozenset(names)
    if check:
        source.check(wanted)
    rows: list[Row] = []
    async with aclosing(source.batches(wanted, size)) as batches:  # type: ignore[type-var]
        async for batch in batches:
            assert batch
            rows += batch
    return rows
