"""`list`: the campaigns of a folder, or of a fleet's database."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import click

from promomsg.cli.language.terminal_language import _, translated
from promomsg.cli.listed_campaigns import CampaignSource, source_options
from promomsg.cli.output.printing import (
    finish_output,
    print_json,
    print_table,
    print_to_stderr,
)
from promomsg.cli.shared_options import json_option
from promomsg.durations import format_age
from promomsg.housekeeping.campaign_files import ListedCampaign
from promomsg.sizes import format_size

__all__ = ["list_campaigns"]

_COUNTS: Final = ("planned", "sent", "failed", "unknown", "pending")


@click.command("list", short_help="List the campaigns of a folder, or of a fleet.")
@source_options
@json_option
def list_campaigns(folder: Path | None, fleet: str | None, as_json: bool) -> int:
    """List the journals of FOLDER (default: this one), or the campaigns of a fleet's database: where each
    campaign stands, its age and its size.
    """
    source = CampaignSource(folder, fleet)
    found = source.campaigns()
    if as_json:
        kind = "fleet" if source.is_fleet else "folder"
        print_json({kind: source.place, "campaigns": [_document(one) for one in found]})
        return finish_output()
    if not found:
        if source.is_fleet:
            print_to_stderr(f"{source.place}: no campaign yet")
        else:
            print_to_stderr(f"{source.place}: there is no journal in it")
        return finish_output()
    now = time.time()
    rows = sorted(found, key=lambda one: -(one.begun_at or 0.0))
    print_table(
        ("journal", "campaign", "state", *_COUNTS, "begun", "size"),
        (_cells(one, now) for one in rows if not one.error),
        optional=("size", "campaign", "begun"),
        elsewhere=_("not shown here: {0}; a wider terminal shows them, and so does --json"),
    )
    for one in rows:
        for text in (*one.closing, *one.trouble):
            print_to_stderr(f"warning: {one.name}: {text}")
        if one.error:
            print_to_stderr(f"cannot be read: {one.error}")
    return finish_output()


def _cells(one: ListedCampaign, now: float) -> tuple[str, ...]:
    progress = one.progress
    return (
        one.name,
        "–" if progress is None else progress.campaign,
        _(one.state),
        *("–" if progress is None else f"{getattr(progress, name):,}" for name in _COUNTS),
        "–" if one.begun_at is None else translated(format_age(now - one.begun_at)),
        format_size(one.size),
    )


def _document(one: ListedCampaign) -> dict[str, Any]:
    document: dict[str, Any] = {"journal": one.address, "size": one.size}
    if one.progress is None:
        return {**document, **({"error": one.error} if one.error else {"state": one.state})}
    shown = one.progress.to_dict()
    del shown["groups"]
    if shown["state"] != one.state:
        shown |= {"state": one.state, "reason": ""}
    return {
        **document,
        **shown,
        "account": one.account,
        "begun_at": one.begun_at,
        "last_at": one.last_at,
    }
