"""`python run_blocks.py PAGE PORT`: the page's Python blocks, in order, in a process of their own.

`await` is allowed at their top, as in `python -m asyncio`. What the page calls port 8765 is PORT.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import sys
from typing import Any

from markdown_blocks import Block, blocks


def run(block: Block, names: dict[str, Any], runner: asyncio.Runner, port: str) -> None:
    """Runs a block; a failure names the page's line."""
    text = block.text.replace(":8765", f":{port}")
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile("\n" * (block.line - 1) + text, block.page, "exec", flags, dont_inherit=True)
    if code.co_flags & inspect.CO_COROUTINE:

        async def awaited() -> None:
            await eval(code, names)

        runner.run(awaited())
    else:
        exec(code, names)


def run_page(page: str, port: str) -> None:
    found = blocks(page, "python")
    assert found, f"{page} has no python block"
    names: dict[str, Any] = {"__name__": "__main__"}
    with asyncio.Runner() as runner:
        for block in found:
            run(block, names, runner, port)


if __name__ == "__main__":
    run_page(*sys.argv[1:])
