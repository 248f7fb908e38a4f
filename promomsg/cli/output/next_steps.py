"""What a person may do next with a campaign, as commands to be copied."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from promomsg.cli.language.terminal_language import _
from promomsg.cli.language.wide_text import padded, width
from promomsg.cli.output.printing import command_line
from promomsg.cli.output.terminal_page import Page
from promomsg.engine.report import CANCEL_ASKED

__all__ = ["next_steps", "put_next_steps"]

_STANDS: Final = frozenset(("halted", "paused", "stopped"))
_RUNS: Final = frozenset(("sending", "following", "waiting"))


def next_steps(document: Mapping[str, Any]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """What can be done next, and the command and its options for it; nothing when everybody was sent to.

    Args:
        document: of `--json`.
    """
    state = document["state"]
    if document["pending"] and document["reason"] == CANCEL_ASKED:
        yield _("cancel those who are pending:"), "cancel", ()
    elif document["pending"] and state in _STANDS:
        asked = document.get("first", {}).get("phase") in ("stopped", "asking")
        text = _("go on with those who are pending:")
        yield text, "resume", ("--approve",) if asked else ()
    elif state in _RUNS:
        yield _("watch it:"), "status", ("--watch",)
        return
    if document["unknown"]:
        text = _("see who may have got it, before you send again:")
        yield text, "report", ("--state", "unknown")
    if document["failed"]:
        yield _("see who failed, and why:"), "report", ("--state", "failed")
        if not document["pending"]:
            text = _("send again to those who failed:")
            yield text, "retry", ("--failed",)


def _from_here(path: str) -> str:
    """A file in the folder that the command runs in, or below it, without that folder."""
    here = os.path.join(os.getcwd(), "")
    return path.removeprefix(here)


def put_next_steps(
    page: Page, document: Mapping[str, Any], words: Sequence[str], *, shown: str = ""
) -> None:
    """Shows them: side by side where all fit, else each command below what it does.

    Args:
        words: what names the journal on a command line.
        shown: the command that is shown already.
    """
    words = (_from_here(words[0]), *words[1:])
    steps = [
        (text, command_line(command, *words, *options))
        for text, command, options in next_steps(document)
        if command != shown
    ]
    if not steps:
        return
    print(file=page.file)
    wide = max(width(text) for text, _command in steps)
    fits = page.columns is None or all(
        2 + wide + 1 + width(command) <= page.columns for _text, command in steps
    )
    for text, command in steps:
        copied = page.styled(command, "strong")
        if fits:
            print(f"  {padded(text, wide)} {copied}", file=page.file)
        else:
            page.put(text, indent=2, hang=2)
            # In one piece however long it is, so that it can be copied.
            print(f"    {copied}", file=page.file)
