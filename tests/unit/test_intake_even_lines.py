"""Lines without a quote are cut into columns at once, and say what the csv module says of them."""

from __future__ import annotations

import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promomsg.intake.text.even_lines import columns_of_lines

_cells = st.text(alphabet="ab 1,;\"'\r客\u2028\x85\x0b\0", max_size=3)
_lines = st.lists(_cells, min_size=2, max_size=4).map(",".join)


@given(st.lists(_lines, min_size=1, max_size=4), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_columns_are_those_of_the_csv_module(texts: list[str], end: str, ended: bool) -> None:
    lines = [text + end for text in texts]
    if not ended:
        lines[-1] = texts[-1]
    columns = columns_of_lines(lines, ",")
    if columns is not None:
        records = list(csv.reader(lines, strict=True))
        assert list(zip(*columns, strict=True)) == list(map(tuple, records))


@pytest.mark.parametrize(
    "lines",
    [
        ["1,2\n", "3\n"],
        ["1,2\n", "\n"],
        ["1,2\n", "3,4,5\n"],
        ['1,"2"\n'],
        ["1,a\rb\n"],
        ["1\n", "2\n"],
        ["1,a\0b\n"],
        ["1," + "a" * csv.field_size_limit() + "b\n"],
    ],
)
def test_anything_uncommon_is_left_to_the_csv_module(lines: list[str]) -> None:
    assert columns_of_lines(lines, ",") is None


def test_a_last_line_needs_no_end() -> None:
    assert columns_of_lines(["1;2\r\n", "3;\r\n", "5;6"], ";") == [["1", "3", "5"], ["2", "", "6"]]
