"""`console`: campaigns in a browser, until Ctrl-C."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from promomsg.cli.campaign.secret_references import read_secret
from promomsg.cli.command_errors import Interrupted
from promomsg.cli.interrupts import Interrupts, run_async
from promomsg.cli.output.printing import print_to_stderr
from promomsg.errors import UsageError
from promomsg.model import Secret

if TYPE_CHECKING:
    from promomsg.console.console_settings import ConsoleSettings

__all__ = ["console"]


def _token(name: str, value: str | None) -> Secret | None:
    """A token by reference: one on a command line can be read by every user of the machine."""
    if value is None:
        return None
    if value.partition(":")[0] not in ("env", "file"):
        raise UsageError(
            f"{name}: a token does not stand on a command line, where others can read it; write "
            "env:NAME for an environment variable or file:PATH for a file"
        )
    return read_secret(value, name, Path.cwd(), os.environ, anywhere=True)


_FILE = click.Path(path_type=Path)


@click.command(short_help="Look at campaigns in a browser, and steer them.")
@click.argument("folders", metavar="[FOLDER]...", nargs=-1, type=_FILE)
@click.option("--fleet", metavar="URL", help="Also the campaigns of this PostgreSQL database.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 picks a free one.")
@click.option(
    "--host", metavar="ADDRESS", default="127.0.0.1",
    help="To listen on; default loopback. Another one needs a token, and TLS or --public-url.",
)  # fmt: skip
@click.option(
    "--reader-token", metavar="env:NAME",
    help="Who has this token may look. Or file:PATH.",
)  # fmt: skip
@click.option(
    "--operator-token", metavar="env:NAME",
    help="Who has this token may look and act. Or file:PATH.",
)  # fmt: skip
@click.option("--tls-certificate", type=_FILE, metavar="FILE", help="Serve https; PEM.")
@click.option(
    "--tls-key", type=_FILE, metavar="FILE",
    help="Its key; default: it is in the certificate's file.",
)  # fmt: skip
@click.option(
    "--public-url", metavar="URL", help="The https:// URL of a proxy in front that does TLS."
)
@click.option("--read-only", is_flag=True, help="Nobody pauses, resumes, cancels or retries here.")
def console(
    folders: tuple[Path, ...],
    fleet: str | None,
    port: int,
    host: str,
    reader_token: str | None,
    operator_token: str | None,
    tls_certificate: Path | None,
    tls_key: Path | None,
    public_url: str | None,
    read_only: bool,
) -> int:
    """Serve a page over the journals of each FOLDER (default: this one, unless there is --fleet).

    It prints `listening on http://127.0.0.1:PORT`.
    """
    from promomsg.console.console_settings import ConsoleSettings
    from promomsg.fleet.fleet import Fleet

    if fleet is not None:
        Fleet(fleet)  # what is wrong with it is said now
    given = folders or (() if fleet is not None else (Path(),))
    settings = ConsoleSettings(
        folders=tuple(folder.resolve() for folder in given),
        fleet_url=fleet,
        host=host,
        port=port,
        reader_token=_token("--reader-token", reader_token),
        operator_token=_token("--operator-token", operator_token),
        tls_certificate=tls_certificate,
        tls_key=tls_key,
        public_url=public_url,
        read_only=read_only,
    )
    return run_async(lambda interrupts: _serve(settings, interrupts))


async def _serve(settings: ConsoleSettings, interrupts: Interrupts) -> int:
    try:
        from promomsg.console.console_server import serve_console
        from promomsg.console.sender_processes import SenderProcesses
    except ModuleNotFoundError as error:
        raise UsageError(
            f"console: {error.name} is missing: pip install 'promomsg[console]'"
        ) from None
    from promomsg.cli.exit_status import TABLE
    from promomsg.cli.language.page_languages import page_languages

    def announce(url: str) -> None:
        print(f"listening on {url}", flush=True)

    # In the environment: everybody can read a command line.
    environment = {} if settings.fleet_url is None else {"PROMOMSG_FLEET": settings.fleet_url}
    words = [sys.executable, "-P", "-m", "promomsg"]
    processes = SenderProcesses(words, TABLE, environment=environment)
    try:
        await interrupts.unless(serve_console(settings, page_languages(), processes, announce))
    except Interrupted:
        # There is no other way to end it, so this is its success.
        return 0
    finally:
        for one in processes.running():
            print_to_stderr(f"goes on: {one}")
        processes.close()
    return 0
