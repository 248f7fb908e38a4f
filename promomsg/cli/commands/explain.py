"""`explain`: what a code of a report means, and what to do."""

from __future__ import annotations

import click
import msgspec

from promomsg.channels.installed import codes_of_others
from promomsg.cli.language.terminal_language import _, translated
from promomsg.cli.output.printing import finish_output, print_json
from promomsg.cli.output.terminal_page import Page
from promomsg.cli.shared_options import json_option
from promomsg.code_meanings import explain as meanings_of

__all__ = ["explain"]


# A code may start with a minus, which click would take for an option.
@click.command(
    short_help="Say what a code means and what to do about it.",
    context_settings={"ignore_unknown_options": True},
)
@click.argument("code")
@json_option
def explain(code: str, as_json: bool) -> int:
    """Say what CODE means: a WeChat errcode, a wallet's resultCode, one of promomsg's own, or of an installed channel."""
    found = meanings_of(code, codes_of_others())
    if as_json:
        print_json({"code": found[0].code, "meanings": [msgspec.to_builtins(one) for one in found]})
        return finish_output()
    page = Page()
    for one in found:
        text = translated(f"{one.code} ({one.origin}): {one.meaning}")
        page.put(text, hang=2, style="strong")
        for label, text in (
            (_("the recipient"), translated(one.outcome)),
            (_("what to do"), translated(one.advice)),
            (_("source"), one.source),
        ):
            page.field(label, text, at=17)
    return finish_output()
