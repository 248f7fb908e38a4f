"""One table of a campaign file as the class of a channel reads it, whose keys nobody here knows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from promomsg.cli.campaign.table_reader import TableReader
from promomsg.errors import UsageError
from promomsg.model import Secret

__all__ = ["ChannelSection"]


class ChannelSection(TableReader):
    """A `promomsg.channel.Section`.

    Args:
        table, file, name: as `TableReader` has them.
        read_secret: gets this table and a key; see `TableReader.secret`.
        folder: the file's: paths are relative to it.

    Raises:
        UsageError: it is no table.
    """

    def __init__(
        self,
        table: Any,
        file: str,
        name: str,
        read_secret: Callable[[TableReader, str], Secret],
        folder: Path,
    ) -> None:
        self._asked: dict[str, None] = {}
        noted = _NotedTable(table, self._asked) if isinstance(table, dict) else table
        super().__init__(noted, file, name, None)
        self._read_secret = read_secret
        self._folder = folder

    def refuse_unasked(self) -> None:
        """Raises UsageError when the table has a key that nobody has asked for."""
        self.refuse_unknown(tuple(self._asked))

    def secret_of(self, key: str) -> Secret:
        """See `Section.secret_of`."""
        return self._read_secret(self, key)

    def path_of(self, key: str) -> Path | None:
        """See `Section.path_of`."""
        return self.path(key, self._folder)

    def strings_of(self, key: str) -> dict[str, str]:
        """See `Section.strings_of`."""
        self.need(key, '{ name = "…" }')
        within = TableReader(self.table[key], self.file, f"{self.name}.{key}", None).strings()
        if not within:
            raise UsageError(f"{self.file}: [{self.name}.{key}] is empty; fill it in")
        return within


class _NotedTable(dict[str, Any]):
    """A table that notes which keys are asked for."""

    def __init__(self, table: dict[str, Any], asked: dict[str, None]) -> None:
        super().__init__(table)
        self._asked = asked

    def __getitem__(self, key: str) -> Any:
        self._asked[key] = None
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self._asked[str(key)] = None
        return super().__contains__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """The value, or the default."""
        self._asked[key] = None
        return super().get(key, default)

    def items(self) -> Any:
        """All of it, which asks for every key."""
        self._asked.update(dict.fromkeys(self))
        return super().items()
