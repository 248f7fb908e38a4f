"""A journal in a process of its own, which a test can kill."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[1]


def child(code: str, path: str, **environment: str) -> subprocess.Popen[str]:
    """A process that runs `code` inside a coroutine, with `journal` the one at `path`."""
    text = f"""
import asyncio, os, signal, sys
from journal_rows import *
from promomsg.journal.records import Control, Reason
durability = os.environ.get("DURABILITY", "power")
async def main():
    journal = SqliteJournal(sys.argv[1], durability=durability)
{textwrap.indent(textwrap.dedent(code), "    ")}
asyncio.run(main())
"""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return subprocess.Popen(
        [sys.executable, "-c", text, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths, **environment},
    )


def told(process: subprocess.Popen[str], word: str) -> None:
    """Waits until the child has said `word`."""
    assert process.stdout is not None
    assert process.stdout.readline().strip() == word


def end(process: subprocess.Popen[str], kill: bool = True) -> None:
    """Waits for its end; `kill`: makes it end."""
    if kill:
        process.kill()
    process.communicate()
