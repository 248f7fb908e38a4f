"""`worker`: sends the campaigns of a database, together with other machines, until it is told to end."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import click

from promomsg.cli.interrupts import Interrupts, run_async

__all__ = ["worker"]


@click.command(short_help="Send the campaigns of a database, together with other machines.")
@click.option("--fleet", "url", metavar="URL", help="The database; default $PROMOMSG_FLEET.")
@click.option(
    "--concurrency",
    type=click.IntRange(1, 1000),
    default=64,
    show_default=True,
    help="Calls at once, of each campaign.",
)
@click.option(
    "--accounts",
    "file",
    type=click.Path(path_type=Path),
    help="The accounts it sends for; without it WeChat alone, with $WECHAT_SECRET.",
)
@click.option(
    "--allow-file-secrets",
    is_flag=True,
    help="Secrets may lie outside of the folder of --accounts.",
)
def worker(url: str | None, concurrency: int, file: Path | None, allow_file_secrets: bool) -> int:
    """Send the campaigns of a database, until SIGTERM or Ctrl-C: calls in flight finish then."""
    from promomsg.cli.campaign.worker_accounts import worker_accounts
    from promomsg.cli.output.printing import print_line, print_to_stderr
    from promomsg.journal.locate import fleet_url

    url = fleet_url(url, "worker")  # says so where the extra is missing
    from promomsg.fleet.worker import Worker
    from promomsg.journal.postgres.database import place

    where = place(url)
    accounts = worker_accounts(file, file_secrets=allow_file_secrets)
    for line in accounts.missing:
        print_to_stderr(line)
    _log_to_stderr()

    async def work(interrupts: Interrupts) -> int:
        import anyio

        def started(name: str) -> None:
            print_line(f"working for {where} as {name}")
            sys.stdout.flush()

        one = Worker(url, accounts, concurrency=concurrency, started=started)

        async def end() -> None:
            await interrupts.wait()
            print_to_stderr("ending: calls in flight finish; once more ends it at once")
            one.stop()

        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(end)
                await one.run()
                tasks.cancel_scope.cancel()
        finally:
            await accounts.close()
        return 0

    return run_async(work)


class _Lines(logging.Handler):
    """A line of the log, as the terminal shows it."""

    def emit(self, record: logging.LogRecord) -> None:
        from promomsg.cli.output.printing import print_to_stderr

        print_to_stderr(record.getMessage())


def _log_to_stderr() -> None:
    """Shows what the worker says; what the queue says of itself is said there in a line."""
    if not logging.getLogger("promomsg").handlers:  # neither -v nor --log-json
        ours = logging.getLogger("promomsg.fleet")
        ours.setLevel(logging.INFO)
        ours.addHandler(_Lines())
    for name in ("procrastinate", "psycopg.pool"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
