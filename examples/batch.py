"""Send one message to a CSV file of promoters: start it again to go on where it stopped.

    WECHAT_SECRET=… python examples/batch.py promoters.csv --appid wx0123456789

The journal beside the CSV decides: without one a campaign is planned and sent, with one it is gone
on with, and nobody is sent to twice. Whoever was not reached is in `--failures`, as it happens.
Exit status: 0 all sent, 1 wrong use, 3 some failed, 4 some unknown, 5 not finished, 130 interrupted
(5 and 130: start it again).
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import promomsg
from promomsg import Outcome, Report, State

MESSAGE = promomsg.WeChatMessage(
    msg_type=1,
    content={
        "title": "今日优惠活动",
        "topic": "双十一大促",
        "desc": "{name|客官},三件五折",
        "date": "2022/10/28",
    },
    path="pages/index/index",
)
COLUMNS = ("key", "state", "code", "detail", "attempts", "group")
NOT_REACHED = (State.FAILED, State.UNKNOWN, State.CANCELLED)


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line's."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("recipients", type=Path, help="CSV: id (or openid), name, …")
    parser.add_argument("--appid", required=True)
    parser.add_argument("--secret-env", default="WECHAT_SECRET", metavar="NAME")
    parser.add_argument("--base-url", default="https://api.weixin.qq.com")
    parser.add_argument("--journal", type=Path, help="default: beside the CSV")
    parser.add_argument("--failures", type=Path, default=Path("failures.csv"))
    parser.add_argument("--per-second", type=float, help="default: what the account's quota says")
    parser.add_argument("--first-look", type=float, default=60, metavar="SECONDS")
    return parser.parse_args(argv)


def failure_row(outcome: Outcome) -> tuple[Any, ...]:
    """One line of the failures file."""
    return (
        outcome.recipient.key,
        outcome.state.value,
        outcome.code,
        outcome.detail,
        outcome.attempts,
        outcome.group or "",
    )


def write_failures(path: Path, outcomes: Iterable[Outcome]) -> None:
    """Writes the failures file anew from the journal: complete also after a run that was killed."""
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(failure_row(o) for o in outcomes if o.state in NOT_REACHED)


async def send(args: argparse.Namespace) -> Report:
    """Begins the campaign, or goes on with it, and streams who was not reached into the file."""
    secret = os.environ.get(args.secret_env)
    if not secret:
        raise promomsg.UsageError(f"{args.secret_env} is not set; put the appsecret there")
    journal = args.journal or args.recipients.with_suffix(".db")
    pace = promomsg.Pace(singles_per_second=args.per_second) if args.per_second else None
    poll = promomsg.PollPolicy(first_after=args.first_look)
    recipients = promomsg.read_csv(args.recipients)
    async with promomsg.WeChatPromoter(
        args.appid, secret, base_url=args.base_url, pace=pace
    ) as wechat:
        if journal.exists():
            # Given again, the list and the message are checked against the journal's.
            campaign = promomsg.Campaign.resume(
                journal, wechat, recipients=recipients, message=MESSAGE, poll=poll
            )
        else:
            campaign = promomsg.Campaign(
                wechat, MESSAGE, recipients, name=journal.stem, journal=journal, poll=poll
            )
        async with campaign as run:
            with args.failures.open("w", newline="", encoding="utf-8-sig") as file:
                writer = csv.writer(file)
                writer.writerow(COLUMNS)
                async for outcome in run:
                    if outcome.state in NOT_REACHED:
                        writer.writerow(failure_row(outcome))
                        file.flush()
    write_failures(args.failures, run.report.outcomes())
    return run.report


def exit_status(report: Report) -> int:
    """The exit status, the same as `promomsg send` has."""
    if report.pending:
        return 5
    if report.unknown:
        return 4
    return 3 if report.failed or report.cancelled else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the script; returns the exit status."""
    args = parse_arguments(argv)
    try:
        report = asyncio.run(send(args))
    except promomsg.JournalError as error:
        print(f"batch: {error}", file=sys.stderr)
        return 5
    except promomsg.PromoError as error:
        print(f"batch: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        # Leaving the campaign's block let the calls in flight finish; the rest is pending.
        print("batch: interrupted; start it again to go on", file=sys.stderr)
        return 130
    print(report)
    for warning in report.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if report.pending:
        print(f"batch: {report.state}: {report.reason}; start it again to go on", file=sys.stderr)
    return exit_status(report)


if __name__ == "__main__":
    sys.exit(main())
