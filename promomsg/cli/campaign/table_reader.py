"""One table of a TOML file, read key by key: a wrong type or a mistyped key names itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from promomsg.cli.campaign.secret_references import read_secret
from promomsg.durations import parse_duration
from promomsg.errors import UsageError
from promomsg.model import Secret
from promomsg.suggest import did_you_mean, quoted

__all__ = ["TableReader", "kind_of"]

P = ParamSpec("P")
T = TypeVar("T")


def kind_of(value: Any) -> str:
    """What TOML calls the value."""
    for kinds, name in (
        (bool, "true or false"),
        (str, "text"),
        ((int, float), "a number"),
        (list, "a list"),
        (dict, "a table"),
    ):
        if isinstance(value, kinds):
            return name
    return f"a {type(value).__name__}"  # a date or time


class TableReader:
    """One table, and which of its keys were asked for.

    Args:
        table: what TOML gave for it.
        file: the file's name, for messages.
        name: the table's, `campaign.columns`.
        known: every key it may have; another one is refused at once.

    Raises:
        UsageError: it is no table, or has a key that is not known.
    """

    def __init__(self, table: Any, file: str, name: str, known: tuple[str, ...] | None) -> None:
        self.file = file
        self.name = name
        if not isinstance(table, dict):
            raise UsageError(f"{file}: [{name}] is {kind_of(table)}, not a table")
        self.table: dict[str, Any] = table
        if known is not None:
            self.refuse_unknown(known)

    def refuse_unknown(self, known: Iterable[str]) -> None:
        """Raises UsageError when the table has another key than these."""
        names = tuple(known)
        for key in self.table:
            if key not in names:
                hint = did_you_mean(key, names) or f"; the keys are {quoted(names, 20)}"
                raise UsageError(f"{self.file}: [{self.name}] has no key {key!r}{hint}")

    def __contains__(self, key: str) -> bool:
        return key in self.table

    def where(self, key: str) -> str:
        """`autumn.toml: [message] path`."""
        return f"{self.file}: [{self.name}] {key}"

    def wrong(self, key: str, expected: str) -> UsageError:
        """The error of a value that is not what it should be; the value itself is not shown."""
        return UsageError(f"{self.where(key)} is {kind_of(self.table[key])}; expected {expected}")

    def build(self, make: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls a constructor of the library with values of this table.

        Raises:
            UsageError: the constructor's own, with the file and the table before it.
        """
        try:
            return make(*args, **kwargs)
        except UsageError as error:
            raise UsageError(f"{self.file}: [{self.name}] {error}") from None

    def need(self, key: str, example: str) -> None:
        """Raises UsageError when the key is missing."""
        if key not in self.table:
            raise UsageError(f"{self.where(key)} is missing; add {key} = {example}")

    def text(self, key: str, default: str = "", *, empty: bool = False) -> str:
        """Text; not blank unless `empty` says that it may be."""
        if key not in self.table:
            return default
        value = self.table[key]
        if not isinstance(value, str):
            raise self.wrong(key, "text in quotes")
        if not empty and not value.strip():
            raise UsageError(f"{self.where(key)} is empty; fill it in or take it out")
        return value

    def required(self, key: str, example: str) -> str:
        """Text that must be there."""
        self.need(key, example)
        return self.text(key)

    def choice(self, key: str, among: tuple[str, ...], default: str | None = None) -> str | None:
        """One of a few words."""
        if key not in self.table:
            return default
        value = self.table[key]
        if value not in among:
            hint = did_you_mean(value, among) if isinstance(value, str) else ""
            raise UsageError(f"{self.where(key)} is {value!r}; expected {quoted(among)}{hint}")
        return str(value)

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self.table.get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false, without quotes")
        return value

    def whole(self, key: str, least: int, most: int | None = None) -> int | None:
        """A whole number in its bounds; None when it is not there."""
        if key not in self.table:
            return None
        value = self.table[key]
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.wrong(key, "a whole number")
        if value < least or (most is not None and value > most):
            bounds = f"{least} or more" if most is None else f"{least} to {most}"
            raise UsageError(f"{self.where(key)} is {value}; expected {bounds}")
        return value

    def number(self, key: str, most: float | None = None) -> float | None:
        """A number over 0; None when it is not there."""
        if key not in self.table:
            return None
        value = self.table[key]
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.wrong(key, "a number")
        if not 0 < value <= (float(most) if most is not None else 1e12):
            upto = f" and up to {most:g}" if most is not None else ""
            raise UsageError(f"{self.where(key)} is {value}; expected more than 0{upto}")
        return float(value)

    def duration(self, key: str, default: float) -> float:
        """Seconds, from a number or text such as `"2h"`."""
        return parse_duration(self.table[key], self.where(key)) if key in self.table else default

    def path(self, key: str, folder: Path) -> Path | None:
        """A path, relative to the file's folder; None when it is not there."""
        if key not in self.table:
            return None
        return folder / Path(self.text(key)).expanduser()

    def paths(self, key: str, folder: Path) -> Path | tuple[Path, ...] | None:
        """A path, or a list of them; None when it is not there."""
        if not isinstance(self.table.get(key), list):
            return self.path(key, folder)
        found = []
        for value in self._list(key, "a list of paths") or ():
            if not isinstance(value, str) or not value.strip():
                raise UsageError(f"{self.where(key)} holds {kind_of(value)}; expected file names")
            found.append(folder / Path(value).expanduser())
        return tuple(found)

    def secret(
        self, key: str, folder: Path, environ: Mapping[str, str], *, anywhere: bool = False
    ) -> Secret:
        """A secret by reference; it must be there. See `read_secret`."""
        self.need(key, f'"env:{key.upper()}"')
        return read_secret(self.table[key], self.where(key), folder, environ, anywhere=anywhere)

    def texts(self, key: str) -> tuple[str, ...] | None:
        """A list of text that is not blank; whole numbers are taken as text."""
        values = self._list(key, "a list of text")
        if values is None:
            return None
        for value in values:
            if isinstance(value, bool) or not isinstance(value, (str, int)):
                raise UsageError(f"{self.where(key)} holds {kind_of(value)}; expected text")
            if not str(value).strip():
                raise UsageError(f"{self.where(key)} holds an empty name")
        return tuple(str(v) for v in values)

    def wholes(self, key: str) -> tuple[int, ...] | None:
        """A list of whole numbers of 0 or more."""
        values = self._list(key, "a list of whole numbers")
        if values is None:
            return None
        for value in values:
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise UsageError(f"{self.where(key)} holds {value!r}; expected whole numbers")
        return tuple(values)

    def _list(self, key: str, expected: str) -> list[Any] | None:
        if key not in self.table:
            return None
        values = self.table[key]
        if not isinstance(values, list):
            raise self.wrong(key, expected)
        if not values:
            raise UsageError(f"{self.where(key)} is an empty list; name at least one")
        return values

    def strings(self, *, lax: bool = False) -> dict[str, str]:
        """The whole table as text by key; with `lax`, numbers are taken as text."""
        for key, value in self.table.items():
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not isinstance(value, str) and not (lax and number):
                raise self.wrong(key, "text in quotes")
        return {key: str(value) for key, value in self.table.items()}
