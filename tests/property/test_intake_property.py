"""Any table, written by the standard library, comes back row for row, whatever the batch size."""

from __future__ import annotations

import asyncio
import csv
import tempfile
from io import StringIO
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from read_source import read

from promomsg.addresses import parse_address
from promomsg.errors import UsageError
from promomsg.intake.arrow.frames import from_frame
from promomsg.intake.sources import Row
from promomsg.intake.spreadsheet_guards import parameter_without_guards
from promomsg.intake.text.csvfile import read_csv
from promomsg.intake.text.jsonl import read_jsonl
from promomsg.model import Problem

CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
ID = st.integers(1, 10**18).map(str)
ROWS = st.lists(st.tuples(ID, CELL), min_size=1, max_size=12)
SIZE = st.integers(1, 15)


def read_bytes(data: bytes, *names: str, size: int = 1000, jsonl: bool = False) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.csv"
        path.write_bytes(data)
        return asyncio.run(read((read_jsonl if jsonl else read_csv)(path), *names, size=size))


def read_or_refused(data: bytes, *names: str, size: int) -> tuple[list[Row], str]:
    try:
        return read_bytes(data, *names, size=size), ""
    except UsageError as error:
        return [], str(error)


@given(ROWS, SIZE, st.sampled_from(["\n", "\r\n"]), st.sampled_from(["utf-8", "utf-8-sig"]))
@settings(max_examples=60, deadline=None)
def test_a_written_table_is_read_back(
    rows: list[tuple[str, str]], size: int, end: str, encoding: str
) -> None:
    text = StringIO(newline="")
    # Before Python 3.13 the writer leaves a lone CR unquoted unless it ends the lines.
    quoting = csv.QUOTE_MINIMAL if "\r" in end else csv.QUOTE_ALL
    csv.writer(text, lineterminator=end, quoting=quoting).writerows([("id", "name"), *rows])
    got, said = read_or_refused(text.getvalue().encode(encoding), "name", size=size)
    if said:
        assert "looks like a row of its own" in said
        assert any("," in name and ("\n" in name or "\r" in name) for _, name in rows)
        return
    assert [(r.id, r.params["name"]) for r in got] == [
        (id, parameter_without_guards(name)) for id, name in rows
    ]
    assert not any(r.problem for r in got)


@given(st.lists(st.text('ab1,"\n\r .', max_size=10), max_size=12), SIZE)
@settings(max_examples=100, deadline=None)
def test_any_lines_give_rows_of_their_own_and_lose_no_good_one(lines: list[str], size: int) -> None:
    data = "\n".join(["key,id", "first,1", *lines, "last,2"]).encode()
    got, said = read_or_refused(data, size=size)
    if said:  # a quoted cell with what may be a row in it
        assert "looks like a row of its own" in said
        assert '"' in "".join(lines)
        return
    assert (got[0].key, got[0].id) == ("first", "1")
    assert got == read_bytes(data)
    if '"' not in "".join(lines):
        assert (got[-1].key, got[-1].id) == ("last", "2")


@given(st.binary(max_size=60))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_read_or_refused_in_one_line(data: bytes) -> None:
    for jsonl in (False, True):
        said = ""
        rows: list[Row] = []
        try:
            rows = read_bytes(b"id,name\n" * (not jsonl) + data, jsonl=jsonl)
        except UsageError as error:
            said = str(error)
        assert "\n" not in said
        assert bool(rows) is not bool(said)
        for row in rows:
            row.key.encode()
            assert row.where


ODD = st.one_of(
    st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=6), st.binary(max_size=2)
)


@given(st.sampled_from(["id", "openid", "unionid", "access_token", "request_id"]), ODD)
@settings(max_examples=300)
def test_an_address_is_text_or_absent_or_a_problem(name: str, value: Any) -> None:
    got = parse_address(name, value)
    if isinstance(got, Problem):
        assert got.detail.startswith(name)
        got.detail.encode()
    elif got is not None:
        got.encode()
        whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
        assert got == (str(int(value)) if whole else str(value).strip())
        assert got
        assert whole or not isinstance(value, (float, bool))


@given(st.lists(st.fixed_dictionaries({}, optional={"key": ODD, "id": ODD, "openid": ODD, "name": ODD}), min_size=1, max_size=8), SIZE)  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_one_odd_mapping_never_harms_another(items: list[dict[str, Any]], size: int) -> None:
    good = {"key": "good", "id": "1", "name": "x"}
    rows = asyncio.run(read([good, *items, good], "name", size=size))
    assert len(rows) == len(items) + 2
    for row in (rows[0], rows[-1]):
        assert (row.key, row.id, row.params["name"], row.problem) == ("good", "1", "x", None)
    for row in rows:
        assert isinstance(row.key, str)
        row.key.encode()
        repr(row)


def test_a_frame_and_its_csv_say_the_same() -> None:
    import pandas as pd

    df = pd.DataFrame({"id": ["1", "1.0", "3"], "name": ["a", "", "c"]})
    data = df.to_csv(index=False).encode()
    ours = [(r.key, r.id, r.problem) for r in asyncio.run(read(from_frame(df), "name"))]
    assert [(r.key, r.id, r.problem) for r in read_bytes(data, "name")] == ours
