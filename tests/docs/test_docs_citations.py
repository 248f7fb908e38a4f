"""What the code cites is in the repository: a file under docs/, and a heading of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from markdown_blocks import ROOT, titles

FOLDERS = ("promomsg", "tests", "docs", "benchmarks", "examples")
FILES = sorted(
    file.relative_to(ROOT).as_posix()
    for folder in FOLDERS
    for file in (ROOT / folder).rglob("*.*")
    if file.suffix in (".py", ".md", ".sql", ".toml", ".c") and file != Path(__file__)
)
PAGES = ["README.md", "CONTRIBUTING.md", "pyproject.toml"]

CITED = re.compile(r"(docs/[\w/-]+\.md), \"([A-Z][^\"]+)\"")
NAMED = re.compile(r"\bdocs/[\w/-]+\.md\b")
NOT_IN_THE_REPOSITORY = re.compile(
    r"\bDESIGN\b|(?<!docs/)\bfacts/\w|\bseeds?/\w|\b[Tt]he seed\b|\bseed, (?:section|[A-Z])"
)


def text_of(file: str) -> str:
    """With line breaks, and the comment signs after them, as blanks: a citation may run over one."""
    text = (ROOT / file).read_text(encoding="utf-8")
    if file.endswith(".md"):  # links have a test of their own
        text = re.sub(r"\[[^\]]+\]\([^)]+\)", "", text)
    return re.sub(r"\s*\n\s*(?:# |-- |\* )?", " ", text)


@pytest.mark.parametrize("file", [*FILES, *PAGES])
def test_what_is_cited_is_there(file: str) -> None:
    text = text_of(file)
    for page, heading in CITED.findall(text):
        assert (ROOT / page).is_file(), f"{file} cites {page}"
        assert heading in titles(page), f'{file} cites {page}, "{heading}", which it has not'
    for page in NAMED.findall(text):
        assert "NAME" in page or (ROOT / page).is_file(), f"{file} names {page}"
    found = NOT_IN_THE_REPOSITORY.search(text)
    assert found is None, f"{file} cites what is not in the repository: {found[0]!r}"


def test_the_code_cites() -> None:
    cited = [file for file in FILES if file.startswith("promomsg/") and CITED.search(text_of(file))]
    assert len(cited) > 25


def test_every_errcode_has_a_source_that_is_there() -> None:
    from promomsg.alipay.codes import CODES
    from promomsg.wechat.codes import ROWS

    for row in (*ROWS.values(), *CODES.values()):
        found = CITED.search(row.source)
        assert found, row
        assert found[2] in titles(found[1])
