"""`list`: the campaigns of a folder, or of a fleet's database."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import click

from promomsg.cli.language.terminal_language import _, translated
from promomsg.cli.output.printing import (
    finish_output,
    format_size,
    print_json,
    print_table,
    print_to_stderr,
)
from promomsg.cli.shared_options import json_option
from promomsg.durations import format_age
from promomsg.housekeeping.campaign_files import FolderCampaign, campaign_files

__all__ = ["list_campaigns"]

_COUNTS: Final = ("planned", "sent", "failed", "unknown", "pending")


@click.command("list", short_help="List the campaigns of a folder.")
@click.argument("folder", type=click.Path(path_type=Path), default=".")
@json_option
def list_campaigns(folder: Path, as_json: bool) -> int:
    """List the journals of FOLDER (default: this one): where each campaign stands, its age and its size."""
    found = list(campaign_files(folder))
    if as_json:
        print_json({"folder": str(folder), "campaigns": [_document(one) for one in found]})
        return finish_output()
    if not found:
        print_to_stderr(f"{folder}: there is no journal in it")
        return finish_output()
    now = time.time()
    rows = sorted(found, key=lambda one: -(one.begun_at or 0.0))
    print_table(
        ("journal", "campaign", "state", *_COUNTS, "begun", "size"),
        (_cells(one, now) for one in rows if one.progress is not None),
        optional=("size", "campaign", "begun"),
        elsewhere=_("not shown here: {0}; a wider terminal shows them, and so does --json"),
    )
    for one in rows:
        for text in one.closing:
            print_to_stderr(f"warning: {one.path.name}: {text}")
        if one.error:
            print_to_stderr(f"cannot be read: {one.error}")
    return finish_output()


def _cells(one: FolderCampaign, now: float) -> tuple[str, ...]:
    progress = one.progress
    assert progress is not None
    return (
        one.path.name,
        progress.campaign,
        _(progress.state),
        *(f"{getattr(progress, name):,}" for name in _COUNTS),
        "–" if one.begun_at is None else translated(format_age(now - one.begun_at)),
        format_size(one.size),
    )


def _document(one: FolderCampaign) -> dict[str, Any]:
    document: dict[str, Any] = {"journal": str(one.path), "size": one.size}
    if one.progress is None:
        return {**document, "error": one.error}
    shown = one.progress.to_dict()
    del shown["groups"]
    return {
        **document,
        **shown,
        "account": one.account,
        "begun_at": one.begun_at,
        "last_at": one.last_at,
    }
