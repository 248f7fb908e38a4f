"""The tutorial as its reader follows it: at a terminal, Ctrl-C in the middle included."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from markdown_blocks import ROOT, blocks
from reader_terminal import Terminal, free_port, steps

import promomsg

PAGE = "docs/tutorial.md"
TRANSLATED = [path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("zh/tutorial.md")]
INSTALL = "python -m pip install '.[cli]'"
SENT_BEFORE_CTRL_C = 60
"""More than the calls that the stand-in answers badly: the 25th and the 40th."""


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    with closing(Terminal(tmp_path, port_8765=free_port())) as made:
        yield made


def under_way(journal: Path) -> Callable[[], bool]:
    """Whether enough of a campaign are sent for its reader to press Ctrl-C."""

    def look() -> bool:
        try:
            return promomsg.open_journal(journal).report().sent >= SENT_BEFORE_CTRL_C
        except promomsg.JournalError:  # not planned yet
            return False

    return look


def test_the_tutorial_runs_as_its_reader_runs_it(terminal: Terminal) -> None:
    shown: dict[str, tuple[int, str]] = {}
    folder = terminal.folder / "first-campaign"
    journal = folder / "autumn.db"
    for language, text, name in steps(PAGE):
        if language == "toml":
            assert name, f"{PAGE} does not say which file this is:\n{text}"
            # Nobody watches here: quicker, but slow enough to be interrupted.
            quicker = text.replace("singles_per_second = 20", "singles_per_second = 50")
            (folder / name).write_text(terminal.here(quicker), encoding="utf-8")
        elif text.strip() == INSTALL:
            assert INSTALL in blocks("README.md", "sh")[0].text
        elif text.startswith("promomsg send"):
            shown[text] = terminal.type(text, under_way(journal))
        else:
            shown[text] = terminal.type(text)
    statuses = {text.splitlines()[0]: status for text, (status, _) in shown.items()}
    assert statuses.pop("promomsg send autumn.toml") == 130
    assert statuses.pop("promomsg resume autumn.db") == 4
    assert statuses.pop("promomsg retry autumn.db --failed") == 4
    assert set(statuses.values()) == {0}, shown
    said = "\n".join(text for _, text in shown.values())
    assert "2 SUPPRESSED" in shown["promomsg plan autumn.toml\n"][1]
    interrupted = shown["promomsg send autumn.toml\n"][1]
    assert re.search(r"go on with: promomsg resume \S*autumn\.db$", interrupted, re.M), interrupted
    assert "stopped" in shown["promomsg status autumn.db\n"][1]
    resumed = shown["promomsg resume autumn.db\n"][1]
    assert re.findall(r"^  (failed|unknown|skipped|pending) +(\d+)$", resumed, re.M) == [
        ("failed", "1"), ("unknown", "1"), ("skipped", "2"), ("pending", "0"),
    ]  # fmt: skip
    assert "the recipient refuses messages" in said
    assert re.search(r"^  sent +197$", shown["promomsg retry autumn.db --failed\n"][1], re.M)
    (counted,) = (text for step, (_, text) in shown.items() if step.startswith("grep -c"))
    assert counted.split() == ["198", "0"]
    with promomsg.open_journal(journal) as opened:
        assert (opened.report().sent, opened.report().unknown) == (197, 1)


def without_comments(step: tuple[str, str, str]) -> tuple[str, str, str]:
    language, text, name = step
    return language, re.sub(r" *# .*", "", text), name


def test_the_tutorial_has_the_same_steps_in_every_language() -> None:
    ours = list(map(without_comments, steps(PAGE)))
    assert len(ours) > 10
    for page in TRANSLATED:
        assert list(map(without_comments, steps(page))) == ours, page
