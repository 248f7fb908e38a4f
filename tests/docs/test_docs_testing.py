"""docs/testing.md and docs/own-channel.md as their reader follows them: their files in an empty folder, and pytest."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from markdown_blocks import blocks, read

import promomsg.testing.plugin
from promomsg.testing import LedgerChecks
from promomsg.testing.channel_contract import ChannelContract

PAGE = "docs/testing.md"
CONTRACT = sum(name.startswith("test_") for name in dir(ChannelContract))


@pytest.mark.parametrize(("page", "inherited"), [(PAGE, 0), ("docs/own-channel.md", CONTRACT)])
def test_the_files_of_the_page_pass(page: str, inherited: int, tmp_path: Path) -> None:
    files = {}
    for block in blocks(page, "python"):
        named = re.match(r"# (\w+\.py)\n", block.text)
        assert named, f"{block} does not say which file it is"
        files[named[1]] = block.text
        (tmp_path / named[1]).write_text(block.text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "promomsg.testing.plugin", "-p",
         "no:cacheprovider", "-p", "no:xdist", "-p", "no:cov", "-W", "error", "--strict-markers",
         "-o", "asyncio_default_fixture_loop_scope=function"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    tests = inherited + sum(text.count("def test_") for text in files.values())
    assert f"{tests} passed" in done.stdout


def test_the_channel_of_the_page_has_types_as_a_strict_checker_wants_them() -> None:
    [text] = [b.text for b in blocks("docs/own-channel.md", "python") if "HttpRequest(" in b.text]
    made = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    assert len(made) > 6
    for one in made:
        of_class = one.args.args[:1] if one.args.args[0].arg in {"self", "cls"} else []
        given = [*one.args.args[len(of_class) :], *one.args.kwonlyargs]
        assert one.returns is not None
        assert [arg.arg for arg in given if arg.annotation is None] == []


def in_first_column(title: str) -> set[str]:
    table = read(PAGE).partition(f"## {title}\n")[2].partition("\n## ")[0]
    return {name.partition("(")[0] for name in re.findall(r"^\| `([^`]+)`", table, re.MULTILINE)}


def test_every_fixture_and_every_assertion_is_on_the_page() -> None:
    assert in_first_column("Fixtures") == set(promomsg.testing.plugin.__all__)
    public = {name for name in vars(LedgerChecks) if not name.startswith("_")}
    assert in_first_column("Assertions") == public


@pytest.mark.parametrize("name", ["ThreadedSandbox", "FakeClock", "LedgerChecks"])
def test_names_are_loaded_when_they_are_used(name: str) -> None:
    assert getattr(promomsg.testing, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'Sandbox'"):
        promomsg.testing.Sandbox  # noqa: B018
