"""Commands, options, campaign files, documents and exit statuses are as the pages say."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from markdown_blocks import ROOT, Block, all_blocks, blocks, read, section

import promomsg
from promomsg.cli.app import COMMANDS, cli
from promomsg.cli.campaign.campaign_file import load_campaign
from promomsg.cli.campaign.table_reader import TableReader
from promomsg.cli.campaign.worker_accounts import AccountsOfFile, worker_accounts
from promomsg.cli.exit_status import TABLE
from promomsg.sandbox import FaultPlan, Sandbox


def command(name: str) -> click.Command:
    found = cli.get_command(click.Context(cli), name)
    assert isinstance(found, click.Command)
    return found


def options(name: str) -> set[str]:
    return {
        opt
        for parameter in command(name).params
        if isinstance(parameter, click.Option)
        for opt in parameter.opts
        if opt.startswith("--")
    }


EVERYWHERE = {"--verbose", "--log-json", "--lang"}
"""Options of every command, which the page says once."""


def test_options_of_every_command_are_documented_at_the_head_of_the_page() -> None:
    head = read("docs/terminal.md").partition("\n## ")[0]
    assert set(re.findall(r"--[a-z][a-z-]*", head)) >= EVERYWHERE


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_documented(name: str) -> None:
    documented = set(re.findall(r"--[a-z][a-z-]*", section("docs/terminal.md", f"promomsg {name}")))
    missing = options(name) - documented - EVERYWHERE
    assert not missing, f"docs/terminal.md says nothing of {name} {sorted(missing)}"


def test_the_page_has_no_command_that_is_not_there() -> None:
    assert re.findall(r"^## promomsg (\w+)$", read("docs/terminal.md"), re.M) == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_documented_in_chinese(name: str) -> None:
    page = section("docs/zh/terminal.md", f"promomsg {name}")
    missing = options(name) - set(re.findall(r"--[a-z][a-z-]*", page)) - EVERYWHERE
    assert not missing, f"docs/zh/terminal.md says nothing of {name} {sorted(missing)}"


def test_the_chinese_page_has_the_files_and_the_commands_of_the_english_one() -> None:
    for kind in ("toml", "sh", "json"):
        ours, theirs = (
            [re.sub(r" *# .*", "", block.text) for block in blocks(f"docs/{page}terminal.md", kind)]
            for page in ("zh/", "")
        )
        assert ours == theirs


def command_lines() -> list[tuple[Block, list[str]]]:
    found = []
    for block in all_blocks("sh"):
        for line in block.text.replace("\\\n", " ").splitlines():
            for part in re.split(r"&&|\|\|", line.partition("#")[0]):
                command_alone = re.sub(r" \d?>>? ?\S+", "", part)
                words = shlex.split(command_alone.rstrip().removesuffix("&"))
                if words and words[0] == "promomsg":
                    found.append((block, words))
    return found


def test_command_lines_of_the_pages_are_real() -> None:
    lines = command_lines()
    assert len(lines) > 8
    for block, (_, name, *words) in lines:
        assert name in COMMANDS, f"{block}: there is no promomsg {name}"
        # Parses as the terminal would: unknown options and missing arguments raise.
        real = cli.get_command(click.Context(cli), name)
        assert real is not None
        real.make_context(name, list(words))


def test_the_two_commands_stand_in_the_readme_as_they_are() -> None:
    lines = [block.text.strip() for block in blocks("README.md", "sh")]
    assert lines[0] == "python -m pip install '.[cli]' && promomsg demo"
    assert lines[1] == "python -m pip install -e '.[dev]' && pytest"
    assert "python -m pip install --quiet --disable-pip-version-check -e '.[dev]'" in read(
        ".ci/run"
    )


def is_of_accounts(block: Block) -> bool:
    return "[[account]]" in block.text


def is_fault_plan(block: Block) -> bool:
    return "[[fault]]" in block.text


FILES_OF_ACCOUNTS = [block for block in all_blocks("toml") if is_of_accounts(block)]
FAULT_PLANS = [block for block in all_blocks("toml") if is_fault_plan(block)]
CAMPAIGN_FILES = [
    block for block in all_blocks("toml") if not (is_of_accounts(block) or is_fault_plan(block))
]


@pytest.mark.parametrize("block", FAULT_PLANS, ids=str)
def test_fault_plans_of_the_pages_load(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "sandbox.toml"
    file.write_text(block.text, encoding="utf-8")
    assert FaultPlan.load(file)


@pytest.mark.parametrize("block", FILES_OF_ACCOUNTS, ids=str)
def test_files_of_a_workers_accounts_on_the_pages_load(block: Block, tmp_path: Path) -> None:
    (tmp_path / "appsecret.txt").write_text("s")
    for name in ("key.pem", "wallet.pem"):
        (tmp_path / name).write_text("pem")
    file = tmp_path / "accounts.toml"
    file.write_text(block.text, encoding="utf-8")
    accounts = worker_accounts(file, environ={"AUTUMN_SECRET": "s", "PROMOMSG_FLEET_KEY": "k"})
    assert isinstance(accounts, AccountsOfFile)
    assert accounts.missing == ()


@pytest.mark.parametrize("block", CAMPAIGN_FILES, ids=str)
def test_campaign_files_of_the_pages_load(block: Block, tmp_path: Path) -> None:
    (tmp_path / "appsecret.txt").write_text("s")
    for name in ("key.pem", "wallet.pem"):
        (tmp_path / name).write_text("pem")
    file = tmp_path / "autumn.toml"
    file.write_text(block.text, encoding="utf-8")
    campaign = load_campaign(file, environ={"WECHAT_SECRET": "s"})
    assert campaign.message


def test_every_key_of_a_campaign_file_is_documented(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: set[str] = set()
    make = TableReader.__init__

    def spy(self: TableReader, table: Any, file: str, name: str, keys: Any = None) -> None:
        known.update(keys or ())
        make(self, table, file, name, keys)

    monkeypatch.setattr(TableReader, "__init__", spy)
    for block in blocks("docs/terminal.md", "toml"):
        if is_of_accounts(block):
            continue
        test_campaign_files_of_the_pages_load(block, tmp_path)
    page = section("docs/terminal.md", "The campaign file")
    assert len(known) > 30
    missing = [key for key in sorted(known) if not re.search(rf"\b{key}\b", page)]
    assert not missing


def test_the_document_of_the_page_is_the_one_that_status_prints() -> None:
    (block,) = blocks("docs/terminal.md", "json")
    shown = json.loads(block.text)

    async def make() -> promomsg.Report:
        async with (
            Sandbox() as box,
            promomsg.WeChatPromoter("wx1", "an-appsecret", base_url=box.url) as wechat,
        ):
            return await promomsg.send(
                wechat,
                promomsg.WeChatMessage(1, {"title": "t"}, "p"),
                [str(i) for i in range(1000, 1050)],
                poll=promomsg.PollPolicy(first_after=0.01, every=0.02),
            )

    real = asyncio.run(make()).to_dict()
    assert list(shown) == list(real)
    assert list(shown["groups"][0]) == list(real["groups"][0])
    parts = ("sent", "failed", "unknown", "skipped", "cancelled", "pending")
    assert shown["planned"] == sum(shown[part] for part in parts)


def test_exit_statuses_are_the_ones_of_the_table() -> None:
    rows = dict(re.findall(r"^\| (\d+) \| (.+) \|$", read("docs/terminal.md"), re.M))
    assert list(map(int, rows)) == list(TABLE)
    for status, text in TABLE.items():
        assert rows[str(status)].startswith(re.split("[,;]", text)[0])


@pytest.mark.parametrize(
    ("page", "mark", "language"),
    [("README.md", "from the demo", "en"), ("README.zh-CN.md", "演示的输出", "zh")],
)
def test_the_readme_shows_what_the_demo_prints(
    page: str, mark: str, language: str, tmp_path: Path
) -> None:
    shown = read(page).partition(f"<!-- {mark} -->")[2].partition("```text\n")[2]
    lines = [line for line in shown.partition("```")[0].splitlines() if line.strip() != "…"]
    assert len(lines) > 10
    done = subprocess.run(
        [sys.executable, "-m", "promomsg.cli", "demo", "--lang", language],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # Its sandbox has a port of its own.
    printed = iter(re.sub(r"(127\.0\.0\.1):\d+", r"\1:8765", done.stdout).splitlines())
    for line in lines:
        assert line in printed, f"the demo does not print, in this order: {line!r}"
