"""`on_end`: who is told when a run of a campaign is over: a program, or a web service.

It gets the document of `--json`, with the exit status. What goes wrong with it is one line on stderr,
and changes neither the campaign nor the exit status.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from promomsg.cli.campaign.campaign_values import OnEnd
from promomsg.cli.campaign.table_reader import TableReader
from promomsg.control_characters import escaped
from promomsg.errors import UsageError
from promomsg.url_origins import on_this_machine

__all__ = ["read_on_end", "tell"]

_PAUSES: Final = (1.0, 5.0, None)
"""Seconds after each try that failed; None: it was the last one."""
_ANSWERS_IN: Final = 10.0
_ENDS_IN: Final = 60.0
"""Seconds for a web service to answer, and for a program to end."""


class _NotTold(Exception):
    """Why a try failed; `again`: another one may not."""

    def __init__(self, why: str, *, again: bool = True) -> None:
        super().__init__(why)
        self.again = again


def read_on_end(section: TableReader, folder: Path) -> OnEnd | None:
    """`on_end` of `[campaign]`: `"https://…"`, or the words of a program (`"command:…"` or without).

    Args:
        folder: where the program runs: the campaign file's.

    Raises:
        UsageError: no word in it, words that cannot be split, or plain http to another machine.
    """
    if "on_end" not in section:
        return None
    text = section.text("on_end").strip()
    if text.lower().startswith(("https://", "http://")):
        if text.lower().startswith("http://") and not on_this_machine(text):
            raise UsageError(
                f"{section.where('on_end')}: http:// is for this machine; use https://"
            )
        return OnEnd(folder, url=text)
    try:
        if "\0" in text:
            raise ValueError("a NUL character")
        words = tuple(shlex.split(text.removeprefix("command:")))
    except ValueError as error:
        raise UsageError(
            f"{section.where('on_end')}: the command cannot be split: {error}"
        ) from None
    if not words:
        raise UsageError(
            f"{section.where('on_end')}: write 'https://…', or 'command:PROGRAM ARGUMENT …'; it gets the "
            "result as JSON"
        )
    return OnEnd(folder, words=words)


async def tell(
    on_end: OnEnd,
    document: Mapping[str, Any],
    say: Callable[[str], None],
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Tells it, up to three times.

    Args:
        document: plain JSON values.
        say: gets the line about what went wrong.
        pause: waits so many seconds before another try.
    """
    body = json.dumps(document, ensure_ascii=False).encode()
    once = _post if on_end.url else _run
    for seconds in _PAUSES:
        try:
            await once(on_end, body)
        except _NotTold as error:
            if error.again and seconds is not None:
                await pause(seconds)
                continue
            say(f"on_end: {on_end.name} was not told of the end: {escaped(str(error))}")
        return


async def _post(on_end: OnEnd, body: bytes) -> None:
    import aiohttp

    limit = aiohttp.ClientTimeout(total=_ANSWERS_IN)
    headers = {"Content-Type": "application/json"}
    try:
        async with (
            aiohttp.ClientSession(timeout=limit, trust_env=True) as http,
            http.post(on_end.url, data=body, headers=headers, allow_redirects=False) as answer,
        ):
            status = answer.status
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        # Not its text, which may have the URL with a key in it.
        raise _NotTold(f"{type(error).__name__}") from None
    if not 200 <= status < 300:
        raise _NotTold(f"it answered {status}", again=status >= 500 or status in (408, 425, 429))


async def _run(on_end: OnEnd, body: bytes) -> None:
    try:
        child = await asyncio.create_subprocess_exec(
            *on_end.words,
            cwd=on_end.folder,
            env=dict(os.environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise _NotTold(f"it cannot be run: {error.strerror}", again=False) from None
    try:
        async with asyncio.timeout(_ENDS_IN):
            await child.communicate(body)
    except TimeoutError:
        raise _NotTold(f"it did not end within {_ENDS_IN:g} s", again=False) from None
    finally:
        if child.returncode is None:
            with suppress(ProcessLookupError):
                child.kill()
            await child.wait()
    if child.returncode:
        raise _NotTold(f"it ended with status {child.returncode}")
