"""What is counted is said in the number that it has: `1 row`, `2 rows`."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import promomsg
from promomsg.plural import counted

PACKAGE = Path(promomsg.__file__).parent
_MANY = (
    "rows|people|recipients|members|campaigns|journals|calls|groups|messages|days|workers|others|files|keys|attempts"
    "|tokens|lines|columns|pages|values|failures|codes|answers|jobs|clicks|commits|failures|times"
)
_NO_ADJECTIVE = "of|in|on|for|to|at|over|can|has|have|names|separates|user"
NOUN = re.compile(rf"^ (?:(?!(?:{_NO_ADJECTIVE}) )[a-z-]+ ){{0,2}}(?:{_MANY})\b(?! a )")
"""Behind a number: several of something, after two adjectives at the most."""
MESSAGE = re.compile(r"\{\d(?::,)?\}(?= )(?P<after>.*)")
ALLOWED = {
    "channels/alipay_account.py": 2,  # only of 20 or more
    "cli/watch_workers.py": 1,  # of one it says something else, and the same here below
    "engine/following/reconcile.py": 1,
    "engine/prepare/default_pace.py": 1,  # more than a day's limit
    "intake/text/reading_notices.py": 1,
    "journal/postgres/commits/one_batch.py": 1,  # a mistake of ours, told to programmers
    "journal/postgres/statements/group_results.py": 1,  # "1 of the 2 named failures"
    "journal/sqlite/statements/group_results.py": 1,
    "journal/sqlite/statements/singles.py": 2,
    "sandbox/movable_clock.py": 1,  # more days than there are
    "testing/channel_contract.py": 1,  # only when they are not 1
    "testing/ledger_checks.py": 2,  # only when they are more than 1
    "transport/session.py": 1,  # connections, of which there are many
    "wechat/click_days.py": 1,  # more than a week ago
}
"""Texts of which one is never said, or that are right: by file, how many."""


def numbers_before_nouns(source: str) -> Iterator[tuple[int, str]]:
    """The texts in a source that put a number before several of something, by their lines."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            for hole, after in zip(node.values, node.values[1:], strict=False):
                if (
                    isinstance(hole, ast.FormattedValue)
                    and isinstance(after, ast.Constant)
                    and NOUN.match(str(after.value))
                    and not _is_right(hole.value)
                ):
                    yield hole.lineno, f"{{{ast.unparse(hole.value)}}}{after.value}"
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "_":
            for text in (one.value for one in node.args if isinstance(one, ast.Constant)):
                found = MESSAGE.search(str(text))
                if found and NOUN.match(found["after"]):
                    yield node.lineno, str(text)


def _is_right(hole: ast.expr) -> bool:
    """Whether it is a limit of ours, a constant, or no number."""
    name = ast.unparse(hole).rpartition(".")[2]
    return name.isupper() or name in ("base_url", "named")


def test_a_number_says_how_many() -> None:
    assert counted(1, "row") == "1 row"
    assert counted(0, "row") == "0 rows"
    assert counted(1_200, "row") == "1,200 rows"
    assert counted(1, "person is", "people are") == "1 person is"
    assert counted(2, "person is", "people are") == "2 people are"


@pytest.mark.parametrize(
    "source", ['f"{n} rows"', 'f"{n:,} blank lines left out"', 'f"at {len(x)} other campaigns"', '_("{0:,} people")']
)  # fmt: skip
def test_a_number_before_several_is_found(source: str) -> None:
    assert len(list(numbers_before_nouns(source))) == 1


def test_nothing_says_1_rows() -> None:
    found = [
        (path.relative_to(PACKAGE).as_posix(), line, text)
        for path in sorted(PACKAGE.rglob("*.py"))
        for line, text in numbers_before_nouns(path.read_text("utf-8"))
    ]
    by_file = Counter(where for where, _, _ in found)
    told = [
        f"{where}:{line}: {text!r}: say the number with promomsg.plural.counted"
        for where, line, text in found
        if by_file[where] > ALLOWED.get(where, 0)
    ]
    assert told == []
    assert by_file == ALLOWED, "some of them are gone: lower their number above"
