"""Frames of every library, by the Arrow PyCapsule interface; pandas' mixed columns by their values."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pytest
from read_source import read

from promomsg.errors import UsageError
from promomsg.intake.arrow.frames import from_frame
from promomsg.intake.python.iterables import as_source
from promomsg.model import Code

pytestmark = pytest.mark.asyncio

TABLE = pa.table({"id": [1, 2], "name": ["王", None]})


class OnlyCapsule:
    """A frame of a library that nobody has heard of: the interface is all that it has."""

    columns = ("id", "name")

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return TABLE.__arrow_c_stream__(requested_schema)


class Lazy:
    """A LazyFrame, as polars has it: to be collected first."""

    collected = 0

    def collect_schema(self) -> None:
        raise AssertionError("a lazy frame is collected, and once")

    def collect(self) -> Any:
        self.collected += 1
        return OnlyCapsule()


def dataset(tmp_path: Path) -> Any:
    pyarrow.parquet.write_table(TABLE, tmp_path / "a.parquet")
    return pyarrow.dataset.dataset(tmp_path / "a.parquet")


FRAMES: dict[str, Callable[[Path], Any]] = {
    "pandas": lambda _: pd.DataFrame({"id": [1, 2], "name": ["王", None]}),
    "objects": lambda _: pd.DataFrame({"id": [1, "2"], "name": ["王", None]}, dtype=object),
    "index": lambda _: pd.DataFrame({"name": ["王", None]}, index=pd.Index([1, 2], name="id")),
    "object index": lambda _: pd.DataFrame(
        {"name": ["王", None]}, index=pd.Index([1, 2], name="id"), dtype=object
    ),
    "table": lambda _: TABLE,
    "batch": lambda _: TABLE.to_batches()[0],
    "reader": lambda _: TABLE.to_reader(),
    "dataset": dataset,
    "scanner": lambda path: dataset(path).scanner(),
    "capsule": lambda _: OnlyCapsule(),
    "lazy": lambda _: Lazy(),
}


@pytest.mark.parametrize("kind", FRAMES)
async def test_a_frame_of_any_library(kind: str, tmp_path: Path) -> None:
    frame = FRAMES[kind](tmp_path)
    with pytest.raises(UsageError, match=r"say promomsg\.from_frame"):
        as_source(frame)
    source = from_frame(frame)
    rows = await read(source, "name", size=1)
    assert [(r.id, r.params["name"], r.where) for r in rows] == [
        ("1", "王", "row 1"),
        ("2", None, "row 2"),
    ]
    assert sorted(source.parameters) == ["name"]
    if kind == "reader":
        assert not source.repeatable
        with pytest.raises(UsageError, match="used up"):
            await read(source, "name", check=False)
    else:
        assert len(await read(source, "name")) == 2
    if kind == "lazy":
        assert frame.collected == 1


@pytest.mark.parametrize(
    "column", [pd.Series([1, "2"]), TABLE.column("id"), TABLE.column("id").chunk(0), np.array([1, 2])]
)  # fmt: skip
async def test_one_column_is_no_frame_but_a_list_of_ids(column: Any) -> None:
    with pytest.raises(UsageError, match="not a DataFrame"):
        from_frame(column)
    assert [r.id for r in await read(column)] == ["1", "2"]


ODD = [object(), b"x", [1], {"a": 1}, 1j, dt.timedelta(1), pd.Period("2026"), "half\ud800"]


@pytest.mark.parametrize("odd", ODD, ids=lambda v: type(v).__name__)
async def test_one_odd_cell_fails_its_row_and_no_other(odd: Any) -> None:
    cells = pd.Series(["a", odd, "c", 7], dtype=object)
    rows = await read(from_frame(pd.DataFrame({"id": [1, 2, 3, 4], "name": cells})), "name")
    assert [r.problem and r.problem.code for r in rows] == [None, Code.BAD_ROW, None, None]
    assert [r.params["name"] for r in rows] == ["a", None, "c", 7]


async def test_mixed_columns_keep_what_each_cell_is() -> None:
    moments = [dt.date(2026, 1, 1), dt.datetime(2026, 1, 1, 8, 30), dt.datetime(2026, 1, 2)]
    frame = pd.DataFrame({"id": [1, 2, 3], "name": pd.Series(moments, dtype=object)})
    rows = await read(from_frame(frame), "name")
    assert [str(r.params["name"]) for r in rows] == [
        "2026-01-01",
        "2026-01-01 08:30:00",
        "2026-01-02",
    ]


def column(values: list[Any], kind: Any) -> Any:
    return pa.table({"id": list(range(len(values))), "name": pa.array(values, type=kind)})


@pytest.mark.parametrize(
    ("frame", "texts"),
    [
        (column([0.1, 5.0, None], pa.float32()), ["0.1", "5", "None"]),
        (pd.DataFrame({"id": [0, 1], "name": np.array([0.1, 5], dtype="float32")}), ["0.1", "5"]),
        (pd.DataFrame({"id": [0, "1"], "name": np.array([0.1, 5], dtype="float32")}), ["0.1", "5"]),
        (column([1], pa.timestamp("ns")), ["1970-01-01"]),
        (column([0], pa.timestamp("s", "Asia/Shanghai")), ["1970-01-01 08:00:00+08:00"]),
        (column(["x", "y", "x"], pa.dictionary(pa.int8(), pa.string())), ["x", "y", "x"]),
        (column(["x"], pa.large_string()), ["x"]),
        (column([Decimal("1.50")], pa.decimal128(9, 2)), ["1.50"]),
        (column([uuid.UUID(int=1).bytes], pa.uuid()), [str(uuid.UUID(int=1))]),
        (column([True, None], pa.bool_()), ["True", "None"]),
        (pd.DataFrame({"id": [0], "name": pd.Categorical(["x"])}), ["x"]),
        (pd.DataFrame({"id": [0, 1], "name": pd.array([1, None], dtype="Int64")}), ["1", "None"]),
    ],
    ids=str,
)  # fmt: skip
async def test_cells_of_a_frame_are_what_people_write(frame: Any, texts: list[str]) -> None:
    rows = await read(from_frame(frame), "name")
    assert [r.problem for r in rows] == [None] * len(texts)
    assert [str(r.params["name"]) for r in rows] == texts


async def test_cells_that_python_has_nothing_for_fail_their_row() -> None:
    torn = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0"), pa.py_buffer(b"\xffb")]
    )
    far = pa.array([10**18, 5], type=pa.timestamp("s"))
    for cells, good in ((torn, "b"), (far, dt.datetime(1970, 1, 1, 0, 0, 5))):
        rows = await read(from_frame(pa.table({"id": [1, 2], "name": cells})), "name")
        assert [r.problem and r.problem.code for r in rows] == [Code.BAD_ROW, None]
        assert rows[1].params["name"] == good
    periods = pd.DataFrame({"id": [1, 2], "name": pd.PeriodIndex(["2026", None], freq="Y")})
    rows = await read(from_frame(periods), "name")
    assert rows[0].problem is not None
    assert "pandas.period" in rows[0].problem.detail
    assert rows[1].problem is None


async def test_a_frame_that_cannot_be_read_is_one_line() -> None:
    class Broken(OnlyCapsule):
        def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
            raise TypeError("cannot\nbe")

    with pytest.raises(UsageError, match=r"^from_frame: it cannot be read: cannot$"):
        from_frame(Broken()).check(frozenset())

    def halfway() -> Any:
        yield TABLE.to_batches()[0]
        raise pa.ArrowInvalid("half a batch")

    reader = pa.RecordBatchReader.from_batches(TABLE.schema, halfway())
    with pytest.raises(UsageError, match=r"cannot be read: .*half a batch"):
        await read(from_frame(reader))
    huge = pd.DataFrame({"id": [2**70, 1]})
    assert [r.id for r in await read(from_frame(huge))] == [str(2**70), "1"]


async def test_headings_of_a_frame_in_any_writing_and_of_any_kind() -> None:
    frame = pd.DataFrame([["oA", 7, "x", "y"]], columns=["Open ID", 5, "z", "z"])
    rows = await read(from_frame(frame))
    assert [(r.openid, r.key) for r in rows] == [("oA", "oA")]
    rows = await read(from_frame(frame, key="5"))
    assert rows[0].key == "7"


@pytest.mark.parametrize(("kind", "largest"), [("float32", 2**24), ("float16", 2**11)])
@pytest.mark.parametrize("shape", ["pandas", "pandas of objects", "Arrow", "scalars"])
async def test_an_id_that_a_short_float_may_have_rounded_is_nobodys(
    kind: str, largest: int, shape: str
) -> None:
    numbers = np.array([largest - 1, largest], dtype=kind)
    given: Any = pd.DataFrame({"id": numbers, "name": ["a", "b"]})
    if shape == "pandas of objects":
        given["name"] = pd.Series([1, "b"], dtype=object)
    if shape == "Arrow":
        given = pa.table({"id": pa.array(numbers), "name": ["a", "b"]})
    source = (
        as_source([{"id": n, "name": "a"} for n in numbers])
        if shape == "scalars"
        else from_frame(given)
    )
    rows = await read(source, "name")
    assert [row.id for row in rows] == [str(largest - 1), None]
    assert rows[1].problem is not None
    assert rows[1].problem.code == Code.BAD_ADDRESS
