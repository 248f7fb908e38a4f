"""The package as a stranger finds it: one name for one thing, files and folders of a readable size."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Final

import promomsg

PACKAGE: Final = Path(promomsg.__file__).parent
FILES: Final = sorted(PACKAGE.rglob("*.py"))

SIBLINGS: Final = ("wechat", "alipay", "sqlite", "postgres")
"""The same role in sibling kinds may have the same name: `wechat/codes.py` and `alipay/codes.py`."""
COMMANDS: Final = Path("cli/commands")
"""A command may be called what it commands: `cli/commands/report.py` and `engine/report.py`."""
MOST_LINES: Final = 420
MOST_LINES_OF_A_FUNCTION: Final = 70
MOST_FILES_OF_A_FOLDER: Final = 12

OLD_NAMES: Final = frozenset({
    "Begun", "Clash", "Doubt", "ErrorWindow", "Items", "Lane", "Letter", "NewPlan", "Op", "Parcel",
    "Partial", "Reopened", "Resumed", "Said", "Settler", "Signal", "Slot", "Started", "Steering",
    "TokenVault", "Tx", "Watch", "Wishes", "Withdrawn", "_OFTEN", "_Road", "_failed_on_the_road",
    "_look_at_the_road", "doubt", "due_groups", "grp", "hopeless", "lane", "layout", "letter",
    "not_a_recipient", "obey", "paced", "parcel", "personal", "put_back", "restart_plan", "said_by",
    "slot", "steering", "to_the_end", "token_query", "unfit", "vals", "vault", "wish",
})  # fmt: skip
"""Names that the field has another word for."""


def inside(path: Path) -> Path:
    """A file's path in the package."""
    return path.relative_to(PACKAGE)


def may_share_a_name(one: Path, other: Path) -> bool:
    """Whether two files have the same role: of sibling kinds, or a command and what it commands."""
    if (one.parent == COMMANDS) != (other.parent == COMMANDS):
        return True
    kinds = [next((part for part in path.parts if part in SIBLINGS), None) for path in (one, other)]
    return None not in kinds and kinds[0] != kinds[1]


def shared(found: Iterable[tuple[str, Path]]) -> list[str]:
    """The names that two files have without a reason."""
    places: dict[str, list[Path]] = defaultdict(list)
    for name, path in found:
        places[name].append(path)
    return [
        f"{name}: {one} and {other}"
        for name, paths in places.items()
        for one, other in combinations(paths, 2)
        if not may_share_a_name(one, other)
    ]


def classes() -> Iterator[tuple[str, Path]]:
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                yield node.name, inside(path)


def test_no_two_classes_have_one_name() -> None:
    assert shared(classes()) == []


def test_no_two_files_have_one_name() -> None:
    named = (path for path in FILES if not path.name.startswith("__"))
    assert shared((path.name, inside(path)) for path in named) == []


def test_a_folder_of_the_engine_and_the_journal_is_seen_at_a_glance() -> None:
    folders = {
        folder: len(list(folder.glob("*.py")))
        for top in ("engine", "journal")
        for folder in (PACKAGE / top, *(f for f in (PACKAGE / top).rglob("*") if f.is_dir()))
    }
    full = {inside(f): n for f, n in folders.items() if n > MOST_FILES_OF_A_FOLDER}
    assert full == {}
    assert not any(part in ("util", "utils", "common") for f in FILES for part in f.parts)


def test_a_file_is_one_thought() -> None:
    long = {
        str(inside(path)): lines
        for path in FILES
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MOST_LINES
    }
    assert long == {}


def test_a_function_is_read_without_turning_the_page() -> None:
    long = {
        f"{inside(path)}:{node.name}": lines
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > MOST_LINES_OF_A_FUNCTION
    }
    assert long == {}


def test_the_private_language_is_gone() -> None:
    used = set()
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.NAME and token.string in OLD_NAMES:
                used.add(f"{inside(path)}: {token.string}")
    assert used == set()


def documented(docstring: str) -> Iterator[str]:
    """The names under `Args:`."""
    section = re.search(r"^Args:\n((?:    .*\n?|\n)+)", docstring, re.MULTILINE)
    for names in re.findall(r"^    (\S[\w, *]*):", section[1], re.MULTILINE) if section else ():
        yield from (name.strip(" *") for name in names.split(","))


def parameters(node: ast.AST) -> set[str] | None:
    """What a function or a class's constructor takes; None when that is not written there."""
    if isinstance(node, ast.ClassDef):
        made = [n for n in node.body if getattr(n, "name", "") in ("__init__", "__new__")]
        node = made[0] if made else node
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return None
    given = node.args
    rest = [one for one in (given.vararg, given.kwarg) if one is not None]
    return {one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs, *rest)}


def test_a_docstring_names_the_parameters_that_there_are() -> None:
    wrong = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                there = parameters(node)
                if there is not None:
                    names = set(documented(ast.get_docstring(node) or ""))
                    wrong += [f"{inside(path)}:{node.name}: {n}" for n in sorted(names - there)]
    assert wrong == []
