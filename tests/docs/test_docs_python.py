"""The Python blocks of README and docs run, in order, against the sandbox."""

from __future__ import annotations

import ast
import asyncio
import inspect
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from markdown_blocks import Block, blocks

import promomsg
from promomsg.alipay.signing import make_key_pair
from promomsg.sandbox import Sandbox, SandboxSettings

ADDRESS = "http://127.0.0.1:8765"
QUICK = {"first_after=60": "first_after=0.02", "every=120": "every=0.05"}
"""What the pages say for real life, and what a test waits for."""


@contextmanager
def sandbox_elsewhere() -> Iterator[Sandbox]:
    """A sandbox in a thread of its own: the blocks have event loops of theirs."""
    box = Sandbox(settings=SandboxSettings(poll_steps=(40, 100)))
    up, down = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with box:
            up.set()
            await down.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert up.wait(10)
        yield box
    finally:
        loop.call_soon_threadsafe(down.set)
        thread.join(10)
        loop.close()


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox, and a folder with the files that the pages speak of."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WECHAT_SECRET", "an-appsecret")
    rows = "".join(f"crm-{i},{1000 + i},n{i}\n" for i in range(30))
    (tmp_path / "promoters.csv").write_text(f"key,id,name\n{rows}")
    (tmp_path / "key.pem").write_text(make_key_pair().private_pem.reveal())
    with sandbox_elsewhere() as box:
        (tmp_path / "wallet.pem").write_text(box.alipay_public_key)
        yield box


def run(block: Block, names: dict[str, Any], runner: asyncio.Runner, box: Sandbox) -> None:
    """Runs a block, with `await` allowed at its top; a failure names the page's line."""
    text = block.text.replace(ADDRESS, box.url)
    for said, quick in QUICK.items():
        text = text.replace(said, quick)
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile("\n" * (block.line - 1) + text, block.page, "exec", flags, dont_inherit=True)
    if code.co_flags & inspect.CO_COROUTINE:

        async def awaited() -> None:
            await eval(code, names)

        runner.run(awaited())
    else:
        exec(code, names)


def run_page(page: str, box: Sandbox) -> None:
    found = blocks(page, "python")
    assert found, f"{page} has no python block"
    names: dict[str, Any] = {"__name__": "__main__"}
    with asyncio.Runner() as runner:
        for block in found:
            run(block, names, runner, box)


def test_readme_blocks_run(box: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    run_page("README.md", box)
    out = capsys.readouterr().out
    assert "3 planned, 3 sent" in out
    assert "30 planned, 30 sent" in out
    assert box.ledger.total == 3 + 30 + 1
    assert not box.complaints


def test_guide_blocks_run(box: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    run_page("docs/guide.md", box)
    assert "recipients" in capsys.readouterr().out
    assert not box.complaints


def test_journal_blocks_run(box: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    async def make() -> None:
        async with promomsg.WeChatPromoter("wx1", "an-appsecret", base_url=box.url) as wechat:
            message = promomsg.WeChatMessage(1, {"title": "t"}, "p")
            await promomsg.send(wechat, message, ["1001", "1002", "1001"], journal="autumn.db")

    asyncio.run(make())
    run_page("docs/journal.md", box)
    out = capsys.readouterr().out
    assert "sent       2" in out
    assert "skipped    1" in out
