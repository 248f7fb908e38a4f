"""`clicks`: what WeChat counted for the messages of one day."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click
import msgspec

from promomsg.cli.campaign.campaign_file import load_account
from promomsg.cli.campaign.campaign_of_journal import Overrides
from promomsg.cli.campaign.campaign_values import AccountFile
from promomsg.cli.interrupts import Interrupts, run_async
from promomsg.cli.journal_place import JournalPlace
from promomsg.cli.output.printing import (
    finish_output,
    format_china_time,
    format_time,
    print_json,
    print_table,
    print_to_stderr,
)
from promomsg.cli.output.terminal_page import Page
from promomsg.cli.shared_options import (
    as_place,
    base_url_option,
    file_secrets_option,
    fleet_option,
    json_option,
)
from promomsg.errors import UsageError

__all__ = ["clicks"]


_OF_A_DAY: Final = "of one day: --campaign FILE --date YYYY-MM-DD --dimension 0 (or 1)"


@click.command(short_help="Show the clicks of a campaign, or of one day.")
@click.argument("journal", callback=as_place, required=False)
@fleet_option
@click.option(
    "--campaign", "file", type=click.Path(path_type=Path),
    help="A campaign file; its account is enough. With JOURNAL: when it has moved.",
)  # fmt: skip
@base_url_option
@file_secrets_option
@click.option("--date", metavar="YYYY-MM-DD", help="The China-time day of the send.")
@click.option(
    "--dimension", type=click.Choice(("0", "1")),
    help="0 by message (group sends only), 1 by message type.",
)  # fmt: skip
@click.option("--msg-type", type=click.IntRange(0), help="Default: the campaign file's.")
@click.option("--msg-id", help="Only this group send (dimension 0).")
@click.option("--begin", type=int, metavar="UNIX", help="Sent from then on (dimension 0).")
@click.option("--end", type=int, metavar="UNIX", help="Sent until then (dimension 0).")
@json_option
def clicks(
    journal: JournalPlace | None,
    file: Path | None,
    base_url: str | None,
    allow_file_secrets: bool,
    as_json: bool,
    **question: Any,
) -> int:
    """Show the clicks on what the campaign in JOURNAL sent: those that are due are asked for and kept with
    it. Or, without JOURNAL, on all messages of the account that were sent on one day: from the day after on,
    for 90 days.
    """
    if journal is not None:
        if any(value is not None for value in question.values()):
            raise UsageError(
                "clicks: a journal knows its own days and messages; leave out the other options"
            )
        from promomsg.cli.clicks_of_journal import show_clicks

        overrides = Overrides(file, None, base_url, allow_file_secrets)
        return run_async(lambda interrupts: show_clicks(journal, overrides, as_json, interrupts))
    if file is None or question["date"] is None or question["dimension"] is None:
        raise UsageError(f"clicks: of a campaign: give its journal; {_OF_A_DAY}")
    campaign = load_account(file, base_url=base_url, file_secrets=allow_file_secrets)
    date = question.pop("date")
    question["dimension"] = int(question["dimension"])
    return run_async(lambda interrupts: _clicks(campaign, date, question, as_json, interrupts))


async def _clicks(
    campaign: AccountFile,
    date: str,
    question: dict[str, Any],
    as_json: bool,
    interrupts: Interrupts,
) -> int:
    from promomsg.cli.campaign.to_engine import open_wechat

    opened = open_wechat(campaign, "clicks")
    if question["msg_type"] is None:
        question["msg_type"] = campaign.msg_type
    if question["msg_type"] is None:
        raise UsageError(f"clicks: {campaign.path.name} has no [message]; add --msg-type N")
    async with opened as channel:
        rows = await interrupts.unless(channel.get_clicks(date, **question))
    if as_json:
        print_json(
            {
                "date": date,
                "dimension": question["dimension"],
                "clicks": [msgspec.to_builtins(row) for row in rows],
            }
        )
        return finish_output()
    if not rows:
        print_to_stderr("no clicks of that day; a message that nobody clicked may not be listed")
        return 0

    def text(value: object) -> str:
        return "" if value is None else str(value)

    # On a terminal in the time by which the day was asked for.
    in_china = Page().columns is not None
    print_table(
        (
            "msg_id",
            "sent at (China time)" if in_china else "sent at",
            "msg_type",
            "people",
            "clicks",
        ),
        (
            (
                text(r.msg_id),
                format_china_time(r.send_time) if in_china else format_time(r.send_time),
                text(r.msg_type),
                text(r.click_uv),
                text(r.click_pv),
            )
            for r in rows
        ),
    )
    return finish_output()
