"""Rows as Python has them: one odd value fails its row, never the campaign."""

from __future__ import annotations

import datetime as dt
import enum
import sqlite3
import uuid
from collections import OrderedDict, UserDict, namedtuple
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import attrs
import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pydantic
import pytest
from read_source import read

from promomsg.errors import UsageError
from promomsg.message_parameters import plain_parameter
from promomsg.model import Code, Recipient

pytestmark = pytest.mark.asyncio


@dataclass
class ADataclass:
    id: Any
    name: Any = None


@dataclass(slots=True)
class WithSlots:
    id: Any
    name: Any = None


class ANamedTuple(NamedTuple):
    id: Any
    name: Any = None


OldNamedTuple = namedtuple("OldNamedTuple", "id name")


class APydantic(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow", arbitrary_types_allowed=True)
    id: Any
    token: pydantic.SecretStr = pydantic.SecretStr("t")


class WithComputed(pydantic.BaseModel):
    id: Any

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def name(self) -> str:
        return "王"


@attrs.define
class AnAttrs:
    id: Any
    name: Any = None


class AStruct(msgspec.Struct):
    id: Any
    name: Any = None


class LikeSqlAlchemy(tuple[Any, ...]):
    """A SQLAlchemy Row: a tuple with `_mapping`."""

    @property
    def _mapping(self) -> dict[str, Any]:
        return dict(zip(("id", "name"), self, strict=True))


def sqlite_row(id: Any, name: Any) -> sqlite3.Row:
    base = sqlite3.connect(":memory:")
    base.row_factory = sqlite3.Row
    row: sqlite3.Row = base.execute("SELECT ? AS id, ? AS name", (id, name)).fetchone()
    base.close()
    return row


MAKERS = [
    ADataclass, WithSlots, ANamedTuple, OldNamedTuple, AnAttrs, AStruct, sqlite_row,
    lambda id, name: APydantic(id=id, name=name), lambda id, name: WithComputed(id=id),
    lambda id, name: LikeSqlAlchemy((id, name)), lambda id, name: UserDict(id=id, name=name),
    lambda id, name: OrderedDict(id=id, params=AnAttrs(None, name)),
    lambda id, name: pd.Series({"id": id, "name": name}),
    lambda id, name: Recipient(id=str(id), params={"name": name}),
]  # fmt: skip


@pytest.mark.parametrize("make", MAKERS)
async def test_a_row_is_taken_for_what_it_is(make: Any) -> None:
    rows = await read([make(7, "王"), make(8, "王")], "name")
    assert [(r.id, r.params["name"], r.problem) for r in rows] == [
        ("7", "王", None),
        ("8", "王", None),
    ]


class Odd:
    """Whatever people put into a field by mistake."""

    def __str__(self) -> str:
        raise RuntimeError("never shown")

    __repr__ = __str__
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("never compared")


class Colour(enum.Enum):
    RED = "red"


ODD = [
    Odd(), object(), b"1", bytearray(b"1"), [], [1], (1,), {1}, {"a": 1}, range(3), Colour.RED,
    1j, Fraction(1, 3), dt.timedelta(1), np.array([1, 2]), pd.Series([1]), pd.Period("2026"),
    float("inf"), Decimal("-Infinity"), 10**5000, lambda: None, int, ..., "half\ud800",
]  # fmt: skip


@pytest.mark.parametrize("odd", ODD, ids=lambda v: type(v).__name__)
async def test_an_odd_parameter_fails_its_row_by_name_and_no_other(odd: Any) -> None:
    people = [{"id": 1, "name": "a"}, {"id": 2, "name": odd}, {"id": 3, "name": "c"}]
    rows = await read(people, "name")
    assert [r.problem and r.problem.code for r in rows] == [None, Code.BAD_ROW, None]
    assert rows[1].problem is not None
    assert "'name'" in rows[1].problem.detail
    assert rows[1].params["name"] is None


@pytest.mark.parametrize("odd", ODD, ids=lambda v: type(v).__name__)
@pytest.mark.parametrize("column", ["key", "id", "openid", "access_token", "request_id"])
async def test_an_odd_address_fails_its_row_and_no_other(odd: Any, column: str) -> None:
    rows = await read([{"id": 1}, {"id": 2, column: odd}, {"id": 3}])
    assert rows[0].problem is rows[2].problem is None
    assert rows[1].problem is not None
    assert "<" not in rows[1].key
    rows[1].key.encode()


@pytest.mark.parametrize(
    "odd", [o for o in ODD if not isinstance(o, (float, Decimal, int, str, dict, pd.Series))],
    ids=lambda v: type(v).__name__,
)  # fmt: skip
async def test_an_odd_item_fails_alone_but_a_list_of_them_is_none(odd: Any) -> None:
    rows = await read([1, odd, 3], size=1)
    assert [r.problem and r.problem.code for r in rows] == [None, Code.BAD_ROW, None]
    with pytest.raises(UsageError, match=r"item 1 is a .*, not a recipient"):
        await read([odd, 1])


class Name(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "never"


class Level(enum.IntEnum):
    GOLD = 3


class Kind(enum.StrEnum):
    NEW = "new"


NS = np.datetime64("2026-11-11T00:00:00.000000001", "ns")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (120.0, "120"), (-0.0, "0"), (1e16, "10000000000000000"), (1e22, "1" + "0" * 22),
        (1e-7, "0.0000001"), (0.5, "0.5"), (True, "True"), (7, "7"),
        (Decimal("12.00"), "12.00"), (Decimal("1E+16"), "1" + "0" * 16), (Decimal("1E-8"), "0.00000001"),
        (dt.datetime(2026, 11, 11), "2026-11-11"), (dt.datetime(2026, 11, 11, 8, 30), "2026-11-11 08:30:00"),
        (dt.datetime(2026, 11, 11, tzinfo=dt.UTC), "2026-11-11"), (dt.date(2026, 1, 2), "2026-01-02"),
        (dt.time(8, 30), "08:30:00"), (uuid.UUID(int=5), str(uuid.UUID(int=5))),
        (Name("王"), "王"), (Level.GOLD, "3"), (Kind.NEW, "new"),
        (np.int64(5), "5"), (np.float64(5), "5"), (np.float32(0.1), "0.1"), (np.float16(0.5), "0.5"),
        (np.str_("王"), "王"), (np.bool_(True), "True"), (np.array(5), "5"),
        (np.datetime64("2026-11-11"), "2026-11-11"), (NS, "2026-11-11"),
        (pd.Timestamp("2026-11-11"), "2026-11-11"), (pd.Timestamp("2026-11-11 08:30:00.000000001"), "2026-11-11 08:30:00"),
        (pa.scalar("王"), "王"), (pa.scalar(5.0), "5"),
    ],
)  # fmt: skip
async def test_a_value_is_sent_as_people_write_it(value: Any, text: str) -> None:
    plain = plain_parameter("name", value)
    assert str(plain) == text
    assert type(plain).__module__ in ("builtins", "datetime", "decimal", "uuid")
    (row,) = await read([{"id": 1, "name": value}], "name")
    assert (row.problem, str(row.params["name"])) == (None, text)


@pytest.mark.parametrize(
    "value", [None, float("nan"), np.nan, np.float32("nan"), pd.NA, pd.NaT, Decimal("NaN"), Decimal("sNaN"), np.datetime64("NaT"), pa.scalar(None)],
    ids=repr,
)  # fmt: skip
async def test_a_missing_value_is_missing(value: Any) -> None:
    assert plain_parameter("name", value) is None


@pytest.mark.parametrize(
    ("value", "id"),
    [
        (1001.0, "1001"), (2.0**53 - 1, str(2**53 - 1)), (np.int64(5), "5"), (np.float32(5), "5"),
        (np.str_("5"), "5"), (Name("5"), "5"), (pa.scalar(5), "5"), (Level.GOLD, "3"),
        (2.0**53, None), (1.5, None), (float("nan"), None), (Decimal("sNaN"), None),
        (np.bool_(True), None), (pd.Timestamp("2026-11-11"), None), (uuid.UUID(int=5), None),
    ],
)  # fmt: skip
async def test_ids_of_every_number(value: Any, id: str | None) -> None:
    for rows in (await read([{"key": "k", "id": value}]), await read([1, value])):
        assert rows[-1].id == id
        assert type(rows[-1].id) in (str, type(None))
        assert (rows[-1].problem is None) is (id is not None)


async def test_uuids_are_keys_and_request_ids() -> None:
    one = uuid.UUID(int=1)
    (row,) = await read([{"key": one, "request_id": one, "openid": "oA"}])
    assert (row.key, row.request_id, row.problem) == (str(one), str(one), None)


async def test_keys_of_a_mapping_are_known_in_any_writing() -> None:
    rows = await read(
        [
            {"ID": "17", "openId": "oA", "Name": "x"},
            {"union_id": "uA", "Key": "k"},
            {"openid": "oA", "openId": "oB"},
            {"openid": None, "OpenID": "oC"},
            {"openid": "oD", "open id": None},
            {5: "x", None: "y", "id": 1},
        ],
        "Name",
    )
    assert [(r.key, r.id, r.openid, r.unionid) for r in rows] == [
        ("oA", "17", "oA", None),
        ("k", None, None, "uA"),
        ("oA", None, "oA", None),
        ("oC", None, "oC", None),
        ("oD", None, "oD", None),
        ("1", "1", None, None),
    ]
    assert rows[0].params["Name"] == "x"
    assert [r.problem and r.problem.code for r in rows] == [
        None,
        None,
        Code.BAD_ROW,
        None,
        None,
        None,
    ]


async def test_params_that_are_no_mapping_fail_their_row() -> None:
    odd: Any = ["a"]
    rows = await read(
        [Recipient(id="1", params=odd), Recipient(id="2", params={"name": "b"})], "name"
    )
    assert [r.problem and r.problem.code for r in rows] == [Code.BAD_ROW, None]


async def test_numpy_whole_numbers_make_a_recipient() -> None:
    number: Any = np.int64(5)
    assert Recipient(id=number).id == "5"
