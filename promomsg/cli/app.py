"""The command line: its commands (imported when called), and how errors become one line."""

from __future__ import annotations

import io
import os
import sys
from importlib import import_module
from typing import Any, Final

import click

from promomsg.cli.exits import INTERRUPTED, RESUMABLE, WRONG
from promomsg.cli.output import clean
from promomsg.errors import PromoError
from promomsg.suggest import nearest

__all__ = ["COMMANDS", "cli", "run"]

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "demo": ("demo", "Show the whole way on this machine, against a sandbox."),
    "send": ("send", "Plan a campaign file, ask, and send it."),
    "plan": ("send", "Show what send would do, and send nothing."),
    "resume": ("resume", "Go on with a campaign that did not come to its end."),
    "pause": ("control", "Stop sending until resume; calls in flight finish."),
    "cancel": ("control", "Give up what was not sent yet."),
    "retry": ("resume", "Send again to the failed or the unknown ones, as you say."),
    "follow": ("provider", "Follow one group send to its end by its msg_id."),
    "status": ("report", "Show where a campaign stands."),
    "report": ("report", "List who was not reached and why, as a table, CSV or JSON."),
    "explain": ("explain", "Say what a code means and what to do about it."),
    "clicks": ("provider", "Show the clicks of one day."),
    "reconcile": ("reconcile", "Look for group sends whose answer was lost."),
    "promoters": ("provider", "Pull the list of promoters into a CSV file."),
    "doctor": ("doctor", "Check a campaign file, its account, the clock and the disk."),
    "keys": ("keys", "Make a key pair for a wallet's portal."),
    "sandbox": ("sandbox", "Serve a stand-in for both providers on this machine."),
}
"""Command → (module of `promomsg.cli.commands`, what it does), in the order of the help."""


class _Commands(click.Group):
    """Knows its commands by the table above, so that `--help` imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"promomsg.cli.commands.{COMMANDS[cmd_name][0]}")
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            meant = nearest(args[0], COMMANDS)
            hint = f"; did you mean {meant}?" if meant else "; promomsg --help lists them"
            raise click.UsageError(f"there is no command {clean(args[0])!r}{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, what) for name, (_, what) in COMMANDS.items()])


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        from promomsg import __version__

        click.echo(f"promomsg {__version__}")
        ctx.exit()


@click.group(
    cls=_Commands,
    no_args_is_help=False,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit status: 0 all sent, 1 wrong use, 3 failures, 4 unknown outcomes, 5 resumable, "
    "130 interrupted.",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an unexpected error.")
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version)
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> int:
    """Promotional messages to WeChat promoters and to wallet users: one truthful outcome each."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        return WRONG
    return 0


def run(argv: list[str]) -> int:
    """Runs one command; whatever goes wrong is one line on stderr and an exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A lone surrogate in a recipient's key, or a terminal that is not UTF-8.
            stream.reconfigure(errors="backslashreplace")
    debug = False
    if argv and argv[0] == "--debug":
        debug = True
    try:
        result: Any = cli.main(argv, prog_name="promomsg", standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, click.Abort):
        return _complain("interrupted", INTERRUPTED)
    except click.ClickException as error:
        return _complain(error.format_message(), WRONG)
    except BrokenPipeError:
        # Whoever read our output has left; Python would complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return WRONG
    except Exception as error:  # noqa: BLE001 - the last line of defence: one line, no secrets
        return _failed(error, debug)
    return result if isinstance(result, int) else 0


def _failed(error: BaseException, debug: bool) -> int:
    error = _alone(error)
    if debug:
        import traceback

        traceback.print_exception(error)  # without locals, which may hold a token
    if isinstance(error, PromoError):
        return _complain(str(error), WRONG)
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return _complain(f"{where}{error.strerror}", WRONG)
    from promomsg.cli.runner import BrokeOffError, Interrupted

    if isinstance(error, Interrupted):
        return _complain(str(error) or "interrupted; nothing was sent", INTERRUPTED)
    cause, status, then = error, WRONG, ""
    if isinstance(error, BrokeOffError):
        cause, status = _alone(error.__cause__ or error), RESUMABLE
        then = f" go on with: {error};"
    return _complain(
        f"unexpected {type(cause).__name__}: {cause};{then} "
        "run `promomsg --debug …` for the traceback, and please report it",
        status,
    )


def _alone(error: BaseException) -> BaseException:
    """The one error of a group that has only one."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _complain(text: str, status: int) -> int:
    one = " ".join(clean(part) for part in text.splitlines() if part.strip())
    print(f"promomsg: {one}", file=sys.stderr, flush=True)
    return status
