"""`sandbox`: a stand-in for both providers, until Ctrl-C."""

from __future__ import annotations

from pathlib import Path

import click

from promomsg.cli.runner import Interrupted, Interrupts, run_async

__all__ = ["sandbox"]


@click.command(short_help="Serve a stand-in for both providers on this machine.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 picks a free one.")
@click.option("--faults", type=click.Path(path_type=Path), help="A TOML plan of what goes wrong.")
@click.option("--ledger", type=click.Path(path_type=Path), help="Append each delivery to a file.")
@click.option("--seed", type=int, default=0, help="Of everything that is drawn by lot.")
def sandbox(port: int, faults: Path | None, ledger: Path | None, seed: int) -> int:
    """Serve both providers on loopback; prints `listening on http://127.0.0.1:PORT`."""
    return run_async(lambda interrupts: _serve(port, faults, ledger, seed, interrupts))


async def _serve(
    port: int, faults: Path | None, ledger: Path | None, seed: int, interrupts: Interrupts
) -> int:
    from promomsg.sandbox import serve

    try:
        await interrupts.unless(serve(port=port, faults=faults, ledger=ledger, seed=seed))
    except Interrupted:
        # There is no other way to end it, so this is its success.
        return 0
    return 0
