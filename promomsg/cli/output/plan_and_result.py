"""A plan and a result as text, and a plan as the document of `--json`."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import IO, TYPE_CHECKING, Any, Final

import msgspec

from promomsg.channels.installed import text_of_code
from promomsg.cli.language.terminal_language import _, translated
from promomsg.cli.language.wide_text import padded
from promomsg.cli.output.printing import format_time, print_table, shown_duration
from promomsg.cli.output.progress import waiting_text
from promomsg.control_characters import escaped
from promomsg.model import Outcome

if TYPE_CHECKING:
    from promomsg.engine.prepare.plan import Plan, PlannedFirst, Sample
    from promomsg.engine.schedule.plan_times import PlanTimes

__all__ = [
    "first_line",
    "outcome_cells",
    "plan_document",
    "print_plan",
    "print_rest",
    "print_result",
    "print_rows_left_out",
]


def print_plan(
    plan: Plan, journal: str, notices: Iterable[str] = (), file: IO[str] | None = None
) -> None:
    """What is about to be done; `notices` are of the campaign file."""
    out = file or sys.stdout

    def put(name: str, value: str) -> None:
        print(f"  {padded(name, 18)}{escaped(translated(value))}", file=out)

    print(escaped(f"{plan.name} · {plan.channel} · {plan.account} · {plan.host}"), file=out)
    put(_("rows read"), f"{plan.rows:,}")
    put(_("to send to"), f"{plan.to_send:,}")
    put(_("group calls"), _groups(plan))
    put(_("single calls"), f"{plan.singles:,}")
    if plan.audience is not None:
        put(_("audience"), plan.audience)
    if plan.not_sent:
        why = ", ".join(f"{number:,} {code}" for code, number in sorted(plan.not_sent.items()))
        put(_("will not be sent"), _("{0:,} ({1})").format(sum(plan.not_sent.values()), why))
    if plan.to_send:
        put(_("pace"), plan.pace)
        put(
            _("time"),
            _("not limited")
            if plan.seconds is None
            else _("about {0}").format(shown_duration(plan.seconds)),
        )
    if plan.times is not None:
        for name, value in _times(plan.times):
            put(name, value)
    if plan.first is not None:
        put(_("first"), _first_in_words(plan.first, plan.to_send))
        if plan.first.ask:
            put(_("the others"), _("wait for `promomsg resume --approve`"))
    put(_("journal"), journal)
    seen: list[dict[str, str]] = []
    for number, sample in enumerate(plan.samples, 1):
        if sample.fields not in seen:
            seen.append(sample.fields)
            _print_sample(number, sample, out)
    if plan.longest is not None and plan.longest.fields not in seen:
        _print_sample(None, plan.longest, out)
    for text in (*notices, *plan.notices):
        print(f"  {_('notice')}: {escaped(translated(text))}", file=out)


def _first_in_words(first: PlannedFirst, to_send: int) -> str:
    """`20 of 1,000, then a look for 10 min 00 s (stops above 10%)`."""
    text = _("{0:,} of {1:,}, then a look for {2} (stops above {3})")
    share = f"{100 * first.stop_above:.3g}%"
    return text.format(first.planned, to_send, shown_duration(first.wait), share)


def print_rest(plan: Plan, left: int, file: IO[str] | None = None) -> None:
    """What is left of a campaign that is resumed."""
    out = file or sys.stdout
    print(escaped(f"{plan.name} · {plan.channel} · {plan.account} · {plan.host}"), file=out)
    parts = [_("{0:,} are pending").format(left)] if left else []
    pace = translated(plan.pace)
    parts.append(_("{0:,} single calls to make ({1})").format(plan.singles, pace))
    if plan.groups:
        parts.append(_("group calls: {0}").format(_groups(plan)))
    print(f"  {_(', ').join(parts)}", file=out)
    if plan.times is not None:
        for name, value in _times(plan.times):
            print(f"  {name}: {escaped(value)}", file=out)
    for text in plan.notices:
        print(f"  {_('notice')}: {escaped(translated(text))}", file=out)


def _times(times: PlanTimes) -> Iterator[tuple[str, str]]:
    """When it is sent: what it is called, and what it is."""
    from promomsg.hours import format_moment  # for a plan that has times

    now = time.time()
    if times.start_at is not None:
        ahead = times.start_at - now
        at = format_moment(times.start_at, times.zone)
        if ahead > 0:
            at = _("{0}, in {1}").format(at, shown_duration(ahead))
        yield _("starts"), at
    if times.hours:
        whose = times.zone or _("of each recipient")
        if times.zones and times.zone:
            whose = _("of each recipient's zone, else {0}").format(times.zone)
        yield _("hours"), f"{', '.join(times.hours)} ({whose})"
        if times.begins_at is not None and times.begins_at > max(now, times.start_at or 0.0):
            yield _("first call"), format_moment(times.begins_at, times.zone)
    if times.ends_at is not None:
        yield _("ends about"), format_moment(round(times.ends_at / 60) * 60, times.zone)
    if times.finish_by is not None:
        yield _("to be finished by"), format_moment(times.finish_by, times.zone)


def _groups(plan: Plan) -> str:
    if not plan.groups:
        return "0"
    sizes = sorted(set(plan.groups))
    one_size = _("{0:,} (of {1:,})")
    spread = one_size if len(sizes) == 1 else _("{0:,} (of {1:,} to {2:,})")
    return spread.format(len(plan.groups), sizes[0], sizes[-1])


def _print_sample(number: int | None, sample: Sample, out: IO[str]) -> None:
    """One message as it would be sent; without a number, the longest one."""
    if number is None:
        title = _("longest message to {0}") if sample.key else _("longest message")
        title = title.format(sample.key)
    else:
        title = _("message {0} to {1}") if sample.key else _("message {0}")
        title = title.format(number, sample.key)
    print(escaped(f"  {title}"), file=out)
    for name, text in sample.fields.items():
        print(escaped(f"    {name}: {text}"), file=out)


async def print_rows_left_out(
    rows: AsyncIterator[Outcome], *, limit: int | None, file: IO[str] | None = None
) -> None:
    """Every row that will not be sent and why; with a limit, the first ones."""
    out = file or sys.stdout
    shown = 0
    async for outcome in rows:
        if shown == 0:
            print(f"  {_('will not be sent')}:", file=out)
        if limit is not None and shown == limit:
            print(f"    {_('… `promomsg plan` lists them all')}", file=out)
            return
        shown += 1
        key = outcome.recipient.key or ""
        detail = translated(outcome.detail)
        print(escaped(f"    {key}  {outcome.code}  {detail}").rstrip(), file=out)


def plan_document(plan: Plan, journal: str, notices: Iterable[str] = ()) -> dict[str, Any]:
    """The plan for `--json`; `notices` are of the campaign file."""

    def sample(one: Sample) -> dict[str, Any]:
        return {"key": one.key, "message": one.fields}

    return {
        "campaign": plan.name,
        "channel": plan.channel,
        "account": plan.account,
        "host": plan.host,
        "rows": plan.rows,
        "to_send": plan.to_send,
        "group_calls": len(plan.groups),
        "groups": list(plan.groups),
        "single_calls": plan.singles,
        "audience": plan.audience,
        "not_sent": dict(sorted(plan.not_sent.items())),
        "pace": plan.pace,
        "seconds": plan.seconds,
        "times": None if plan.times is None else msgspec.structs.asdict(plan.times),
        "first": None if plan.first is None else msgspec.structs.asdict(plan.first),
        "journal": journal,
        "samples": [sample(s) for s in plan.samples],
        "longest": None if plan.longest is None else sample(plan.longest),
        "notices": [*notices, *plan.notices],
    }


def print_result(
    document: Mapping[str, Any], host: str, file: IO[str] | None = None, *, channel: str
) -> None:
    """Where a campaign stands, or how it ended; `host` is where it was sent, over `channel`."""
    out = file or sys.stdout
    state, reason = _(document["state"]), waiting_text(document)
    if reason:
        state = _("{0} ({1})").format(state, reason)
    print(escaped(f"{document['campaign']}: {state}"), file=out)
    for name in ("planned", "sent", "failed", "unknown", "skipped", "cancelled", "pending"):
        print(f"  {padded(_(name), 10)}{document[name]:>12,}", file=out)
    if document["by_code"]:
        codes = ", ".join(f"{number:,} {code}" for code, number in document["by_code"].items())
        print(escaped(f"  {padded(_('by code'), 10)}{codes}"), file=out)
        for code in document["by_code"]:
            if meaning := text_of_code(channel, code):
                print(escaped(f"    {code}: {translated(meaning)}"), file=out)
        print(f"  {_('what to do: promomsg explain CODE')}", file=out)
    if "first" in document:
        followed = document["first"]["phase"] == "passed" and not document["pending"]
        print(f"  {first_line(document['first'], followed=followed)}", file=out)
    if document["groups"]:
        _print_groups(document["groups"], out)
    for text in document["warnings"]:
        print(escaped(f"  {_('warning')}: {translated(text)}"), file=out)
    took = _("took {0}, at {1}") if host else _("took {0}")
    took = took.format(shown_duration(document["elapsed_s"]), host)
    print(escaped(f"  {took}"), file=out)


_PHASES: Final = {
    "sending": "they are sent to, and the others wait",
    "waiting": "they are looked at, and the others wait",
    "stopped": "too many were not sent: the others wait for `resume --approve`",
    "asking": "the others wait for `resume --approve`",
    "passed": "the others follow",
}
_FOLLOWED: Final = "the others followed"


def first_line(first: Mapping[str, Any], *, followed: bool = False) -> str:
    """How the first few stand: `first 20: 13 sent, 7 failed; the others follow`.

    Args:
        followed: whether all of the others are final by now.
    """
    names = ("sent", "failed", "unknown", "skipped", "cancelled", "pending")
    shown = (name for name in names if first[name] or name == "sent")
    counts = _(", ").join(f"{first[name]:,} {_(name)}" for name in shown)
    return _("first {0:,}: {1}; {2}").format(
        first["planned"], counts, translated(_FOLLOWED if followed else _PHASES[first["phase"]])
    )


def _print_groups(groups: Iterable[Mapping[str, Any]], out: IO[str]) -> None:
    def text(value: object) -> str:
        return "–" if value is None else str(value)

    print_table(
        ("  " + _("group"), "planned", _("percent"), "send_cnt", "fail_cnt", _("state")),
        (
            (
                f"  {text(g['msg_id'])}",
                text(g["planned"]),
                text(g["percent"]),
                text(g["send_cnt"]),
                text(g["fail_cnt"]),
                _(text(g["state"])),
            )
            for g in groups
        ),
        file=out,
    )


def outcome_cells(outcome: Outcome) -> tuple[str, ...]:
    """An outcome as the cells of `report`: key, verdict, code, detail, attempts, group, at; in
    English, for a program and for a person alike."""
    return (
        outcome.recipient.key or "",
        outcome.state.value,
        outcome.code,
        outcome.detail,
        str(outcome.attempts),
        outcome.group or "",
        format_time(outcome.at),
    )
