"""Links resolve, names have docstrings, tables and diagrams are current."""

from __future__ import annotations

import inspect
import pkgutil
import re
import sqlite3
import subprocess
import sys
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest
from markdown_blocks import PAGES, ROOT, blocks, headings, links, read, section

import promomsg
from promomsg.channels.base import Channel, Following, WithAccountToken
from promomsg.code_meanings import explain
from promomsg.log_events import EVENTS


@pytest.mark.parametrize("page", PAGES)
def test_links_resolve(page: str) -> None:
    for link in links(page):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert target.exists(), f"{page} links to {link}, which is not there"
        if anchor:
            assert anchor in headings(target.relative_to(ROOT).as_posix()), f"{page}: {link}"


def modules() -> list[ModuleType]:
    names = [m.name for m in pkgutil.walk_packages(promomsg.__path__, "promomsg.")]
    return [promomsg, *(import_module(n) for n in names if not n.endswith("__main__"))]


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.__name__)
def test_public_names_are_listed_and_have_docstrings(module: ModuleType) -> None:
    assert module.__doc__
    own = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and getattr(value, "__module__", None) == module.__name__
        and (inspect.isclass(value) or inspect.isfunction(value))
    ]
    listed = getattr(module, "__all__", [])
    assert set(listed) <= set(dir(module))
    if own:
        assert listed, f"{module.__name__} has no __all__"
    for name in listed:
        value = getattr(module, name)
        if getattr(value, "__name__", None) == name:
            assert value.__doc__, f"{module.__name__}.{name} has no docstring"


ENGINE_ONLY = {name for kind in (Channel, Following, WithAccountToken) for name in dir(kind)}
"""What the engine asks of a channel: documented once, at the interface."""


def undocumented(kind: type[Any]) -> list[str]:
    return [
        f"{kind.__name__}.{name}"
        for name, value in vars(kind).items()
        if not name.startswith("_")
        and name not in ENGINE_ONLY
        and (inspect.isfunction(value) or isinstance(value, (property, classmethod, staticmethod)))
        and not inspect.getdoc(getattr(kind, name))
    ]


def test_methods_that_users_call_have_docstrings() -> None:
    kinds = [
        value for name in promomsg.__all__ if inspect.isclass(value := getattr(promomsg, name))
    ]
    assert [text for kind in kinds for text in undocumented(kind)] == []


def test_every_public_name_is_on_a_page() -> None:
    text = "".join(read(page) for page in PAGES)
    missing = [n for n in promomsg.__all__ if not re.search(rf"\b{n}\b", text)]
    # What calls return is documented by its docstring.
    returned = {"Clicks", "Delivery", "Failure", "Match", "Outcome", "Plan", "Promoter", "Quota"}
    returned |= {"Report", "Role", "Secret", "UserToken", "Verdict"}
    assert set(missing) <= returned


def test_the_codes_of_the_guide_are_those_that_explain_has() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| `(\w+)` \| (.+) \|$", section("docs/guide.md", "Outcomes"), re.M
    )
    assert {code for code, _, _ in rows} > {code.value for code in promomsg.Code}
    for code, state, meaning in rows:
        (found,) = explain(code)
        assert (found.outcome, found.meaning) == (state, meaning)


def test_the_crash_points_of_the_page_are_those_of_the_code() -> None:
    code = "".join(path.read_text() for path in (ROOT / "promomsg").rglob("*.py"))
    table = section("docs/reliability.md", "How it is tested").partition("| crash point |")[2]
    cells = re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)
    named = {name for cell in cells for name in re.findall(r"`([a-z-]+)`", cell)}
    assert named == set(re.findall(r"\breached\(\"([a-z-]+)\"", code))


def test_state_diagrams_are_current() -> None:
    script = ROOT / "docs" / "make_states.py"
    done = subprocess.run(
        [sys.executable, script, "--check"],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def journal() -> Any:
    db = sqlite3.connect(":memory:")
    db.executescript(read("promomsg/journal/sqlite/schema.sql"))
    yield db
    db.close()


def test_every_table_and_column_of_the_journal_is_documented(journal: sqlite3.Connection) -> None:
    page = read("docs/journal.md")
    names = journal.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
    for (table,) in names.fetchall():
        assert re.search(rf"(\*\*{table}\*\*|`{table}`)", page), f"no word of {table}"
        for column in journal.execute(f"SELECT name FROM pragma_table_info('{table}')"):
            assert f"`{column[0]}`" in page, f"no word of {table}.{column[0]}"


@pytest.mark.parametrize("block", blocks("docs/journal.md", "sql"), ids=str)
def test_queries_of_the_journal_page_run(block: Any, journal: sqlite3.Connection) -> None:
    cursor = journal.execute(block.text)
    assert cursor.description


def test_the_events_of_the_log_are_those_of_the_guide() -> None:
    table = section("docs/guide.md", "Watching")
    rows = re.findall(r"^\| `([\w.]+)` \| .+ \| (`.+`) \|$", table, re.M)
    assert {name: tuple(re.findall(r"`(\w+)`", values)) for name, values in rows} == EVENTS
