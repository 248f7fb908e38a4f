"""`token = "command:…"`: a program that prints a current access token.

For tokens that another system keeps: a central token server, a component's authorizer tokens.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from promomsg.errors import NotSent, UsageError

__all__ = ["STALE_TOKEN", "TokenCommand"]

STALE_TOKEN: Final = "PROMOMSG_STALE_TOKEN"  # noqa: S105 - a variable's name
"""Where the program finds the token that the provider refused; not set when there is none."""
_TIMEOUT: Final = 30.0
"""Seconds for the program to end."""
_LONGEST: Final = 4096
"""Characters of a token; the longest seen are some hundreds
(docs/facts/wechat.md, "Access token")."""


class TokenCommand:
    """An async token source, `(stale) -> token`, that runs a program.

    Args:
        words: the program and its arguments; no shell sees them.
        folder: where it runs: the campaign file's.
    """

    def __init__(self, words: Sequence[str], folder: Path, *, timeout: float = _TIMEOUT) -> None:
        self._words = tuple(words)
        self._folder = folder
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"TokenCommand({self._words[0]!r})"

    async def __call__(self, stale: str | None) -> str:
        """Runs it once.

        Raises:
            UsageError: there is no such program; it printed nothing that can be a token.
            NotSent: it failed or took too long; its output is not quoted, a token may be in it.
        """
        name = self._words[0]
        environment = {k: v for k, v in os.environ.items() if k != STALE_TOKEN}
        if stale is not None:
            environment[STALE_TOKEN] = stale
        try:
            # In a session of its own, so that Ctrl-C does not end it: calls in flight may need a token.
            child = await asyncio.create_subprocess_exec(
                *self._words,
                cwd=self._folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise UsageError(f"the token command {name} cannot be run: {error.strerror}") from None
        try:
            async with asyncio.timeout(self._timeout):
                out, _ = await child.communicate()
        except TimeoutError:
            raise NotSent(
                f"the token command {name} did not end within {self._timeout:g} s"
            ) from None
        finally:
            if child.returncode is None:
                with suppress(ProcessLookupError):
                    child.kill()
                await child.wait()
        if child.returncode:
            raise NotSent(
                f"the token command {name} ended with status {child.returncode}; "
                "run it by hand to see why"
            )
        token = out.decode("ascii", "replace").strip()
        if not token or len(token) > _LONGEST or not token.isascii() or len(token.split()) != 1:
            raise UsageError(
                f"the token command {name} printed no token; it has to print the token alone, "
                "on one line of stdout"
            )
        return token
