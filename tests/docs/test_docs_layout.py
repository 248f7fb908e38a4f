"""CONTRIBUTING's maps of the package and of the tests are what is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from markdown_blocks import ROOT, paths_in_tables, read, section

PACKAGE = ROOT / "promomsg"


def layout() -> dict[str, str]:
    return paths_in_tables(section("CONTRIBUTING.md", "Layout"))


def test_every_folder_and_every_file_at_the_top_is_in_the_layout_and_nothing_else() -> None:
    files = [file for file in PACKAGE.rglob("*.*") if file.parent.name != "__pycache__"]
    folders = {file.parent for file in files if file.is_file()} - {PACKAGE}
    there = {f"{folder.relative_to(ROOT).as_posix()}/" for folder in folders}
    there |= {file.relative_to(ROOT).as_posix() for file in PACKAGE.glob("*.py")}
    assert set(layout()) == there


@pytest.mark.parametrize("path", sorted(layout()))
def test_the_files_that_a_row_names_are_in_its_folder(path: str) -> None:
    for name in re.findall(r"`(\w+\.py)`", layout()[path]):
        assert (ROOT / path / name).is_file(), f"{path} has no {name}"


def test_the_arrows_are_those_that_import_linter_holds() -> None:
    drawn = section("CONTRIBUTING.md", "Layout").partition("<!-- the layers of pyproject.toml -->")
    shown = drawn[2].partition("```text\n")[2].partition("```")[0]
    contracts = tomllib.loads(read("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    layers = next(c["layers"] for c in contracts if c["name"] == "Arrows point one way")
    held = [layer.replace("promomsg.", "") for layer in layers]
    assert [" ".join(layer.split()) for layer in shown.split("→")] == held


def helper(file: Path) -> str | None:
    """How the map names a file that tests share: a folder of nothing else is one entry."""
    if file.name.startswith("test_") or file.name in ("__init__.py", "__main__.py"):
        return None
    folder = file.parent
    alone = folder.name != "tests" and not any(folder.glob("test_*.py"))
    path = (folder if alone else file).relative_to(ROOT).as_posix()
    return f"{path}/" if alone else path


def test_every_helper_of_the_tests_is_in_the_map_and_nothing_else() -> None:
    named = set(paths_in_tables(section("CONTRIBUTING.md", "Tests")))
    helpers = {name for f in (ROOT / "tests").rglob("*.py") if (name := helper(f)) is not None}
    suites = {f"tests/{f.name}/" for f in (ROOT / "tests").iterdir() if any(f.glob("test_*.py"))}
    assert named == helpers | suites


SLEEP = re.compile(r"\b(?:asyncio|anyio|time)\.sleep\((?!0\))")
CLOCKS = {"clocks.py", "hurried_clock.py", "waiting.py", "test_docs_layout.py"}


def test_real_time_passes_only_where_a_comment_says_why() -> None:
    silent = [
        f"{file.relative_to(ROOT)}:{number}"
        for file in (ROOT / "tests").rglob("*.py")
        if file.name not in CLOCKS
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if SLEEP.search(line) and "#" not in line and "import time" not in line  # a child's program
    ]
    assert silent == [], "wait with `until`, or let `real_time` pass (tests/waiting.py)"


def test_the_readme_is_short() -> None:
    assert len(read("README.md").splitlines()) <= 150


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "README.md"])
def test_the_paths_that_a_page_names_are_there(page: str) -> None:
    for path in re.findall(r"`((?:promomsg|tests|docs|benchmarks|examples)/[\w./-]+)`", read(page)):
        if "NAME" not in path:
            assert (ROOT / path).exists(), f"{page} names {path}"
