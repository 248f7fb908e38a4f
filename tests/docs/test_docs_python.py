"""README and guide as their reader meets them: a shell, the commands of the page, nothing else."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from markdown_blocks import ROOT, blocks, section
from run_blocks import run_page

import promomsg
from promomsg.journal.postgres.journal import PostgresJournal
from promomsg.sandbox import Sandbox

RUNNER = Path(__file__).with_name("run_blocks.py")


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


class Reader(NamedTuple):
    """Somebody with an empty folder, a shell, and promomsg installed."""

    folder: Path
    port: int

    def follow(self, *steps: str, language: str = "C") -> str:
        """What the terminal shows of these steps; the stand-in that they start ends with them.

        Args:
            language: of the reader's system.
        """
        started = "sandbox --port 8765"
        script = "\n".join(steps).replace("8765", str(self.port))
        assert started.replace("8765", str(self.port)) in script
        up = f"until (: < /dev/tcp/127.0.0.1/{self.port}) 2>/dev/null; do :; done"
        script = script.replace(" &\n", f" &\n{up}\n", 1)
        return self._on_a_terminal(f"set -e\ntrap 'kill %1' EXIT\n{script}\n", language)

    def _on_a_terminal(self, script: str, language: str) -> str:
        """Answers yes to whatever is asked."""
        environment = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.folder),
            "LANG": f"{language}.UTF-8",
            "TERM": "dumb",
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        }
        ours, theirs = pty.openpty()
        shell = subprocess.Popen(
            ["bash", "-c", script],
            cwd=self.folder,
            env=environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        shown = b""
        asked = 0
        with suppress(OSError):  # Linux's way to say that the terminal is closed
            while part := os.read(ours, 65_536):
                shown += part
                if (now := shown.count(b"[y/N]")) > asked:
                    asked = now
                    os.write(ours, b"y\n")
        os.close(ours)
        text = shown.decode(errors="replace").replace("\r\n", "\n")
        assert shell.wait(30) == 0, text
        return text


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader(tmp_path, free_port())


def shell_blocks(page: str, title: str) -> list[str]:
    text = section(page, title)
    return [b.text for b in blocks(page, "sh") if b.text in text]


class Readme(NamedTuple):
    """A README: its headings, the language of its reader's system, and two lines of the terminal in it."""

    page: str
    python: str
    terminal: str
    language: str
    calls: str
    sent: str


READMES = (
    Readme("README.md", "From Python", "From the terminal", "C", "single calls", "sent"),
    Readme("README.zh-CN.md", "用 Python", "用终端", "zh_CN", "单发调用", "已发送"),
)


@pytest.mark.parametrize("readme", READMES, ids=lambda readme: readme.page)
def test_readme_runs_as_its_reader_runs_it(reader: Reader, readme: Readme) -> None:
    (prepare,) = shell_blocks(readme.page, readme.python)
    (commands,) = shell_blocks(readme.page, readme.terminal)
    campaign_file = blocks(readme.page, "toml")[0].text.replace("8765", str(reader.port))
    (reader.folder / "autumn.toml").write_text(campaign_file, encoding="utf-8")
    out = reader.follow(
        prepare,
        f"{sys.executable} {RUNNER} {readme.page} {reader.port}",
        "echo and now the terminal",
        commands,
        language=readme.language,
    )
    python, _, terminal = out.partition("and now the terminal")
    assert "3 planned, 3 sent" in python
    assert "Traceback" not in python
    assert re.search(rf"^  {readme.calls} +3$", terminal, re.MULTILINE)
    assert re.search(rf"^  {readme.sent} +3$", terminal, re.MULTILINE)
    assert len((reader.folder / "not-sent.csv").read_text().splitlines()) == 1


def without_comments(page: str) -> list[str]:
    """A page's blocks but those that show what is printed."""
    found = [block.text for kind in ("sh", "toml", "python") for block in blocks(page, kind)]
    return [re.sub(r" *# .*", "", text) for text in found]


def test_the_readme_has_the_same_blocks_in_chinese() -> None:
    assert without_comments("README.zh-CN.md") == without_comments("README.md")


def test_guide_runs_as_its_reader_runs_it(reader: Reader) -> None:
    page = ROOT / "docs/guide.md"
    prepare = blocks("docs/guide.md", "sh")[0].text
    assert prepare in page.read_text(encoding="utf-8")
    out = reader.follow(prepare, f"{sys.executable} {RUNNER} docs/guide.md {reader.port}")
    assert "Traceback" not in out


def test_journal_blocks_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    async def make() -> dict[str, Any]:
        async with (
            Sandbox() as box,
            promomsg.WeChatPromoter("wx1", "an-appsecret", base_url=box.url) as wechat,
        ):
            message = promomsg.WeChatMessage(1, {"title": "t"}, "p")
            report = await promomsg.send(
                wechat, message, ["1001", "1002", "1001"], journal="autumn.db"
            )
            return report.to_dict()

    assert json.dumps(asyncio.run(make()))
    run_page("docs/journal.md", "0")
    out = capsys.readouterr().out
    assert "sent       2" in out
    assert "skipped    1" in out


def test_fleet_blocks_run(
    postgres: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PROMOMSG_FLEET", postgres)
    run_page("docs/fleet.md", "0")
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "2"
    assert "autumn done ()" in said[1:]
    with psycopg.connect(postgres) as db:
        answers = [
            db.execute(block.text.encode()).fetchall()
            for block in blocks("docs/fleet-journal.md", "sql")
        ]
    assert answers == [[("sent", "", 2)], [(2, "", 2)]]
    PostgresJournal(postgres, "autumn").discard()


def test_every_table_of_the_fleet_is_on_its_page(postgres: str) -> None:
    asyncio.run(PostgresJournal.prepare(postgres))
    with psycopg.connect(postgres) as db:
        tables = db.execute(
            b"SELECT relname FROM pg_class WHERE relnamespace = 'promomsg'::regnamespace"
            b" AND relkind IN ('r', 'p', 'v') AND NOT relispartition"
            b" AND relname !~ '^(recipient|user_token)_[0-9]+$'"  # one campaign's own
        ).fetchall()
    page = (ROOT / "docs/fleet-journal.md").read_text(encoding="utf-8")
    assert "`procrastinate_`" in page  # what begins so
    own = [name for (name,) in tables if not name.startswith("procrastinate_")]
    assert [name for name in own if f"`{name}`" not in page] == []
