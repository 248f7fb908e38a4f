"""A plan and a result as text, and a plan as the document of `--json`."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import IO, TYPE_CHECKING, Any

import msgspec

from promomsg.cli.output.printing import format_time, print_table
from promomsg.cli.output.progress import waiting_text
from promomsg.code_meanings import brief_meaning
from promomsg.control_characters import escaped
from promomsg.durations import format_duration
from promomsg.model import Outcome

if TYPE_CHECKING:
    from promomsg.engine.prepare.plan import Plan, Sample
    from promomsg.engine.schedule.plan_times import PlanTimes

__all__ = [
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
        print(f"  {name:<18}{escaped(value)}", file=out)

    print(escaped(f"{plan.name} · {plan.channel} · {plan.account} · {plan.host}"), file=out)
    put("rows read", f"{plan.rows:,}")
    put("to send to", f"{plan.to_send:,}")
    put("group calls", _groups(plan))
    put("single calls", f"{plan.singles:,}")
    if plan.audience is not None:
        put("audience", plan.audience)
    if plan.not_sent:
        why = ", ".join(f"{number:,} {code}" for code, number in sorted(plan.not_sent.items()))
        put("will not be sent", f"{sum(plan.not_sent.values()):,} ({why})")
    if plan.to_send:
        put("pace", plan.pace)
        put(
            "time",
            "not limited" if plan.seconds is None else f"about {format_duration(plan.seconds)}",
        )
    if plan.times is not None:
        for name, value in _times(plan.times):
            put(name, value)
    put("journal", journal)
    seen: list[dict[str, str]] = []
    for number, sample in enumerate(plan.samples, 1):
        if sample.fields not in seen:
            seen.append(sample.fields)
            _print_sample(f"message {number}", sample, out)
    if plan.longest is not None and plan.longest.fields not in seen:
        _print_sample("longest message", plan.longest, out)
    for text in (*notices, *plan.notices):
        print(f"  notice: {escaped(text)}", file=out)


def print_rest(plan: Plan, left: int, file: IO[str] | None = None) -> None:
    """What is left of a campaign that is resumed."""
    out = file or sys.stdout
    print(escaped(f"{plan.name} · {plan.channel} · {plan.account} · {plan.host}"), file=out)
    pending = f"{left:,} are pending, " if left else ""
    calls = f"{plan.singles:,} single calls to make ({plan.pace})"
    if plan.groups:
        calls = f"{calls}, group calls: {_groups(plan)}"
    print(f"  {pending}{calls}", file=out)
    if plan.times is not None:
        for name, value in _times(plan.times):
            print(f"  {name}: {escaped(value)}", file=out)
    for text in plan.notices:
        print(f"  notice: {escaped(text)}", file=out)


def _times(times: PlanTimes) -> Iterator[tuple[str, str]]:
    """When it is sent: what it is called, and what it is."""
    from promomsg.hours import format_moment  # for a plan that has times

    now = time.time()
    if times.start_at is not None:
        ahead = times.start_at - now
        yield (
            "starts",
            format_moment(times.start_at, times.zone)
            + (f", in {format_duration(ahead)}" if ahead > 0 else ""),
        )
    if times.hours:
        yield "hours", f"{', '.join(times.hours)} ({times.zone or 'of each recipient'})"
        if times.begins_at is not None and times.begins_at > max(now, times.start_at or 0.0):
            yield "first call", format_moment(times.begins_at, times.zone)
    if times.ends_at is not None:
        yield "ends about", format_moment(round(times.ends_at / 60) * 60, times.zone)
    if times.finish_by is not None:
        yield "to be finished by", format_moment(times.finish_by, times.zone)


def _groups(plan: Plan) -> str:
    if not plan.groups:
        return "0"
    sizes = sorted(set(plan.groups))
    spread = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
    return f"{len(plan.groups):,} (of {spread})"


def _print_sample(title: str, sample: Sample, out: IO[str]) -> None:
    to = f" to {sample.key}" if sample.key else ""
    print(escaped(f"  {title}{to}"), file=out)
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
            print("  will not be sent:", file=out)
        if limit is not None and shown == limit:
            print("    … `promomsg plan` lists them all", file=out)
            return
        shown += 1
        key = outcome.recipient.key or ""
        print(escaped(f"    {key}  {outcome.code}  {outcome.detail}").rstrip(), file=out)


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
        "journal": journal,
        "samples": [sample(s) for s in plan.samples],
        "longest": None if plan.longest is None else sample(plan.longest),
        "notices": [*notices, *plan.notices],
    }


def print_result(document: Mapping[str, Any], host: str, file: IO[str] | None = None) -> None:
    """Where a campaign stands, or how it ended; `host` is where it was sent."""
    out = file or sys.stdout
    state, reason = document["state"], waiting_text(document)
    print(
        escaped(f"{document['campaign']}: {state}" + (f" ({reason})" if reason else "")), file=out
    )
    for name in ("planned", "sent", "failed", "unknown", "skipped", "cancelled", "pending"):
        print(f"  {name:<10}{document[name]:>12,}", file=out)
    if document["by_code"]:
        codes = ", ".join(f"{number:,} {code}" for code, number in document["by_code"].items())
        print(escaped(f"  by code   {codes}"), file=out)
        for code in document["by_code"]:
            if meaning := brief_meaning(code):
                print(escaped(f"    {code}: {meaning}"), file=out)
        print("  what to do: promomsg explain CODE", file=out)
    if document["groups"]:
        _print_groups(document["groups"], out)
    for text in document["warnings"]:
        print(escaped(f"  warning: {text}"), file=out)
    where = f", at {host}" if host else ""
    print(escaped(f"  took {format_duration(document['elapsed_s'])}{where}"), file=out)


def _print_groups(groups: Iterable[Mapping[str, Any]], out: IO[str]) -> None:
    def text(value: object) -> str:
        return "–" if value is None else str(value)

    print_table(
        ("  group", "planned", "percent", "send_cnt", "fail_cnt", "state"),
        (
            (
                f"  {text(g['msg_id'])}",
                text(g["planned"]),
                text(g["percent"]),
                text(g["send_cnt"]),
                text(g["fail_cnt"]),
                text(g["state"]),
            )
            for g in groups
        ),
        file=out,
    )


def outcome_cells(outcome: Outcome) -> tuple[str, ...]:
    """An outcome as the cells of `report`: key, verdict, code, detail, attempts, group, at."""
    return (
        outcome.recipient.key or "",
        outcome.state.value,
        outcome.code,
        outcome.detail,
        str(outcome.attempts),
        outcome.group or "",
        format_time(outcome.at),
    )
