"""`clicks`: what WeChat counted for the messages of one day."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from promomsg.cli.campaign.campaign_file import load_account
from promomsg.cli.campaign.campaign_values import AccountFile
from promomsg.cli.interrupts import Interrupts, run_async
from promomsg.cli.output.printing import (
    finish_output,
    format_time,
    print_json,
    print_table,
    print_to_stderr,
)
from promomsg.cli.shared_options import (
    account_file_option,
    base_url_option,
    file_secrets_option,
    json_option,
)
from promomsg.errors import UsageError

__all__ = ["clicks"]


@click.command(short_help="Show the clicks of one day.")
@account_file_option
@base_url_option
@file_secrets_option
@click.option("--date", required=True, metavar="YYYY-MM-DD", help="The China-time day of the send.")
@click.option(
    "--dimension", type=click.Choice(("0", "1")), required=True,
    help="0 by message (group sends only), 1 by message type.",
)  # fmt: skip
@click.option("--msg-type", type=click.IntRange(0), help="Default: the campaign file's.")
@click.option("--msg-id", help="Only this group send (dimension 0).")
@click.option("--begin", type=int, metavar="UNIX", help="Sent from then on (dimension 0).")
@click.option("--end", type=int, metavar="UNIX", help="Sent until then (dimension 0).")
@json_option
def clicks(
    file: Path,
    base_url: str | None,
    allow_file_secrets: bool,
    date: str,
    dimension: str,
    msg_type: int | None,
    msg_id: str | None,
    begin: int | None,
    end: int | None,
    as_json: bool,
) -> int:
    """Show the clicks on the messages sent on one day: from the day after on, for 90 days."""
    campaign = load_account(file, base_url=base_url, file_secrets=allow_file_secrets)
    question: dict[str, Any] = {
        "dimension": int(dimension),
        "msg_type": msg_type,
        "msg_id": msg_id,
        "begin": begin,
        "end": end,
    }
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

    print_table(
        ("msg_id", "sent at", "msg_type", "people", "clicks"),
        (
            (
                text(r.msg_id),
                format_time(r.send_time),
                text(r.msg_type),
                text(r.click_uv),
                text(r.click_pv),
            )
            for r in rows
        ),
    )
    return finish_output()
