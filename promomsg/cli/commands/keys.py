"""`keys`: a key pair for a wallet's portal; the private half never leaves its file."""

from __future__ import annotations

import os
from pathlib import Path

import click

from promomsg.cli.output.printing import print_line, print_to_stderr
from promomsg.errors import UsageError

__all__ = ["keys"]


@click.command(short_help="Make a key pair for a wallet's portal.")
@click.option(
    "--output", type=click.Path(path_type=Path, file_okay=False), default=Path(),
    help="The folder to put key.pem and key.pub.pem into; default this one.",
)  # fmt: skip
def keys(output: Path) -> int:
    """Make an RSA key pair: key.pem (yours alone) and key.pub.pem; never overwrites one.

    Prints the public half as the one line of base64 that the portals ask for.
    """
    from promomsg.alipay.signing import make_key_pair

    private, public = output / "key.pem", output / "key.pub.pem"
    for path in (private, public):
        if os.path.lexists(path):
            raise UsageError(f"{path} is there already and is not overwritten; give --output DIR")
    pair = make_key_pair()
    try:
        output.mkdir(parents=True, exist_ok=True)
        _write(private, pair.private_pem.reveal(), 0o600)
        _write(public, pair.public_pem, 0o644)
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be written: {error.strerror}") from None
    print_to_stderr(
        f'{private}: the private key, readable by you only; private_key = "file:{private.name}"'
    )
    print_to_stderr(f"{public}: the public key; give the portal this line:")
    print_line(pair.public_base64)
    return 0


def _write(path: Path, text: str, mode: int) -> None:
    """Creates a file; one that has appeared meanwhile is not overwritten."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text if text.endswith("\n") else text + "\n")
