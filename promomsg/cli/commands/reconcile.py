"""`reconcile`: group sends whose answer was lost, looked for at the provider."""

from __future__ import annotations

from pathlib import Path

import click

from promomsg.cli.campaign.campaign_of_journal import Overrides, campaign_of
from promomsg.cli.interrupts import Interrupts, run_async
from promomsg.cli.journal_place import JournalPlace, to_open, words_for
from promomsg.cli.language.terminal_language import _, translated
from promomsg.cli.shared_options import (
    base_url_option,
    file_secrets_option,
    journal_argument,
    json_option,
)

__all__ = ["reconcile"]


@click.command(short_help="Find group sends whose answer was lost.")
@journal_argument
@click.option("--campaign", type=click.Path(path_type=Path), help="The file, when it has moved.")
@base_url_option
@file_secrets_option
@click.option(
    "--adopt", is_flag=True, help="Take over what can only be of this campaign; resume follows it."
)
@json_option
def reconcile(
    journal: JournalPlace,
    campaign: Path | None,
    base_url: str | None,
    allow_file_secrets: bool,
    adopt: bool,
    as_json: bool,
) -> int:
    """Show which messages of the provider match the lost group sends of JOURNAL, and which do not.

    Works from the China-time day after the send. Nothing is ever sent.
    """
    overrides = Overrides(campaign, None, base_url, allow_file_secrets)
    return run_async(lambda interrupts: _reconcile(journal, overrides, adopt, as_json, interrupts))


async def _reconcile(
    journal: JournalPlace,
    overrides: Overrides,
    adopt: bool,
    as_json: bool,
    interrupts: Interrupts,
) -> int:
    from promomsg.cli.campaign.to_engine import open_wechat
    from promomsg.cli.output.printing import (
        command_line,
        finish_output,
        format_time,
        print_json,
        print_line,
        print_table,
        print_to_stderr,
    )
    from promomsg.engine.following.reconcile import reconcile as look
    from promomsg.engine.opened_journal import open_journal

    with open_journal(to_open(journal)) as opened:
        file = campaign_of(journal, opened.record, overrides)
        async with open_wechat(file, "reconcile") as channel:
            matches = await interrupts.unless(look(opened.to_go_on(), channel, adopt=adopt))
    if as_json:
        import msgspec

        print_json({"journal": str(journal), "matches": msgspec.to_builtins(matches)})
        return finish_output()
    if not matches:
        print_line("no group send of this journal lost its answer")
        return finish_output()
    print_table(
        ("group", "members", "sent at", "msg_id", "what"),
        (
            (
                str(m.group),
                str(m.members),
                format_time(m.sent_at),
                m.msg_id or "",
                _("adopted") if m.adopted else translated(m.reason or "") or _("matches"),
            )
            for m in matches
        ),
    )
    if any(m.adopted for m in matches):
        print_to_stderr(f"follow what was adopted: {command_line('resume', *words_for(journal))}")
    elif any(m.msg_id for m in matches):
        print_to_stderr(
            f"take the matches over: {command_line('reconcile', *words_for(journal), '--adopt')}"
        )
    return finish_output()
