"""`follow`: one group send of WeChat followed to its end, without a campaign."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from promomsg.cli.campaign.campaign_file import load_account
from promomsg.cli.campaign.campaign_values import AccountFile
from promomsg.cli.command_errors import CommandError, Interrupted
from promomsg.cli.interrupts import Interrupts, run_async
from promomsg.cli.output.plan_and_result import print_codes
from promomsg.cli.output.printing import print_json, print_line, print_table, print_to_stderr
from promomsg.cli.shared_options import (
    account_file_option,
    base_url_option,
    file_secrets_option,
    json_option,
)
from promomsg.errors import NotFinished

__all__ = ["follow"]


@click.command(short_help="Follow one group send, by its msg_id, until it is done.")
@click.argument("msg_id")
@account_file_option
@base_url_option
@file_secrets_option
@json_option
def follow(
    msg_id: str, file: Path, base_url: str | None, allow_file_secrets: bool, as_json: bool
) -> int:
    """Poll the group send MSG_ID until it is complete, and list whom it did not reach.

    Exit status: 0 everybody was reached, 3 with failures, 5 not complete yet.
    """
    campaign = load_account(file, base_url=base_url, file_secrets=allow_file_secrets)
    return run_async(lambda interrupts: _follow(msg_id, campaign, as_json, interrupts))


async def _follow(msg_id: str, campaign: AccountFile, as_json: bool, interrupts: Interrupts) -> int:
    from promomsg.cli.campaign.to_engine import open_wechat
    from promomsg.cli.exit_status import ALL_SENT, FAILURES, RESUMABLE

    poll = campaign.poll
    async with open_wechat(campaign, "follow") as channel:
        print_to_stderr(f"following group {msg_id}, polled at least every {poll.every:g} s")
        try:
            found = await interrupts.unless(channel.follow(msg_id, poll=poll))
        except NotFinished as error:
            raise CommandError(str(error), RESUMABLE) from None
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
            print_codes(Counter(f.code for f in found.failures), "wechat")
        for warning in found.warnings:
            print_line(f"warning: {warning}")
    return FAILURES if found.failures or found.fail_cnt else ALL_SENT
