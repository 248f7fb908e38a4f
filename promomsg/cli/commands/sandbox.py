"""`sandbox`: a stand-in for both providers, until Ctrl-C; or one that runs, moved to another day."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import click

from promomsg.cli.command_errors import Interrupted
from promomsg.cli.interrupts import Interrupts, run_async
from promomsg.cli.output.printing import print_line
from promomsg.errors import UsageError

__all__ = ["sandbox"]

_TIMEOUT = 10.0
"""Seconds for a running sandbox to answer."""


@click.command(short_help="Serve a stand-in for both providers on this machine.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 picks a free one.")
@click.option("--faults", type=click.Path(path_type=Path), help="A TOML plan of what goes wrong.")
@click.option("--ledger", type=click.Path(path_type=Path), help="Append each delivery to a file.")
@click.option("--seed", type=int, default=0, help="Random seed.")
@click.option(
    "--public-key-out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help='Write the wallet\'s public key there (PEM), for public_key = "file:…".',
)
@click.option(
    "--clock",
    metavar="DAY",
    help="The China-time day it begins with, 2026-12-12, or -1d, +1d from today.",
)
@click.option(
    "--move",
    metavar="URL",
    help="Move the clock of the sandbox that runs at URL to --clock, and end.",
)
def sandbox(
    port: int,
    faults: Path | None,
    ledger: Path | None,
    seed: int,
    public_key_out: Path | None,
    clock: str | None,
    move: str | None,
) -> int:
    """Serve both providers on loopback; prints `listening on http://127.0.0.1:PORT`."""
    if move is not None:
        return _move(move, clock)
    asked = {
        "port": port,
        "faults": faults,
        "ledger": ledger,
        "seed": seed,
        "public_key_out": public_key_out,
        "clock": clock,
    }
    return run_async(lambda interrupts: _serve(asked, interrupts))


async def _serve(asked: dict[str, Any], interrupts: Interrupts) -> int:
    from promomsg.sandbox import serve

    try:
        await interrupts.unless(serve(**asked))
    except Interrupted:
        # There is no other way to end it, so this is its success.
        return 0
    return 0


def _move(url: str, day: str | None) -> int:
    """Asks a running sandbox for another day; on loopback alone, and past any proxy."""
    from promomsg.sandbox.movable_clock import parse_day
    from promomsg.sandbox.server import CLOCK_PATH
    from promomsg.transport.urls import check_base_url, is_loopback

    if day is None:
        raise UsageError("--move: to which day? Add --clock +1d, or --clock 2026-12-12")
    parse_day(day)
    base = check_base_url(url)
    if base.scheme != "http" or not is_loopback(base.raw_host or ""):
        raise UsageError(f"--move {url}: give the http://127.0.0.1:PORT that the sandbox printed")
    request = urllib.request.Request(  # noqa: S310 - http to loopback, checked above
        str(base).rstrip("/") + CLOCK_PATH, json.dumps({"day": day}).encode(), method="POST"
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_TIMEOUT) as answer:
            answered = json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            raise UsageError(f"{url}: {_refusal(error.read(1000))}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise UsageError(f"no sandbox answers at {url} ({reason}); start one first") from None
    print_line(f"its day is {answered['day']} now")
    return 0


def _refusal(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return "this is not a sandbox of promomsg"
