"""`follow`, `clicks` and `promoters`: what WeChat says of sends and of people, without a campaign."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from promomsg.cli.campaign.campaign_file import AccountFile, load_account
from promomsg.cli.interrupts import Interrupted, Interrupts, run_async
from promomsg.cli.printing import (
    finish_output,
    format_time,
    print_json,
    print_line,
    print_note,
    print_table,
)
from promomsg.errors import NotFinished, UsageError

__all__ = ["clicks", "follow", "promoters"]

_campaign = click.option(
    "--campaign", "file", type=click.Path(path_type=Path), required=True,
    help="A campaign file; its account is enough.",
)  # fmt: skip
_base_url = click.option("--base-url", metavar="URL", help="Instead of the campaign file's own.")
_file_secrets = click.option(
    "--allow-file-secrets", is_flag=True, help="Secrets may lie outside of the file's folder."
)
_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


@click.command(short_help="Follow one group send, by its msg_id, until it is done.")
@click.argument("msg_id")
@_campaign
@_base_url
@_file_secrets
@_json
def follow(
    msg_id: str, file: Path, base_url: str | None, allow_file_secrets: bool, as_json: bool
) -> int:
    """Poll the group send MSG_ID until it is through, and list whom it did not reach.

    Exit status: 0 everybody was reached, 3 with failures, 5 not through yet.
    """
    campaign = load_account(file, base_url=base_url, file_secrets=allow_file_secrets)
    return run_async(lambda interrupts: _follow(msg_id, campaign, as_json, interrupts))


async def _follow(msg_id: str, campaign: AccountFile, as_json: bool, interrupts: Interrupts) -> int:
    from promomsg.cli.campaign.to_engine import open_wechat
    from promomsg.cli.exit_status import ALL_SENT, FAILURES, RESUMABLE

    poll = campaign.poll
    async with open_wechat(campaign, "follow") as channel:
        print_note(f"following group {msg_id}, a look every {poll.every:g} s at the most")
        try:
            found = await interrupts.unless(channel.follow(msg_id, poll=poll))
        except NotFinished as error:
            print_note(f"promomsg: {error}")
            return RESUMABLE
        except Interrupted:
            raise Interrupted("interrupted; ask again with the same command") from None
    if as_json:
        print_json(
            {
                "msg_id": found.msg_id,
                "percent": found.percent,
                "send_cnt": found.send_cnt,
                "fail_cnt": found.fail_cnt,
                "failures": [{"id": f.id, "code": f.code} for f in found.failures],
                "warnings": list(found.warnings),
            }
        )
    else:
        print_line(
            f"group {found.msg_id}: percent {found.percent}, send_cnt {found.send_cnt}, "
            f"fail_cnt {found.fail_cnt}"
        )
        if found.failures:
            print_table(("id", "code"), ((f.id, f.code) for f in found.failures))
        for warning in found.warnings:
            print_line(f"warning: {warning}")
    return FAILURES if found.failures or found.fail_cnt else ALL_SENT


@click.command(short_help="Show the clicks of one day.")
@_campaign
@_base_url
@_file_secrets
@click.option("--date", required=True, metavar="YYYY-MM-DD", help="The China-time day of the send.")
@click.option(
    "--dimension", type=click.Choice(("0", "1")), required=True,
    help="0 by message (group sends only), 1 by message type.",
)  # fmt: skip
@click.option("--msg-type", type=click.IntRange(0), help="Default: the campaign file's.")
@click.option("--msg-id", help="Only this group send (dimension 0).")
@click.option("--begin", type=int, metavar="UNIX", help="Sent from then on (dimension 0).")
@click.option("--end", type=int, metavar="UNIX", help="Sent until then (dimension 0).")
@_json
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
        raise UsageError(f"clicks: {campaign.path.name} has no [message]; say --msg-type N")
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
        print_note("no clicks of that day; a message that nobody clicked may not be listed")
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


PROMOTER_COLUMNS: Final = (
    "id", "openid", "unionid", "role_id", "retail_id", "name", "phone", "auth_status",
    "decl_status", "update_time", "extra_info",
)  # fmt: skip


@click.command(short_help="Download the list of promoters as a CSV file.")
@_campaign
@_base_url
@_file_secrets
@click.option("--output", type=click.Path(path_type=Path), required=True, help="The CSV file.")
@click.option("--role", type=click.IntRange(0), help="Only with this role id.")
@click.option("--retailer", help="Only of this retailer.")
@click.option("--auth-status", type=click.IntRange(0, 2), help="1 authorised, 0 not, 2 cancelled.")
@click.option("--begin", type=int, metavar="UNIX", help="Updated from then on.")
@click.option("--end", type=int, metavar="UNIX", help="Updated until then.")
def promoters(
    file: Path,
    base_url: str | None,
    allow_file_secrets: bool,
    output: Path,
    role: int | None,
    retailer: str | None,
    auth_status: int | None,
    begin: int | None,
    end: int | None,
) -> int:
    """Pull every promoter (or those of a role or retailer) into a CSV file that send can read.

    Interrupted, the same command goes on behind the last id of the partial file.
    """
    if os.path.lexists(output):
        raise UsageError(f"{output} is there already and is not overwritten; give another --output")
    campaign = load_account(file, base_url=base_url, file_secrets=allow_file_secrets)
    asked = {
        "role_id": role,
        "retail_id": retailer,
        "auth_status": auth_status,
        "begin_time": begin,
        "end_time": end,
    }
    filters = {name: value for name, value in asked.items() if value is not None}
    return run_async(lambda interrupts: _promoters(campaign, output, filters, interrupts))


async def _promoters(
    campaign: AccountFile, output: Path, filters: dict[str, Any], interrupts: Interrupts
) -> int:
    from promomsg.cli.campaign.to_engine import open_wechat
    from promomsg.cli.resumable_csv import PartialCsv

    async with open_wechat(campaign, "promoters") as channel:
        with PartialCsv(output, PROMOTER_COLUMNS, filters) as partial:
            if partial.last_id is not None:
                print_note(
                    f"going on behind {partial.last_id}, {partial.rows:,} promoters are there"
                )
                filters["start_id"] = partial.last_id

            async def pull() -> None:
                async for promoter in channel.iter_promoters(**filters, need_unionid=1):
                    partial.add([getattr(promoter, name) for name in PROMOTER_COLUMNS])

            try:
                await interrupts.unless(pull())
            except Interrupted:
                raise Interrupted(
                    f"interrupted after {partial.rows:,} promoters; the same command goes on"
                ) from None
            partial.finish()
    print_note(f"{partial.rows:,} promoters: {output}")
    return 0
