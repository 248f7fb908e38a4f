"""Runs a campaign from the terminal: plan, ask, send, show progress, stop cleanly."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

import anyio
import msgspec

from promomsg.cli.campaign.campaign_values import OnEnd
from promomsg.cli.campaign.on_end import tell
from promomsg.cli.command_errors import SendingCrashed
from promomsg.cli.exit_status import INTERRUPTED, RESUMABLE, WRONG, status_of
from promomsg.cli.interrupts import Interrupts
from promomsg.cli.journal_place import FleetPlace, words_for
from promomsg.cli.language.terminal_language import _
from promomsg.cli.output.live_view import make_view
from promomsg.cli.output.plan_and_result import (
    print_plan,
    print_rest,
    print_result,
    print_rows_left_out,
)
from promomsg.cli.output.printing import print_json, print_to_stderr
from promomsg.cli.output.progress import View
from promomsg.cli.output.standard_streams import drain_streams, in_background
from promomsg.cli.watch_workers import RunResult, watch_workers, who_sends, workers_of
from promomsg.engine.campaign import Campaign
from promomsg.engine.prepare.campaign_start import TokensAreHere
from promomsg.errors import JournalError, PromoError, UsageError
from promomsg.plural import counted

__all__ = ["SendOptions", "plan_and_send", "require_terminal"]

_LOOK_EVERY: Final = 0.2
"""Seconds between two updates of the progress."""
_FEW: Final = 20
"""Rows that will not be sent, shown before asking."""


class SendOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a campaign is run from the terminal.

    Attributes:
        yes: do not ask.
        as_json: one document on stdout, the rest on stderr.
        submit: leave when every call is answered, groups still pending, and when it waits for its start,
            its hours, or the next day.
        resume_with: the command that goes on with it.
        notices: of the campaign file, to be shown with the plan.
        left: of a resumed campaign: how many are pending (0: not known); None for a new one.
        place: its journal, when that is in a database, whose workers may send it.
        alone: what is said when none of them is alive, and this process sends.
        on_end: who is told of the result.
    """

    yes: bool
    as_json: bool
    resume_with: str
    submit: bool = False
    notices: tuple[str, ...] = ()
    left: int | None = None
    on_end: OnEnd | None = None
    place: FleetPlace | None = None
    alone: str = "no worker is alive: this process sends it, and one that is started joins in"


def require_terminal(yes: bool) -> None:
    """Raises UsageError when there is no terminal to ask on and no `--yes`."""
    if not yes and not sys.stdin.isatty():
        raise UsageError(
            "there is no terminal to ask on; add --yes, or look first with `promomsg plan`"
        )


async def plan_and_send(campaign: Campaign, options: SendOptions, interrupts: Interrupts) -> int:
    """Shows the plan, asks, sends; returns the exit status, which no display can change.

    Raises:
        UsageError, JournalError: before anything was sent.
        Interrupted: before anything was sent.
    """
    with in_background():
        try:
            return await _plan_and_send(campaign, options, interrupts)
        finally:
            before = interrupts.asked
            with anyio.CancelScope(shield=True):
                await drain_streams(unless=lambda: interrupts.asked and not before)


async def _plan_and_send(campaign: Campaign, options: SendOptions, interrupts: Interrupts) -> int:
    try:
        plan = await interrupts.unless(campaign.plan())
        out = sys.stderr if options.as_json else sys.stdout
        if options.left is None:
            print_plan(plan, str(campaign.journal or ""), options.notices, out)
            await print_rows_left_out(campaign.not_sent(), limit=_FEW, file=out)
            question = f"send to {counted(plan.to_send, 'recipient')} at {plan.host}?"
        else:
            print_rest(plan, options.left, options.notices, out)
            question = f"go on with the {options.left:,} that are pending, at {plan.host}?"
        if not options.yes:
            await drain_streams(unless=lambda: interrupts.asked)
        if not options.yes and not await interrupts.ask(question):
            await campaign.discard()
            print_to_stderr("nothing was sent")
            return WRONG
        result = await _send(campaign, options, interrupts)
    except BaseException:
        with anyio.CancelScope(shield=True):
            await campaign.discard()
        raise
    if options.as_json:
        print_json(result.document)
    else:
        words = _journal_words(campaign, options) if not result.left else ()
        print_result(result.document, result.host, channel=result.channel, words=words)
    if result.left:
        print_to_stderr(result.left)
    if options.on_end is not None:
        document = {**result.document, "exit_status": result.status}
        await tell(options.on_end, document, print_to_stderr)
    return result.status


def _journal_words(campaign: Campaign, options: SendOptions) -> Sequence[str]:
    """What names its journal on a command line."""
    if options.place is not None:
        return words_for(options.place)
    return (str(campaign.journal),) if campaign.journal else ()


async def _send(campaign: Campaign, options: SendOptions, interrupts: Interrupts) -> RunResult:
    """Leaves a planned campaign to the workers of its database and watches them; where there is none,
    sends it."""
    place = options.place
    if place is None:
        return await drive(campaign, options, interrupts)
    workers = await workers_of(place)
    if not workers:
        print_to_stderr(options.alone)
        return await drive(campaign, options, interrupts)
    try:
        await campaign.hand_over()
    except TokensAreHere:
        print_to_stderr(
            "its recipients' user tokens are in this process only: it is sent here, and not by workers "
            "(they can with PROMOMSG_FLEET_KEY set, here and there)"
        )
        return await drive(campaign, options, interrupts)
    print_to_stderr(who_sends(workers))
    try:
        return await watch_workers(
            place, interrupts, resume_with=options.resume_with, submit=options.submit
        )
    except Exception as error:
        raise SendingCrashed(error, options.resume_with) from error


async def drive(campaign: Campaign, options: SendOptions, interrupts: Interrupts) -> RunResult:
    """Sends a planned campaign to its end, or to the first reason to stop."""
    view = make_view()
    journal_error: PromoError | None = None
    paused = False
    entered = False
    try:
        async with campaign as run:
            entered = True
            paused = await _watch(run, view, options, interrupts)
            view.close()
            if interrupts.asked:
                print_to_stderr(
                    f"stopping: {counted(run.in_flight, 'call is', 'calls are')} in flight; what is in flight finishes; "
                    "Ctrl-C again ends at once"
                )
    except JournalError as error:
        if not entered:
            raise
        journal_error = error
    except Exception as error:
        if not entered:
            raise
        raise SendingCrashed(error, options.resume_with) from error
    finally:
        view.close()
    document = campaign.report.to_dict()
    status = status_of(document)
    if journal_error is not None:
        print_to_stderr(f"promomsg: {journal_error}")
        status = RESUMABLE
    elif interrupts.asked and document["pending"]:
        status = INTERRUPTED
    left = ""
    if document["pending"]:
        why = _("paused" if paused else document["state"])
        few = campaign.report.first
        needs_a_word = few is not None and few.needs_a_word
        go_on = f"{options.resume_with} --approve" if needs_a_word else options.resume_with
        left = f"{why}: {document['pending']:,} are pending; go on with: {go_on}"
    elif interrupts.asked:
        print_to_stderr("interrupted, but everything had been sent: nothing is left to resume")
    return RunResult(document, campaign.report.host, status, campaign.report.channel, left)


async def _watch(run: Campaign, view: View, options: SendOptions, interrupts: Interrupts) -> bool:
    """Waits for the end, an interrupt or a pause; whether it was a pause."""
    failed: list[Exception] = []
    paused = False
    scopes = [anyio.CancelScope() for _ in range(3)]

    def over() -> None:
        for scope in scopes:
            scope.cancel()

    async def until_end() -> None:
        with scopes[0]:
            try:
                await (run.submit() if options.submit else run.wait())
            except PromoError as error:
                failed.append(error)
            over()

    async def until_interrupt() -> None:
        with scopes[1]:
            await interrupts.wait()
            over()

    async def look() -> None:
        nonlocal paused
        with scopes[2]:
            while not paused:
                document = run.progress.to_dict()
                view.show(document, run.in_flight)
                paused = document["state"] == "paused"
                if options.submit and document["state"] == "waiting":
                    break
                await anyio.sleep(0 if paused else _LOOK_EVERY)
            over()

    async with anyio.create_task_group() as tasks:
        for task in (until_end, until_interrupt, look):
            tasks.start_soon(task)
    if failed:
        raise failed[0]
    return paused
