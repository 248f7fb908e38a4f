"""What an object of another library is: a frame, or an item and its named fields. None of these
libraries is imported for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, cast

__all__ = ["as_mapping", "is_frame"]

_View = Callable[[Any], Mapping[Any, Any]]


def is_frame(value: Any) -> bool:
    """Whether this is a table of columns, rather than one column or a list of rows."""
    kind = type(value)
    has = {name for name in ("columns", "schema", "collect_schema") if hasattr(kind, name)}
    if hasattr(kind, "__arrow_c_stream__") or hasattr(kind, "__arrow_c_array__"):
        return bool(has)
    if hasattr(kind, "to_batches") or hasattr(kind, "collect_schema"):
        return True
    return hasattr(value, "columns") and hasattr(value, "shape")


def as_mapping(item: Any) -> Mapping[Any, Any] | None:
    """The named fields of a row: a mapping, dataclass, named tuple, pydantic or attrs object,
    msgspec `Struct`, `sqlite3.Row`, SQLAlchemy `Row`, asyncpg `Record`. None when it has none."""
    if isinstance(item, Mapping):
        return item
    view = _view(cast("Any", type(item)))
    return None if view is None else view(item)


@lru_cache(maxsize=256)
def _view(kind: type[Any]) -> _View | None:
    if issubclass(kind, (str, bytes, bytearray)):
        return None
    if hasattr(kind, "_mapping"):  # SQLAlchemy
        return _own_mapping
    if issubclass(kind, tuple):
        return _asdict if hasattr(kind, "_fields") and hasattr(kind, "_asdict") else None
    names: Iterable[str] | None = None
    if isinstance(fields := getattr(kind, "model_fields", None), dict):  # pydantic
        computed = getattr(kind, "model_computed_fields", None)
        return _pydantic((*fields, *(computed if isinstance(computed, dict) else ())))
    if isinstance(fields := getattr(kind, "__struct_fields__", None), tuple):  # msgspec
        names = fields
    elif isinstance(fields := getattr(kind, "__attrs_attrs__", None), tuple):
        names = [field.name for field in fields]
    elif hasattr(kind, "__dataclass_fields__"):
        from dataclasses import fields as fields_of  # loaded by whoever made the class

        names = [field.name for field in fields_of(kind)]
    elif callable(getattr(kind, "keys", None)) and hasattr(kind, "__getitem__"):
        return _by_keys  # sqlite3.Row, asyncpg.Record
    return None if names is None else _by_names(tuple(names))


def _own_mapping(item: Any) -> Mapping[Any, Any]:
    return dict(item._mapping)


def _asdict(item: Any) -> Mapping[Any, Any]:
    found: Mapping[Any, Any] = item._asdict()
    return found


def _by_keys(item: Any) -> Mapping[Any, Any]:
    return {key: item[key] for key in item.keys()}  # noqa: SIM118  (a sqlite3.Row iterates values)


def _by_names(names: tuple[str, ...]) -> _View:
    # A field may be declared and never given a value.
    return lambda item: {name: getattr(item, name, None) for name in names}


def _pydantic(names: tuple[str, ...]) -> _View:
    def view(item: Any) -> Mapping[Any, Any]:
        found = {name: getattr(item, name, None) for name in names}
        for name, value in found.items():
            if callable(reveal := getattr(value, "get_secret_value", None)):
                found[name] = reveal()
        return {**found, **(getattr(item, "model_extra", None) or {})}

    return view
