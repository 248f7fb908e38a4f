"""The tables of codes in docs/facts say what the code does."""

from __future__ import annotations

import re

from markdown_blocks import section, table_rows

from promomsg.alipay.codes import CODES, classify
from promomsg.alipay.models import LIMITS
from promomsg.model import Verdict
from promomsg.wechat.codes import ROWS, meaning_of


def verdicts(cell: str) -> list[Verdict]:
    return [
        Verdict[name] for name in re.findall(r"`([A-Z]+)`", cell) if name in Verdict.__members__
    ]


def test_every_errcode_of_the_page_has_its_verdicts() -> None:
    seen = set()
    for code, _, cell in table_rows(section("docs/facts/wechat.md", "Error codes")):
        numbers = re.findall(r"-?[0-9]+", code)
        for number in numbers or ["1"]:  # "any other": one that nobody has described
            row = meaning_of(number)
            found = verdicts(cell)
            assert row.single is found[0], number
            assert row.group is found[-1], number
        seen.update(numbers)
    assert seen == set(ROWS)


def test_every_result_code_of_the_page_has_its_verdict() -> None:
    seen = set()
    for code, status, cell in table_rows(section("docs/facts/alipay.md", "Result")):
        names = re.findall(r"`([A-Z_]+)`", code)
        for name in names or ["SOME_OTHER"]:
            assert classify(name, status[0]).verdict is verdicts(cell)[0], name
        seen.update(names)
    assert seen == {*CODES, "PROCESS_FAIL"}


def test_the_limits_of_the_page_are_those_that_are_checked() -> None:
    rows = table_rows(section("docs/facts/alipay.md", "Request"))
    said = {
        row[0].strip("`"): int(found[1].replace(",", ""))
        for row in rows
        if (found := re.match(r"([0-9,]+) characters", row[-1]))
    }
    assert said == LIMITS
