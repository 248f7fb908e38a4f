"""Commands that are killed, or whose disk fails, at each of their steps: the next one finds all of it."""

from __future__ import annotations

import copy
import errno
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from re import Pattern

import pyarrow.parquet as pq
import pytest
from chaos.folder_faults import Ended, FaultedCommands
from cli_campaigns import campaign, promomsg
from test_cli_clicks import sent_two_days_ago

from promomsg import Report, open_journal
from promomsg.sandbox import Sandbox

SEAM = re.compile(r"^(create|rename|unlink) .*-mark|^(sync|unlink) .*(-wal|\.db)$|^unlink .*lock$")
"""The steps after which something else is on the disk, among those of whoever opens a journal."""
ARCHIVE = re.compile(r"^rename kept/|^sync kept$|^(rename|unlink) autumn.*(-mark|failures|\.db)$")


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultedCommands]:
    with FaultedCommands(tmp_path_factory.mktemp("commands")) as one:
        yield one


class CutShort:
    """A folder with a campaign, in which a command is stopped at one step after another.

    Args:
        served: the provider, whose ledger goes back with the folder.
        folder: of the campaign `autumn`.
    """

    def __init__(self, commands: FaultedCommands, served: Sandbox, folder: Path) -> None:
        self._commands, self._served, self._folder = commands, served, folder
        self._copy = folder.with_name("as-it-was")
        shutil.copytree(folder, self._copy)
        self._delivered = copy.copy(served.ledger.delivered)
        self.journal = folder / "autumn.db"

    def run(self, *words: object, at: int = 0, error: int = 0) -> Ended:
        return self._commands.run(*words, folder=self._folder, at=at, error=error)

    def each(self, *words: object, error: int = 0, seam: Pattern[str] = SEAM) -> Iterator[str]:
        """Stops a command before the first step of each kind that `seam` finds; after each of them the folder
        is as it was."""
        whole = self.run(*words)
        assert whole.status in (0, 3), whole.err
        first = {step: number for number, step in reversed(list(enumerate(whole.changes, 1)))}
        for step, number in sorted(first.items(), key=lambda one: one[1]):
            if not seam.search(step):
                continue
            self.restore()
            ended = self.run(*words, at=number, error=error)
            assert "Traceback" not in ended.err
            assert ended.err.count("promomsg: ") <= 1
            if not error:
                # Results gather into more or fewer commits each time: the last steps may not come.
                assert ended.status == -9 or len(ended.changes) < number
            yield step
        self.restore()

    def restore(self) -> None:
        """The folder and the ledger as they were."""
        shutil.rmtree(self._folder)
        shutil.copytree(self._copy, self._folder)
        self._served.ledger.delivered = copy.copy(self._delivered)

    def report(self) -> Report:
        with open_journal(self.journal) as opened:
            return opened.report()


def some_failed(served: Sandbox, folder: Path) -> None:
    folder.mkdir()
    served.settings.refuse_single = {str(1000 + n): 43101 for n in range(0, 40, 5)}
    assert promomsg("send", campaign(folder, served.url, 40, title="{name}"), "--yes") == 3
    served.settings.refuse_single = {}


def test_an_archive_is_whole_or_the_journal_is_there(
    commands: FaultedCommands, served: Sandbox, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    some_failed(served, folder)
    names = folder / "autumn.db.group-1.failures"
    names.write_text("openid,errcode\n")
    cut = CutShort(commands, served, folder)
    document = folder / "kept" / "autumn.archive.json"
    for step in cut.each(
        "archive", cut.journal, "--output", folder / "kept", "--yes", seam=ARCHIVE
    ):
        if cut.journal.exists():
            again = cut.run("archive", cut.journal, "--output", folder / "2nd", "--yes")
            assert again.status == 0, f"{step}: {again.err}"
            document = folder / "2nd" / "autumn.archive.json"
        assert json.loads(document.read_bytes())["rows"] == 40, step
        assert pq.read_metadata(document.with_suffix(".parquet")).num_rows == 40, step
        assert not names.exists(), step
        document = folder / "kept" / "autumn.archive.json"


@pytest.mark.parametrize("error", [0, errno.EIO])
def test_a_cancellation_is_done_by_the_next_one(
    commands: FaultedCommands, served: Sandbox, tmp_path: Path, error: int
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    first = 'first = 5\nfirst_ask = true\nfirst_wait = "0s"'
    file = campaign(folder, served.url, 40, title="{name}", campaign=first)
    assert promomsg("send", file, "--yes") == 5
    cut = CutShort(commands, served, folder)
    for step in cut.each("cancel", cut.journal, error=error):
        again = cut.run("cancel", cut.journal)
        assert again.status == 0, f"{step}: {again.err}"
        report = cut.report()
        assert (report.state, report.sent, report.cancelled) == ("cancelled", 5, 35), step
        assert report.warnings == [], step


def test_a_retry_reaches_nobody_twice(
    commands: FaultedCommands, served: Sandbox, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    some_failed(served, folder)
    cut = CutShort(commands, served, folder)
    for step in cut.each("retry", cut.journal, "--failed", "--yes"):
        again = cut.run("resume", cut.journal, "--yes")
        assert again.status in (0, 3, 4), f"{step}: {again.err}"
        report = cut.report()
        assert (report.pending, report.failed) in ((0, 0), (0, 8)), step
        assert served.ledger.twice() == [], step
        assert report.sent <= served.ledger.total <= report.sent + report.unknown, step


def test_clicks_are_asked_for_again(
    commands: FaultedCommands, served: Sandbox, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    sent_two_days_ago(served, folder, 60).rename(folder / "autumn.db")
    cut = CutShort(commands, served, folder)
    options = ("--campaign", folder / "clicked.toml", "--json")
    clicked = json.loads(cut.run("clicks", cut.journal, *options).out)["clicked"]
    assert clicked > 0
    cut.restore()
    for step in cut.each("clicks", cut.journal, *options):
        again = cut.run("clicks", cut.journal, *options)
        assert again.status == 0, f"{step}: {again.err}"
        assert json.loads(again.out)["clicked"] == clicked, step
