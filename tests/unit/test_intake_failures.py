"""`read_failures`: a report of promomsg read back, and those of a list whom it names."""

from __future__ import annotations

import asyncio
import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from read_source import read as read_source

import promomsg
from promomsg import UsageError
from promomsg.intake.reported.report_file import is_report
from promomsg.intake.sources import Row
from promomsg.intake.spreadsheet_guards import formula_without_guard, guard_formula

HEAD = "key,verdict,code,detail,attempts,group,at"


def read(recipients: Any, *names: str) -> list[Row]:
    return asyncio.run(read_source(recipients, *names))


def report(folder: Path, *rows: str, head: str = HEAD, encoding: str = "utf-8") -> Path:
    path = folder / "failures.csv"
    path.write_text("\n".join([head, *rows, ""]), encoding=encoding)
    return path


@given(st.text(st.characters(exclude_characters="\r\n\0", codec="utf-8"), min_size=1))
def test_a_guard_is_taken_off_as_it_was_put_on(key: str) -> None:
    written = guard_formula(key)
    if formula_without_guard(key) == key:  # `'=x` and `=x` look the same in a report
        assert formula_without_guard(written) == key
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow([written])
    [[back]] = csv.reader(io.StringIO(out.getvalue(), newline=""))
    assert back == written


@pytest.mark.parametrize(
    ("head", "encoding", "found"),
    [
        (HEAD, "utf-8", True),
        (HEAD, "utf-8-sig", True),
        (HEAD, "utf-16", True),
        (HEAD.replace(",", ";"), "utf-8", True),
        (f"{HEAD},note", "utf-8", False),
        ("key,id,name", "utf-8", False),
        ("verdict,key,code,detail,attempts,group,at", "utf-8", False),
    ],
)
def test_a_report_is_known_by_its_headings(
    tmp_path: Path, head: str, encoding: str, found: bool
) -> None:
    assert is_report(report(tmp_path, head=head, encoding=encoding)) is found
    assert not is_report(tmp_path / "nothing.csv")
    assert not is_report(tmp_path)


def test_the_rows_of_the_list_come_whole_in_its_order_each_once(tmp_path: Path) -> None:
    people = [{"key": f"k{n}", "openid": f"u{n}", "name": str(n)} for n in (5, 1, 4, 2, 3)]
    path = report(
        tmp_path,
        "k1,failed,43101,no,1,,",
        "k2,cancelled,CANCELLED,,0,,",
        "k3,pending,,,0,,",
        "k4,failed,43101,no,2,,",
        "k4,skipped,DUPLICATE_KEY,,0,,",
    )
    source = promomsg.read_failures(path, people)
    rows = read(source, "name")
    assert [(row.key, row.openid, row.params["name"]) for row in rows] == [
        ("k1", "u1", "1"), ("k4", "u4", "4"), ("k2", "u2", "2"),
    ]  # fmt: skip
    assert source.notices[0].endswith(
        "is a report of 5 rows: 3 people are sent to again (2 failed, 1 cancelled); the list has them "
        "in 3 rows"
    )
    assert "left out are 1 pending, 1 skipped" in source.notices[1]
    assert read(source, "name") == rows


def test_a_person_who_was_sent_to_by_a_later_report_in_the_same_file_is_left_out(
    tmp_path: Path,
) -> None:
    path = report(tmp_path, "k1,failed,43101,no,1,,", "k2,failed,43101,no,1,,", "k1,sent,,,1,,")
    people = [{"key": "k1", "openid": "u1"}, {"key": "k2", "openid": "u2"}]
    assert [row.key for row in read(promomsg.read_failures(path, people))] == ["k2"]


def test_keys_that_are_addresses_need_no_list(tmp_path: Path) -> None:
    path = report(tmp_path, "1001,failed,103010,no,1,m1,", "1000,failed,103010,no,1,m1,")
    rows = read(promomsg.read_failures(path, key_is="id"))
    assert [(row.key, row.id, row.where) for row in rows] == [
        ("1001", "1001", "line 2"), ("1000", "1000", "line 3"),
    ]  # fmt: skip
    with pytest.raises(UsageError, match="which address '1001' is cannot be told"):
        read(promomsg.read_failures(path))


def test_wrong_arguments_name_the_right_ones(tmp_path: Path) -> None:
    path = report(tmp_path, "1001,failed,103010,no,1,m1,")
    with pytest.raises(UsageError, match="'id', 'openid', 'unionid'"):
        promomsg.read_failures(path, key_is="access_token")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="goes without recipients"):
        promomsg.read_failures(path, ["1001"], key_is="id")
    with pytest.raises(UsageError, match="an audience has no keys"):
        promomsg.read_failures(path, promomsg.Roles([1]))
    with pytest.raises(UsageError, match="may name people who got the message"):
        read(promomsg.read_csv(path, columns={"id": "key"}))
    with pytest.raises(UsageError, match="is no report of promomsg"):
        read(promomsg.read_failures(report(tmp_path, "1", head="id"), ["1"]))
