"""The tables of docs/codes.md, made from the package's own tables whenever the site is built."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from promomsg.alipay.codes import CODES
from promomsg.code_meanings import OWN_CODES, Explanation, explain
from promomsg.wechat.codes import ROWS

_TABLES: Final = {
    "promomsg": OWN_CODES,
    "WeChat errcode": tuple(ROWS),
    "Alipay+ resultCode": tuple(CODES),
}
"""Whose codes a table has, and which."""
_NO_MARKUP: Final = {"&": "&amp;", "<": "&lt;", "|": "&#124;", "{": "&#123;", "*": "&#42;"}
_MADE: Final = re.compile(rf"<!-- made: ({'|'.join(map(re.escape, _TABLES))}) -->")
_CITED: Final = re.compile(r"docs/([\w/-]+\.md), \"([^\"]+)\"")


def _cell(text: str) -> str:
    """A text as a table's cell: what stands in angle brackets, braces or bars is no markup."""
    for sign, written in _NO_MARKUP.items():
        text = text.replace(sign, written)
    return text


def _source(text: str) -> str:
    """Where a rule is from, as a link to the heading that says so."""
    found = _CITED.search(text)
    if found is None:
        return _cell(text)
    anchor = re.sub(r"[^\w\- ]", "", found[2].lower()).replace(" ", "-")
    return f"[{found[2]}]({found[1]}#{anchor})"


def _row(one: Explanation) -> str:
    cells = [f'<span id="{one.code}">`{one.code}`</span>']
    cells += [_cell(text) for text in (one.meaning, one.outcome, one.advice)]
    return f"| {' | '.join([*cells, _source(one.source)])} |"


def table(origin: str, codes: Iterable[str]) -> str:
    """The codes of one origin: meaning, what becomes of the recipient, what to do, and where it says so."""
    lines = ["| code | meaning | recipient | what to do | source |", "| --- " * 5 + "|"]
    lines += [_row(one) for code in codes for one in explain(code) if one.origin == origin]
    return "\n".join(lines)


def with_codes(text: str) -> str:
    """The page with a table in each place that names one."""
    return _MADE.sub(lambda found: table(found[1], _TABLES[found[1]]), text)
