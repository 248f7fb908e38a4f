"""The command line: its commands (imported when called), and how errors become one line."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any, Final, NamedTuple

import click

from promomsg.cli.command_errors import line_for, only_error
from promomsg.cli.exit_status import INTERRUPTED, WRONG
from promomsg.cli.language.help_pages import HelpContext
from promomsg.cli.language.terminal_language import (
    LANGUAGES,
    _,
    language_for,
    speak,
    translated,
)
from promomsg.cli.output.terminal_page import Page
from promomsg.control_characters import escaped
from promomsg.suggest import nearest

__all__ = ["COMMANDS", "cli", "run"]


class Entry(NamedTuple):
    """A command: its module in `promomsg.cli.commands`, what it does, and an example."""

    module: str
    summary: str
    example: str


COMMANDS: Final[dict[str, Entry]] = {
    "demo": Entry(
        "demo",
        "Send three sample campaigns to a sandbox on this machine.",
        "promomsg demo --channel wechat",
    ),
    "send": Entry(
        "send",
        "Plan a campaign file, ask, and send it.",
        "promomsg send autumn.toml --test-to crm-1",
    ),
    "plan": Entry(
        "send", "Show what send would do, and send nothing.", "promomsg plan autumn.toml"
    ),
    "resume": Entry("resume", "Continue an unfinished campaign.", "promomsg resume autumn.db"),
    "pause": Entry(
        "pause_cancel",
        "Pause sending until resume; calls in flight finish.",
        "promomsg pause autumn.db",
    ),
    "cancel": Entry(
        "pause_cancel", "Cancel what has not been sent yet.", "promomsg cancel autumn.db"
    ),
    "retry": Entry(
        "retry",
        "Send again to those who failed, or whose result is unknown.",
        "promomsg retry autumn.db --failed",
    ),
    "follow": Entry(
        "follow",
        "Follow one group send, by its msg_id, until it is done.",
        "promomsg follow 1000001 --campaign autumn.toml",
    ),
    "status": Entry("status", "Show where a campaign stands.", "promomsg status autumn.db --watch"),
    "list": Entry("list_campaigns", "List the campaigns of a folder.", "promomsg list campaigns/"),
    "report": Entry(
        "report",
        "List who was not reached and why, as a table, CSV or JSON.",
        "promomsg report autumn.db --format csv --output not-sent.csv",
    ),
    "explain": Entry(
        "explain", "Say what a code means and what to do about it.", "promomsg explain 43101"
    ),
    "clicks": Entry(
        "clicks",
        "Show the clicks of one day.",
        "promomsg clicks --campaign autumn.toml --date 2026-11-11 --dimension 0",
    ),
    "reconcile": Entry(
        "reconcile", "Find group sends whose answer was lost.", "promomsg reconcile autumn.db"
    ),
    "promoters": Entry(
        "promoters",
        "Download the list of promoters as a CSV file.",
        "promomsg promoters --campaign autumn.toml --output promoters.csv",
    ),
    "doctor": Entry(
        "doctor",
        "Check a campaign file, its account, the clock and the disk.",
        "promomsg doctor autumn.toml",
    ),
    "keys": Entry("keys", "Make a key pair for a wallet's portal.", "promomsg keys --output keys"),
    "archive": Entry(
        "archive",
        "Keep a campaign that is over as Parquet and JSON.",
        "promomsg archive autumn.db --output archive/",
    ),
    "purge": Entry(
        "purge",
        "Remove campaigns that were over long ago.",
        "promomsg purge campaigns/ --older-than 90d",
    ),
    "sandbox": Entry(
        "sandbox",
        "Serve a stand-in for both providers on this machine.",
        "promomsg sandbox --port 8765 --public-key-out wallet.pem",
    ),
    "console": Entry(
        "console",
        "Look at campaigns in a browser, and steer them.",
        "promomsg console campaigns/ --port 8765",
    ),
    "fleet": Entry(
        "fleet",
        "Prepare a database for many machines, and list its campaigns.",
        "promomsg fleet status",
    ),
    "worker": Entry(
        "worker",
        "Send the campaigns of a database, together with other machines.",
        "promomsg worker --accounts accounts.toml",
    ),
}
"""In the order of the help."""


_VERBOSE: Final = click.Option(
    ["-v", "--verbose"], count=True, expose_value=False, is_eager=True,
    help="Say on stderr what happens; -vv: each retry too.",
    callback=lambda ctx, param, value: _show_log(ctx, verbose=value),
)  # fmt: skip
_LOG_JSON: Final = click.Option(
    ["--log-json"], is_flag=True, expose_value=False, is_eager=True,
    help="The same, one JSON object a line.",
    callback=lambda ctx, param, value: _show_log(ctx, as_json=value),
)  # fmt: skip


_LANG: Final = click.Option(
    ["--lang"], type=click.Choice(LANGUAGES), expose_value=False, is_eager=True,
    help="The language of what a person reads; default by LC_ALL, LC_MESSAGES or LANG.",
)  # fmt: skip
"""Read before all others, by `language_for`: it is the language of their errors too."""


def _show_log(ctx: click.Context, *, verbose: int = 0, as_json: bool = False) -> None:
    asked: dict[str, Any] = ctx.meta.setdefault("promomsg.log", {"verbose": 0, "as_json": False})
    asked["verbose"] = max(asked["verbose"], verbose)
    asked["as_json"] |= as_json
    if asked["verbose"] or asked["as_json"]:
        from promomsg.cli.output.log_lines import show_log

        show_log(**asked)


def _add_common_options(command: click.Command) -> None:
    """Every command has them; of a group, each of its commands."""
    command.context_class = HelpContext
    if isinstance(command, click.Group):
        for one in command.commands.values():
            _add_common_options(one)
    elif _VERBOSE not in command.params:
        command.params += [_VERBOSE, _LOG_JSON]
    if _LANG not in command.params:
        command.params.append(_LANG)


class _Commands(click.Group):
    """Knows its commands by the table above, so that `--help` imports none of them."""

    context_class = HelpContext

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        entry = COMMANDS[cmd_name]
        module = import_module(f"promomsg.cli.commands.{entry.module}")
        # `list` and the like are Python's names: such a command is called as its module.
        command = getattr(module, cmd_name, None) or getattr(module, entry.module)
        assert isinstance(command, click.Command)
        command.epilog = _("Example: {0}").format(entry.example)
        _add_common_options(command)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            name = error.option_name
            if name not in (*_VERBOSE.opts, *_LOG_JSON.opts):
                raise
            raise click.UsageError(
                f"{name} goes behind the command, as in promomsg send {name} FILE"
            ) from None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            meant = nearest(args[0], COMMANDS)
            hint = f"; did you mean {meant}?" if meant else "; promomsg --help lists them"
            raise click.UsageError(f"there is no command {escaped(args[0])!r}{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])


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
    """Promotional messages to WeChat promoters and to wallet users: one result per recipient."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        return WRONG
    return 0


cli.params.append(_LANG)


def run(argv: list[str]) -> int:
    """Runs one command; whatever goes wrong is one line on stderr and an exit status."""
    language = language_for(argv, os.environ)
    speak(language)
    if language == "en":
        return _run(argv)
    from promomsg.cli.output.log_lines import translated_warnings

    try:
        with translated_warnings():
            return _run(argv)
    finally:
        speak("en")


def _run(argv: list[str]) -> int:
    command = next((at for at, word in enumerate(argv) if word in COMMANDS), len(argv))
    debug = "--debug" in argv[:command]
    try:
        result: Any = cli.main(argv, prog_name="promomsg", standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, click.Abort):
        return _complain(_("interrupted"), INTERRUPTED)
    except click.ClickException as error:
        return _complain(error.format_message(), WRONG)
    except BrokenPipeError:
        return WRONG  # the reader of an --output that is a pipe has gone
    except Exception as error:  # noqa: BLE001 - whatever it is: one line, no secrets
        return _failed(only_error(error), debug)
    return result if isinstance(result, int) else 0


def _failed(error: BaseException, debug: bool) -> int:
    if debug:
        import traceback

        traceback.print_exception(error)  # without locals, which may hold a token
    return _complain(line_for(error), getattr(error, "exit_status", WRONG))


def _complain(text: str, status: int) -> int:
    one = " ".join(escaped(part) for part in text.splitlines() if part.strip())
    Page(sys.stderr).put(f"promomsg: {translated(one)}", hang=2)
    sys.stderr.flush()
    return status
