"""A plan and a result as text, and a plan as the document of `--json`."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any, Final

import msgspec

from promomsg.channels.installed import text_of_code
from promomsg.cli.language.terminal_language import _, translated
from promomsg.cli.language.wide_text import padded, width
from promomsg.cli.output.next_steps import put_next_steps
from promomsg.cli.output.printing import format_time, print_table, shown_count, shown_duration
from promomsg.cli.output.progress import waiting_text
from promomsg.cli.output.terminal_page import Page, style_of_count, style_of_word
from promomsg.control_characters import escaped
from promomsg.model import Outcome

if TYPE_CHECKING:
    from promomsg.engine.prepare.plan import Plan, PlannedFirst, Sample
    from promomsg.engine.schedule.plan_times import PlanTimes

__all__ = [
    "first_line",
    "outcome_cells",
    "plan_document",
    "print_codes",
    "print_plan",
    "print_rest",
    "print_result",
    "print_rows_left_out",
]

_VALUES: Final = 20
"""The column at which a plan's values begin."""
_NO_MEANING: Final = "not described: the report has the provider's own words"


def print_plan(
    plan: Plan, journal: str, notices: Iterable[str] = (), file: IO[str] | None = None
) -> None:
    """What is about to be done; `notices` are of the campaign file."""
    page = Page(file)

    def put(name: str, value: str) -> None:
        page.field(name, escaped(translated(value)), at=_VALUES)

    _put_title(page, plan)
    put(_("rows read"), f"{plan.rows:,}")
    put(_("to send to"), f"{plan.to_send:,}")
    put(_("group calls"), _groups(plan))
    put(_("single calls"), f"{plan.singles:,}")
    if plan.audience is not None:
        put(_("audience"), plan.audience)
    if plan.not_sent:
        _put_not_sent(page, plan)
    if plan.to_send:
        put(_("pace"), plan.pace)
        put(_("time"), _time_in_words(plan))
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
            _print_sample(number, sample, page)
    if plan.longest is not None and plan.longest.fields not in seen:
        _print_sample(None, plan.longest, page)
    for text in (*notices, *plan.notices):
        _put_notice(page, _("notice"), text)


def _put_title(page: Page, plan: Plan) -> None:
    parts = (plan.name, plan.channel, plan.account, plan.host)
    page.put(escaped(" · ".join(parts)), hang=2, style="strong")


def _put_notice(page: Page, word: str, text: str) -> None:
    style = "doubt" if word == _("warning") else ""
    page.put(f"{word}: {escaped(translated(text))}", indent=2, hang=2, style=style, head=word)


def _put_not_sent(page: Page, plan: Plan) -> None:
    """How many rows get nothing and why; on a terminal with what each code means."""
    number = f"{sum(plan.not_sent.values()):,}"
    if page.columns is None:
        why = ", ".join(f"{count:,} {code}" for code, count in sorted(plan.not_sent.items()))
        page.field(_("will not be sent"), escaped(_("{0} ({1})").format(number, why)), at=_VALUES)
        return
    page.field(_("will not be sent"), number, at=_VALUES)
    _put_codes(page, plan.not_sent, plan.channel)


def _put_codes(page: Page, by_code: Mapping[str, int], channel: str) -> None:
    """A line a code, the most frequent first: how many, the code, what it means."""
    numbers = max(len(f"{number:,}") for number in by_code.values())
    codes = min(max(width(escaped(code)) for code in by_code), 24)
    for code, number in sorted(by_code.items(), key=lambda item: -item[1]):
        meaning = text_of_code(channel, code) or _NO_MEANING
        name = f"{number:>{numbers},} {escaped(code)}"
        page.field(name, escaped(translated(meaning)), at=4 + numbers + 1 + codes + 2, indent=4)


def _first_in_words(first: PlannedFirst, to_send: int) -> str:
    """`20 of 1,000, then a look for 10 min 00 s (stops above 10%)`."""
    text = _("{0:,} of {1:,}, then a look for {2} (stops above {3})")
    share = f"{100 * first.stop_above:.3g}%"
    return text.format(first.planned, to_send, shown_duration(first.wait), share)


def print_rest(
    plan: Plan, left: int, notices: Iterable[str] = (), file: IO[str] | None = None
) -> None:
    """What is left of a campaign that is resumed; `notices` are of its campaign file."""
    page = Page(file)
    _put_title(page, plan)
    parts = [_("{0:,} are pending").format(left)] if left else []
    if plan.singles:
        pace = translated(plan.pace)
        parts.append(_("{0} to make ({1})").format(shown_count(plan.singles, "single call"), pace))
    elif not plan.groups:
        parts.append(_("no call is left to make"))
    if plan.groups:
        parts.append(_("group calls: {0}").format(_groups(plan)))
    page.put(_(", ").join(parts), indent=2, hang=2)
    if plan.times is not None:
        for name, value in _times(plan.times):
            page.put(f"{name}: {escaped(value)}", indent=2, hang=2)
    for text in (*notices, *plan.notices):
        _put_notice(page, _("notice"), text)


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


def _print_sample(number: int | None, sample: Sample, page: Page) -> None:
    """One message as it would be sent; without a number, the longest one."""
    if number is None:
        title = _("longest message to {0}") if sample.key else _("longest message")
        title = title.format(sample.key)
    else:
        title = _("message {0} to {1}") if sample.key else _("message {0}")
        title = title.format(number, sample.key)
    page.put(escaped(title), indent=2, hang=2)
    for name, text in sample.fields.items():
        page.put(escaped(f"{name}: {text}"), indent=4, hang=2)


async def print_rows_left_out(
    rows: AsyncIterator[Outcome], *, limit: int | None, file: IO[str] | None = None
) -> None:
    """Every row that will not be sent and why; with a limit, the first ones."""
    page = Page(file)
    shown = 0
    async for outcome in rows:
        if shown == 0:
            page.put(f"{_('will not be sent')}:", indent=2)
        if limit is not None and shown == limit:
            page.put(_("… `promomsg plan` lists them all"), indent=4)
            return
        shown += 1
        key = outcome.recipient.key or ""
        detail = translated(outcome.detail)
        page.put(escaped(f"{key}  {outcome.code}  {detail}").rstrip(), indent=4, hang=2)


def _time_in_words(plan: Plan) -> str:
    """How long the calls take: `about 20 s`, or `at least 4 China-time days; of calls about 20 s`."""
    calls = _("not limited")
    if plan.seconds is not None:
        calls = _("about {0}").format(shown_duration(max(plan.seconds, 1.0)))
    if plan.days == 1:
        return calls
    return _("at least {0:,} China-time days; of calls {1}").format(plan.days, calls)


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
        "days": plan.days,
        "times": None if plan.times is None else msgspec.structs.asdict(plan.times),
        "first": None if plan.first is None else msgspec.structs.asdict(plan.first),
        "journal": journal,
        "samples": [sample(s) for s in plan.samples],
        "longest": None if plan.longest is None else sample(plan.longest),
        "notices": [*notices, *plan.notices],
    }


def print_result(
    document: Mapping[str, Any],
    host: str,
    file: IO[str] | None = None,
    *,
    channel: str,
    words: Sequence[str] = (),
) -> None:
    """Where a campaign stands, or how it ended.

    Args:
        host: where it was sent, over `channel`.
        words: what names its journal on a command line: on a terminal what to do next is said at the end.
    """
    page = Page(file)
    state, reason = document["state"], waiting_text(document)
    text = _("{0} ({1})").format(_(state), reason) if reason else _(state)
    name = escaped(document["campaign"])
    head = f"{name}: {_(state)}"
    page.put(f"{name}: {escaped(text)}", hang=2, style=style_of_word(state), head=head)
    for name in ("planned", "sent", "failed", "unknown", "skipped", "cancelled", "pending"):
        line = f"{padded(_(name), 10)}{document[name]:>12,}"
        page.put(line, indent=2, style=style_of_count(name, document[name]))
    if document["by_code"]:
        _put_by_code(page, document["by_code"], channel)
    if "first" in document:
        followed = document["first"]["phase"] == "passed" and not document["pending"]
        page.put(first_line(document["first"], followed=followed), indent=2, hang=2)
    if document["groups"]:
        _print_groups(document["groups"], page.file)
    for text in document["warnings"]:
        _put_notice(page, _("warning"), text)
    took = _("took {0}, at {1}") if host else _("took {0}")
    page.put(escaped(took.format(shown_duration(document["elapsed_s"]), host)), indent=2, hang=2)
    if words and page.columns is not None:
        put_next_steps(page, document, words)


def print_codes(by_code: Mapping[str, int], channel: str, file: IO[str] | None = None) -> None:
    """How many have which code, and what each means, as at the end of a result."""
    _put_by_code(Page(file), by_code, channel)


def _put_by_code(page: Page, by_code: Mapping[str, int], channel: str) -> None:
    if page.columns is None:
        codes = ", ".join(f"{number:,} {code}" for code, number in by_code.items())
        page.field(_("by code"), escaped(codes), at=12)
        for code in by_code:
            if meaning := text_of_code(channel, code):
                page.put(escaped(f"{code}: {translated(meaning)}"), indent=4)
    else:
        page.put(_("by code"), indent=2)
        _put_codes(page, by_code, channel)
    page.put(_("what to do: promomsg explain CODE"), indent=2)


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

    def number(value: int | None) -> str:
        return "–" if value is None else f"{value:,}"

    print_table(
        ("group", "planned", "percent", "send_cnt", "fail_cnt", "state"),
        (
            (
                text(g["msg_id"]),
                number(g["planned"]),
                text(g["percent"]),
                number(g["send_cnt"]),
                number(g["fail_cnt"]),
                _(text(g["state"])),
            )
            for g in groups
        ),
        file=out,
        indent=2,
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
