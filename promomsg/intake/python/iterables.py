"""Recipients from Python: any iterable or async iterable of recipients, mappings or ids."""

from __future__ import annotations

from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from decimal import Decimal
from functools import lru_cache
from numbers import Integral
from os import PathLike
from types import FunctionType, MethodType
from typing import Any, Final, cast, get_args

from promomsg.addresses import is_mangled, known_column
from promomsg.clock import let_others_run
from promomsg.errors import UsageError
from promomsg.intake.columns import check_no_address_in_message
from promomsg.intake.empty_cell_words import EmptyCellWords
from promomsg.intake.python.objects import as_mapping, is_frame
from promomsg.intake.row_batch import NO_PARAMS, RowBatch
from promomsg.intake.rows import make_rows
from promomsg.intake.sources import KNOWN, Source
from promomsg.message_parameters import plain_value
from promomsg.model import Audience, Code, Problem, Recipient

__all__ = ["IterableSource", "as_source", "column_name_of", "openids", "rows_of_items"]

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
    _refuse_other_kinds(recipients)
    return IterableSource(recipients)


def openids(recipients: Iterable[str] | AsyncIterable[str]) -> IterableSource:
    """Recipients by openid, from plain strings: `promomsg.openids(["oABC…", …])`.

    Raises:
        UsageError: a bare string, a mapping, a DataFrame.
    """
    _refuse_other_kinds(recipients, call="openids")
    return IterableSource(recipients, plain_text_is="openid")


def _refuse_other_kinds(value: Any, call: str = "recipients") -> None:
    kind = type(value).__name__
    if isinstance(value, (str, PathLike)):
        hint = "give a list, or read a file with promomsg.read_csv(path)"
    elif isinstance(value, (bytes, bytearray, memoryview)):
        hint = "give a list of text, or read a file with promomsg.read_csv(path)"
    elif is_frame(value):
        hint = 'say promomsg.from_frame(df, id="the column with the ids")'
    elif isinstance(value, (Mapping, Recipient)):
        hint = "put it in a list"
    elif value is None:
        hint = "give a list, promomsg.read_csv(path), or an audience such as promomsg.Roles([1])"
    elif isinstance(value, type) and issubclass(value, _AUDIENCES):
        hint = f"that is the class itself; say {value.__name__}(…)"
    elif hasattr(value, "__iter__") or hasattr(value, "__aiter__"):
        return
    elif isinstance(value, (FunctionType, MethodType)):
        hint = "it is the function itself; call it, as in people()"
    elif isinstance(value, Awaitable):
        hint = "await it first"
    else:
        hint = "give an iterable of recipients"
    what = "openids()" if call == "openids" else "recipients"
    raise UsageError(f"{what}: {kind} is not a list of recipients; {hint}")


class IterableSource:
    """A `Source` over an iterable or async iterable.

    Args:
        items: what to read; a list can be read again, an iterator cannot.
        plain_text_is: what a plain string is: `"id"` or `"openid"`.
    """

    def __init__(
        self, items: Iterable[Any] | AsyncIterable[Any], *, plain_text_is: str = "id"
    ) -> None:
        self._items = items
        self._plain_text_is = plain_text_is
        self._started = False
        self._empty_words = EmptyCellWords("recipients")
        self.parameters: frozenset[str] = frozenset()
        self.repeatable = not isinstance(items, (Iterator, AsyncIterator))

    @property
    def notices(self) -> list[str]:
        """What the plan should say; see `Source.notices`."""
        return self._empty_words.notices()

    def check(self, names: frozenset[str], optional: frozenset[str] = frozenset()) -> None:
        """Of an iterable nothing is known before it is read, but an address is no parameter.

        Raises:
            UsageError: the message has one in its text.
        """
        check_no_address_in_message(names, "recipients")

    def describe(self) -> dict[str, Any]:
        """`{"kind": "iterable"}`: there is nothing to find it again by."""
        return {"kind": "iterable"}

    def __iter__(self) -> Iterator[Any]:
        if isinstance(self._items, AsyncIterable):
            raise UsageError("these recipients come from an async iterable; use `async for`")
        return iter(self._items)

    async def batches(self, names: frozenset[str], size: int = 1000) -> AsyncIterator[RowBatch]:
        """Every item as a row; see `Source.batches`."""
        if self._started and not self.repeatable:
            raise UsageError("these recipients were an iterator and are used up; give a list")
        self._started = True
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
                    await let_others_run()
        if batch:
            yield self._rows(batch, names, first)
        elif first == 1:
            raise UsageError("the list of recipients is empty: nobody to send to")

    def _rows(self, batch: list[Any], names: frozenset[str], first: int) -> RowBatch:
        where = [f"item {first + i}" for i in range(len(batch))]
        if first == 1:
            self._empty_words = EmptyCellWords("recipients")
            self.parameters = _parameters(batch[0])
        return rows_of_items(
            batch,
            names,
            where,
            first,
            plain_text_is=self._plain_text_is,
            empty_words=self._empty_words,
        )


def _parameters(item: Any) -> frozenset[str]:
    """The names of an item's parameters."""
    if isinstance(item, Recipient):
        fields: Any = item.params
    elif (fields := as_mapping(item)) is not None and isinstance(fields.get("params"), Mapping):
        fields = {**fields, **fields["params"]}
    return frozenset(name for name in fields or () if isinstance(name, str) and name not in _KNOWN)


def rows_of_items(
    batch: Sequence[Any],
    names: frozenset[str],
    where: Sequence[str],
    first: int,
    *,
    plain_text_is: str = "id",
    columns: Mapping[str, str] | None = None,
    problems: dict[int, Problem] | None = None,
    empty_words: EmptyCellWords | None = None,
) -> RowBatch:
    """A batch of recipients, mappings, numbers or strings, made rows.

    Args:
        batch: the items.
        names: the parameters that the message uses.
        where: of each item.
        first: the number of the first one, from 1.
        plain_text_is: what a plain string is.
        columns: our name → the mappings' own.
        problems: what is already known to be wrong, by place in the batch.
        empty_words: counts what exports write for an empty cell.

    Raises:
        UsageError: the first item is no recipient at all, or a string is no promoter id. Any other
            odd item fails its row.
    """
    problems = {} if problems is None else problems
    known: dict[str, list[Any]] = {name: [] for name in KNOWN}
    # An address is no parameter: a token would get into the message and the journal.
    params: dict[str, list[Any]] = {name: [] for name in sorted(names - _KNOWN)}
    for i, item in enumerate(batch):
        fields, values = _fields_of_item(
            item, i, where[i], plain_text_is, columns or {}, problems, first
        )
        for name, values_of in known.items():
            values_of.append(fields.get(name))
        for name, column in params.items():
            column.append(values.get(name))
    if empty_words is not None:
        empty_words.count(params)
    return make_rows(known, params, where, first, problems)


def _fields_of_item(
    item: Any,
    i: int,
    where: str,
    plain_text_is: str,
    columns: Mapping[str, str],
    problems: dict[int, Problem],
    first: int,
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
        values: Any = item.params
        if type(values) is not dict and not isinstance(values, Mapping):
            detail = f"params is a {type(values).__name__}; give a mapping"
            problems.setdefault(i, Problem(Code.BAD_ROW, detail))
            return fields, NO_PARAMS
        return fields, values
    if type(item) is dict:
        return _fields_of_mapping(item, i, columns, problems)
    if type(item) is not str:
        item = plain_value(item)
        if (fields_of := as_mapping(item)) is not None:
            return _fields_of_mapping(fields_of, i, columns, problems)
    if item is None or (isinstance(item, str) and not item.strip()):
        problems.setdefault(i, Problem(Code.BAD_ROW, "nothing there: neither key nor address"))
        return NO_PARAMS, NO_PARAMS
    if isinstance(item, bool) or not isinstance(item, (str, Integral, float, Decimal)):
        detail = (
            f"is a {type(item).__name__}, not a recipient; give a Recipient, a mapping or another "
            "object with named fields, or a string of digits (a promoter id)"
        )
        if i == 0 and first == 1:  # then it is no list of recipients at all
            raise UsageError(f"{where} {detail}")
        problems.setdefault(i, Problem(Code.BAD_ROW, detail))
        return NO_PARAMS, NO_PARAMS
    if isinstance(item, str) and plain_text_is == "id":
        text = item.strip()
        digits = text.isascii() and text.isdigit()
        # What is mangled or half binary was once an id: its row fails. Any other text is not one.
        if not (digits or is_mangled(text) or not text.isprintable()):
            raise UsageError(
                f"{where} is a string that is not digits, so no promoter id; for openids say "
                "promomsg.openids([...]), for anything else a Recipient"
            )
    return {plain_text_is: item}, NO_PARAMS


_NEEDS_NO_RENAME: Final[set[object]] = set(_KNOWN)
"""Keys that were seen to be our name for a column, or a parameter's: nothing is to be renamed."""
_MOST_NAMES: Final = 10_000


@lru_cache(maxsize=4096)
def _column_of_other_spelling(key: object) -> str | None:
    """The known column that a key means when it is written otherwise, as `openId`; else None."""
    if not isinstance(key, str) or key in _KNOWN:
        return None
    return known_column(key)


def column_name_of(key: str) -> str:
    """A key as we call it: the known column that it means, else itself."""
    return _column_of_other_spelling(key) or key


def _with_known_names(
    fields: Mapping[Any, Any], i: int, problems: dict[int, Problem]
) -> Mapping[Any, Any]:
    """Known columns under our names, as with a file's headings: `openId` and `Open ID` are openid."""
    if _NEEDS_NO_RENAME.issuperset(fields):
        return fields
    others = {key: name for key in fields if (name := _column_of_other_spelling(key)) is not None}
    if not others:
        if len(_NEEDS_NO_RENAME) < _MOST_NAMES:
            _NEEDS_NO_RENAME.update(fields)
        return fields
    found = {key: value for key, value in fields.items() if key not in others}
    for key, name in others.items():
        if found.get(name) is not None and fields[key] is not None:
            detail = f"two of its keys mean {name} ({key!r} is one); keep one of them"
            problems.setdefault(i, Problem(Code.BAD_ROW, detail))
        elif fields[key] is not None or name not in found:
            found[name] = fields[key]
    return found


def _fields_of_mapping(
    item: Mapping[Any, Any], i: int, columns: Mapping[str, str], problems: dict[int, Problem]
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    fields: Mapping[Any, Any] = item
    if columns:
        renamed = {heading: name for name, heading in columns.items()}
        fields = {renamed.get(k, k): v for k, v in item.items() if k not in columns}
        fields.update({n: item[h] for n, h in columns.items() if h in item})
    fields = _with_known_names(fields, i, problems)
    nested = fields.get("params")
    if nested is not None and (nested := as_mapping(nested)) is not None:
        return fields, {**{k: v for k, v in fields.items() if k not in _KNOWN}, **nested}
    return fields, fields
