"""The recipes of docs/howto: what can run here runs as its reader runs it, and the rest is what there is."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import click
import pytest
from markdown_blocks import ROOT, blocks, read
from reader_terminal import Terminal, free_port

import promomsg
from promomsg.cli.app import COMMANDS, cli

PAGES = sorted(f"docs/howto/{path.name}" for path in (ROOT / "docs/howto").glob("*.md"))
CHINESE = sorted(f"docs/zh/howto/{path.name}" for path in (ROOT / "docs/zh/howto").glob("*.md"))
RUNNER = Path(__file__).with_name("run_blocks.py")
LANGUAGES = {"sh", "python", "toml", "crontab", "ini", "dockerfile"}
"""Those that the tests below, or those of the campaign files, make sure of."""
FAULTS = """
[[fault]]
endpoint = "singlesendmsg"
kind = "errcode"
errcode = 43101
calls = [2]
[[fault]]
endpoint = "singlesendmsg"
kind = "drop_after_delivering"
calls = [3, 4]
"""


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    with closing(Terminal(tmp_path, port_8765=free_port(), port_8080=free_port())) as made:
        yield made


def with_a_campaign(terminal: Terminal, faults: str = FAULTS) -> None:
    """The README's campaign file and list, and the stand-in: of three people it refuses one, and of one the
    answer is lost, twice."""
    (terminal.folder / "sandbox.toml").write_text(faults, encoding="utf-8")
    file = blocks("README.md", "toml")[0].text + "[pace]\nconcurrency = 1\n"
    (terminal.folder / "autumn.toml").write_text(terminal.here(file), encoding="utf-8")
    prepare = next(b.text for b in blocks("README.md", "sh") if "promoters.csv" in b.text)
    started = prepare.replace("sandbox --port 8765", "sandbox --port 8765 --faults sandbox.toml")
    assert started != prepare
    assert terminal.type(started)[0] == 0


def run_python(page: str, terminal: Terminal) -> str:
    """Runs a page's Python blocks in the terminal; what they print."""
    status, shown = terminal.type(f"{sys.executable} {RUNNER} {page} {terminal.here('8765')}")
    assert status == 0, shown
    return shown


def words_are_real(words: list[str]) -> None:
    """Raises click's error for a command line of promomsg that there is not."""
    assert words[0] in COMMANDS, words
    command = cli.get_command(click.Context(cli), words[0])
    assert command is not None
    command.make_context(words[0], words[1:])


def state(journal: Path) -> str:
    try:
        return promomsg.open_journal(journal).report().state
    except promomsg.JournalError:  # not planned yet
        return ""


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_of_a_kind_that_is_tested(page: str) -> None:
    assert set(re.findall(r"^```(\w+)$", read(page), re.MULTILINE)) <= LANGUAGES
    assert page == "docs/howto/index.md" or f"({Path(page).name})" in read("docs/howto/index.md")


@pytest.mark.parametrize("page", CHINESE)
def test_a_recipe_in_chinese_has_the_blocks_and_tables_of_the_english_one(page: str) -> None:
    english = page.replace("docs/zh/", "docs/")
    assert f"[English](../../howto/{Path(page).name})" in read(page)
    for kind in sorted(LANGUAGES):
        assert [b.text for b in blocks(page, kind)] == [b.text for b in blocks(english, kind)]
    for begins in ("## ", "| ", "- "):  # headings, rows, points
        counts = [
            sum(line.startswith(begins) for line in read(of).splitlines()) for of in (page, english)
        ]
        assert counts[0] == counts[1], begins


def test_the_lines_for_cron_run_commands_that_there_are() -> None:
    lines = [line for b in blocks("docs/howto/cron.md", "crontab") for line in b.text.splitlines()]
    entries = [line for line in lines if not re.match(r"[A-Z_]+=", line)]
    assert len(entries) == 2
    for entry in entries:
        when, _, command = re.fullmatch(
            r"((?:[\d*/,-]+ ){5})(cd \S+ && )(.+?) >> \S+ 2>&1", entry
        ).groups()  # type: ignore[union-attr]
        assert len(when.split()) == 5
        assert "%" not in command  # cron's line break
        program, *words = shlex.split(command)
        assert Path(program).name == "promomsg"
        words_are_real(words)


def test_a_shell_hears_how_a_campaign_ended(terminal: Terminal) -> None:
    with_a_campaign(terminal)
    (block,) = blocks("docs/howto/cron.md", "sh")
    assert terminal.type(block.text)[1].endswith("autumn ended with 4\n")
    with promomsg.open_journal(terminal.folder / "autumn.db") as journal:
        assert (journal.report().sent, journal.report().failed) == (1, 1)


def test_the_units_start_the_campaign_and_stop_it_softly() -> None:
    service, timer = (
        configparser.ConfigParser(interpolation=None, strict=True)
        for _ in blocks("docs/howto/systemd.md", "ini")
    )
    for parser, block in zip((service, timer), blocks("docs/howto/systemd.md", "ini"), strict=True):
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read_string(block.text)
    program, *words = shlex.split(service["Service"]["ExecStart"].replace("%i", "autumn"))
    assert Path(program).name == "promomsg"
    words_are_real(words)
    assert service["Service"]["KillSignal"] == "SIGTERM"
    assert int(service["Service"]["TimeoutStopSec"]) > 30  # a call's time-out
    assert service["Service"]["SuccessExitStatus"].split() == ["3", "4", "130"]
    assert service["Service"]["RestartPreventExitStatus"] == "1"
    assert "OnCalendar" in timer["Timer"]


def test_the_container_runs_a_command_that_there_is() -> None:
    (image,) = blocks("docs/howto/docker.md", "dockerfile")
    parts = dict(re.findall(r"^(ENTRYPOINT|CMD) (\[.+\])$", image.text, re.MULTILINE))
    assert json.loads(parts["ENTRYPOINT"]) == ["promomsg"]
    words_are_real(json.loads(parts["CMD"]))
    for sources in re.findall(r"^COPY (.+) \S+$", image.text, re.MULTILINE):
        assert all((ROOT / name).exists() for name in sources.split())
    text = "".join(block.text for block in blocks("docs/howto/docker.md", "sh"))
    runs = re.findall(r"docker run .*? promomsg (.+)", text.replace("\\\n", " "))
    assert len(runs) == 3
    for words in runs:
        words_are_real(shlex.split(words))


def test_a_careful_campaign_is_planned_tried_and_waits(terminal: Terminal) -> None:
    with_a_campaign(terminal, faults="")
    terminal.type("sed -i s/crm/summer/ promoters.csv")
    assert terminal.type("promomsg send autumn.toml --journal summer.db --yes")[0] == 0
    people = "key,id,name\nsummer-1,1001,小明\ncrm-1,2001,小明\ncrm-2,2002,小红\n"
    (terminal.folder / "promoters.csv").write_text(people, encoding="utf-8")
    (terminal.folder / "blocked.csv").write_text("key\ncrm-9\n", encoding="utf-8")
    (file,) = blocks("docs/howto/careful.md", "toml")
    here = re.sub(r"^between = .*\n", "", file.text, flags=re.MULTILINE)  # tests run at any hour
    server = f'[wechat]\nbase_url = "http://127.0.0.1:{terminal.here("8765")}"\n'
    (terminal.folder / "autumn.toml").write_text(
        here.replace("[wechat]\n", server), encoding="utf-8"
    )
    plan, tried, sent = blocks("docs/howto/careful.md", "sh")[0].text.splitlines()
    status, shown = terminal.type(plan)
    assert status == 0, shown
    assert "2035-11-11 09:00" in shown
    # whom summer reached
    assert re.search(r"^  will not be sent +1\s+1 SUPPRESSED  \S", shown, re.M)
    assert terminal.type(tried)[0] == 0
    journal = terminal.folder / "autumn.db"
    status, shown = terminal.type(sent, lambda: journal.exists() and "waiting" in state(journal))
    assert status == 130, shown
    with promomsg.open_journal(journal) as opened:
        assert opened.report().pending == 2


def test_the_service_of_the_page_sends_a_campaign(terminal: Terminal) -> None:
    (terminal.folder / "examples").symlink_to(ROOT / "examples")  # the repository's folder
    shown = [terminal.type(block.text) for block in blocks("docs/howto/fastapi.md", "sh")]
    assert [status for status, _ in shown] == [0, 0], shown
    assert '"planned":3' in shown[1][1]
    assert re.search(r'"state": ?"done"', shown[1][1]), shown[1][1]
    with promomsg.open_journal(terminal.folder / "autumn.db") as journal:
        assert journal.report().sent == 3


def test_the_clients_of_the_page_of_proxies_can_be_made(terminal: Terminal) -> None:
    run_python("docs/howto/proxy.md", terminal)


def test_what_happens_is_logged_as_the_page_says(terminal: Terminal) -> None:
    with_a_campaign(terminal)
    (block,) = blocks("docs/howto/watching.md", "sh")
    status, shown = terminal.type(block.text)
    assert status == 4, shown
    assert '"unknown": 1' in shown
    logged = (terminal.folder / "retry.jsonl").read_text(encoding="utf-8").splitlines()
    events = [json.loads(line).get("event") for line in logged if line.startswith("{")]
    assert "campaign.ended" in events
    program = blocks("docs/howto/watching.md", "python")[0].text
    values = '{"event": "token.refreshed", "expires_in": 7200}'
    program += f'logging.getLogger("promomsg.transport").info("a new token", extra={values})\n'
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert json.loads(done.stderr) == {**json.loads(values), "text": "a new token"}


def test_people_who_are_unknown_are_dealt_with_as_the_page_says(terminal: Terminal) -> None:
    with_a_campaign(terminal)
    assert terminal.type("promomsg send autumn.toml --yes")[0] == 4
    look, lost, again = (block.text for block in blocks("docs/howto/unknown.md", "sh"))
    status, shown = terminal.type(look)
    assert status == 0, shown
    assert "NO_ANSWER" in (terminal.folder / "not-sent.csv").read_text(encoding="utf-8-sig")
    assert terminal.type(lost)[0] == 4  # no group was lost: nothing changes
    assert terminal.type(again)[0] == 4  # its answer is lost too
    assert "crm-3 NO_ANSWER" in run_python("docs/howto/unknown.md", terminal)
    with promomsg.open_journal(terminal.folder / "autumn.db") as journal:
        assert (journal.report().sent, journal.report().unknown) == (2, 0)
