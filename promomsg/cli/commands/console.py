"""`console`: campaigns in a browser, until Ctrl-C."""

from __future__ import annotations

from pathlib import Path

import click

from promomsg.cli.command_errors import Interrupted
from promomsg.cli.interrupts import Interrupts, run_async

__all__ = ["console"]


@click.command(short_help="Look at campaigns in a browser, and steer them.")
@click.argument("folders", metavar="[FOLDER]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--fleet", metavar="URL", help="Also the campaigns of this PostgreSQL database.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 picks a free one.")
def console(folders: tuple[Path, ...], fleet: str | None, port: int) -> int:
    """Serve a page over the journals of each FOLDER (default: this one, unless there is --fleet).

    It prints `listening on http://127.0.0.1:PORT`.
    """
    return run_async(lambda interrupts: _serve(port, interrupts))


async def _serve(port: int, interrupts: Interrupts) -> int:
    from aiohttp import web

    from promomsg.console.console_server import serve_console

    async def hello(request: web.Request) -> web.Response:
        return web.Response(text="promomsg\n")

    app = web.Application()
    app.router.add_get("/", hello)
    try:
        await interrupts.unless(
            serve_console(
                app,
                host="127.0.0.1",
                port=port,
                announce=lambda url: print(f"listening on {url}", flush=True),
            )
        )
    except Interrupted:
        # There is no other way to end it, so this is its success.
        return 0
    return 0
