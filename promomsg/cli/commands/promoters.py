"""`promoters`: the list of promoters, downloaded into a CSV file that `send` can read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import click

from promomsg.cli.campaign.campaign_file import load_account
from promomsg.cli.campaign.campaign_values import AccountFile
from promomsg.cli.command_errors import Interrupted
from promomsg.cli.interrupts import Interrupts, run_async
from promomsg.cli.output.printing import print_to_stderr
from promomsg.cli.shared_options import account_file_option, base_url_option, file_secrets_option
from promomsg.errors import UsageError

__all__ = ["promoters"]


PROMOTER_COLUMNS: Final = (
    "id", "openid", "unionid", "role_id", "retail_id", "name", "phone", "auth_status",
    "decl_status", "update_time", "extra_info",
)  # fmt: skip


@click.command(short_help="Download the list of promoters as a CSV file.")
@account_file_option
@base_url_option
@file_secrets_option
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
    """Download every promoter (or those of a role or retailer) into a CSV file that send can read.

    Interrupted, the same command continues after the last id of the partial file.
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
    from promomsg.cli.output.resumable_csv import PartialCsv

    async with open_wechat(campaign, "promoters") as channel:
        with PartialCsv(output, PROMOTER_COLUMNS, filters) as partial:
            if partial.last_id is not None:
                print_to_stderr(
                    f"continuing after {partial.last_id}: {partial.rows:,} promoters are there already"
                )
                filters["start_id"] = partial.last_id

            async def download() -> None:
                async for promoter in channel.iter_promoters(**filters, need_unionid=1):
                    partial.add([getattr(promoter, name) for name in PROMOTER_COLUMNS])

            try:
                await interrupts.unless(download())
            except Interrupted:
                raise Interrupted(
                    f"interrupted after {partial.rows:,} promoters; the same command goes on"
                ) from None
            partial.finish()
    print_to_stderr(f"{partial.rows:,} promoters: {output}")
    return 0
