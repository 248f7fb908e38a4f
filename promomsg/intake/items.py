"""Recipients from Python: any iterable or async iterable of recipients, mappings or ids."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from numbers import Integral
from os import PathLike
from typing import Any, Final, cast, get_args

from anyio.lowlevel import checkpoint

from promomsg.addresses import mangled
from promomsg.errors import UsageError
from promomsg.intake.base import KNOWN, NO_PARAMS, Row, Source
from promomsg.intake.layout import check_no_address, make_rows
from promomsg.model import Audience, Code, Problem, Recipient

__all__ = ["Items", "as_source", "item_rows", "openids"]

_AUDIENCES: Final = get_args(Audience)
_KNOWN: Final = frozenset(KNOWN)


def as_source(recipients: Any) -> Source | Audience:
    """What `send` and `Campaign` were given, as something that planning can read.

    Args:
        recipients: an iterable or async iterable of `Recipient`, mappings, whole numbers or
            strings of digits (promoter ids); an `Audience`; or what `read_csv` and kin return.

    Raises:
        UsageError: anything else; the text names the right call.
    """
    if isinstance(recipients, _AUDIENCES):
        return cast("Audience", recipients)
    # By its class: `notices` may read the file, so the instance is not asked.
    if all(hasattr(type(recipients), name) for name in ("check", "batches", "describe")):
        return cast("Source", recipients)
    _refuse(recipients)
    return Items(recipients)


def openids(recipients: Iterable[str] | AsyncIterable[str]) -> Items:
    """Recipients by openid, from plain strings: `promomsg.openids(["oABC…", …])`.

    Raises:
        UsageError: a bare string, a mapping, a DataFrame.
    """
    _refuse(recipients, call="openids")
    return Items(recipients, bare="openid")


def _refuse(value: Any, call: str = "recipients") -> None:
    kind = type(value).__name__
    if isinstance(value, (str, PathLike)):
        hint = "give a list, or read a file with promomsg.read_csv(path)"
    elif isinstance(value, (bytes, bytearray, memoryview)):
        hint = "give a list of text, or read a file with promomsg.read_csv(path)"
    elif hasattr(value, "columns") and hasattr(value, "shape"):
        hint = 'say promomsg.from_frame(df, id="the column with the ids")'
    elif isinstance(value, (Mapping, Recipient)):
        hint = "put it in a list"
    elif value is None:
        hint = "give a list, promomsg.read_csv(path), or an audience such as promomsg.Roles([1])"
    elif isinstance(value, type) and issubclass(value, _AUDIENCES):
        hint = f"that is the class itself; say {value.__name__}(…)"
    elif hasattr(value, "__iter__") or hasattr(value, "__aiter__"):
        return
    else:
        hint = "give an iterable of recipients"
    what = "openids()" if call == "openids" else "recipients"
    raise UsageError(f"{what}: {kind} is not a list of recipients; {hint}")


class Items:
    """A `Source` over an iterable or async iterable.

    Args:
        items: what to read; a list can be read again, an iterator cannot.
        bare: what a plain string is: `"id"` or `"openid"`.
    """

    def __init__(self, items: Iterable[Any] | AsyncIterable[Any], *, bare: str = "id") -> None:
        self._items = items
        self._bare = bare
        self._begun = False
        self.notices: list[str] = []
        self.repeatable = not isinstance(items, (Iterator, AsyncIterator))

    def check(self, names: frozenset[str], spare: frozenset[str] = frozenset()) -> None:
        """Of an iterable nothing is known before it is read, but an address is no parameter.

        Raises:
            UsageError: the message has one in its text.
        """
        check_no_address(names, "recipients")

    def describe(self) -> dict[str, Any]:
        """`{"kind": "iterable"}`: there is nothing to find it again by."""
        return {"kind": "iterable"}

    def __iter__(self) -> Iterator[Any]:
        if isinstance(self._items, AsyncIterable):
            raise UsageError("these recipients come from an async iterable; use `async for`")
        return iter(self._items)

    async def batches(self, names: frozenset[str], size: int = 1000) -> AsyncIterator[list[Row]]:
        """Every item as a row; see `Source.batches`."""
        if self._begun and not self.repeatable:
            raise UsageError("these recipients were an iterator and are used up; give a list")
        self._begun = True
        first = 1
        batch: list[Any] = []
        if isinstance(self._items, AsyncIterable):
            async for item in self._items:
                batch.append(item)
                if len(batch) >= size:
                    yield self._rows(batch, names, first)
                    first += len(batch)
                    batch = []
        else:
            for item in self._items:
                batch.append(item)
                if len(batch) >= size:
                    yield self._rows(batch, names, first)
                    first += len(batch)
                    batch = []
                    await checkpoint()
        if batch:
            yield self._rows(batch, names, first)
        elif first == 1:
            raise UsageError("the list of recipients is empty: nobody to send to")

    def _rows(self, batch: list[Any], names: frozenset[str], first: int) -> list[Row]:
        where = [f"item {first + i}" for i in range(len(batch))]
        return item_rows(batch, names, where, first, bare=self._bare)


def item_rows(
    batch: Sequence[Any],
    names: frozenset[str],
    where: Sequence[str],
    first: int,
    *,
    bare: str = "id",
    columns: Mapping[str, str] | None = None,
    problems: dict[int, Problem] | None = None,
) -> list[Row]:
    """A batch of recipients, mappings, numbers or strings, made rows.

    Args:
        batch: the items.
        names: the parameters that the message uses.
        where: of each item.
        first: the number of the first one, from 1.
        bare: what a plain string is.
        columns: our name → the mappings' own.
        problems: what is already known to be wrong, by place in the batch.

    Raises:
        UsageError: an item that is no recipient at all, or a string that is no promoter id.
    """
    problems = {} if problems is None else problems
    known: dict[str, list[Any]] = {name: [] for name in KNOWN}
    # An address is no parameter: a token would get into the message and the journal.
    params: dict[str, list[Any]] = {name: [] for name in sorted(names - _KNOWN)}
    for i, item in enumerate(batch):
        fields, values = _take(item, i, where[i], bare, columns or {}, problems)
        for name, known_column in known.items():
            known_column.append(fields.get(name))
        for name, column in params.items():
            column.append(values.get(name))
    return make_rows(known, params, where, first, problems)


def _take(
    item: Any,
    i: int,
    where: str,
    bare: str,
    columns: Mapping[str, str],
    problems: dict[int, Problem],
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """One item as (known fields, parameters)."""
    if isinstance(item, Recipient):
        token = item.access_token
        fields = {
            "key": item.key,
            "id": item.id,
            "openid": item.openid,
            "unionid": item.unionid,
            "access_token": token,
            "request_id": item.request_id,
        }
        return fields, item.params
    if isinstance(item, Mapping):
        return _take_mapping(item, i, columns, problems)
    if item is None or (isinstance(item, str) and not item.strip()):
        problems.setdefault(i, Problem(Code.BAD_ROW, "nothing there: neither key nor address"))
        return NO_PARAMS, NO_PARAMS
    if isinstance(item, bool) or not isinstance(item, (str, Integral, float, Decimal)):
        raise UsageError(
            f"{where} is a {type(item).__name__}, not a recipient; give a Recipient, a mapping, "
            "or a string of digits (a promoter id)"
        )
    if isinstance(item, str) and bare == "id":
        text = item.strip()
        digits = text.isascii() and text.isdigit()
        # What is mangled or half binary was once an id: its row fails. Any other text is not one.
        if not (digits or mangled(text) or not text.isprintable()):
            raise UsageError(
                f"{where} is a string that is not digits, so no promoter id; for openids say "
                "promomsg.openids([...]), for anything else a Recipient"
            )
    return {bare: item}, NO_PARAMS


def _take_mapping(
    item: Mapping[Any, Any], i: int, columns: Mapping[str, str], problems: dict[int, Problem]
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    fields: Mapping[Any, Any] = item
    if columns:
        renamed = {heading: name for name, heading in columns.items()}
        fields = {renamed.get(k, k): v for k, v in item.items() if k not in columns}
        fields.update({n: item[h] for n, h in columns.items() if h in item})
    nested = fields.get("params")
    if isinstance(nested, Mapping):
        return fields, {**{k: v for k, v in fields.items() if k not in _KNOWN}, **nested}
    return fields, fields
