"""`fanout`: one message to many people, by everybody who could send it."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.child import Sample
from benchmarks.contenders import CONTENDERS, Contender, missing
from benchmarks.result import Chart, Result, Table
from benchmarks.session import Session
from benchmarks.stats import ratios, summary

__all__ = ["run"]

WARM_UP = 500


class _Entry(NamedTuple):
    name: str
    contender: Contender
    loop: str
    messages: int

    def title(self, several: bool) -> str:
        """The contender, with its loop when there are several."""
        if not several or not self.contender.loops:
            return self.contender.title
        return f"{self.contender.title} ({self.loop})"


def run(session: Session) -> Result:
    """Runs it."""
    options = session.options
    result = Result("fanout")
    entries: list[_Entry] = []
    for at, loop in enumerate(options.loops):
        for name, contender in CONTENDERS.items():
            if options.only and name not in options.only:
                continue
            lacking = missing(contender)
            if lacking and at == 0:
                result.notes.append(
                    f"left out: {contender.title} ({', '.join(lacking)} not installed)"
                )
            if lacking or (at and not contender.loops):
                continue
            least = min(options.messages, 200)
            messages = max(least, round(options.messages * contender.share))
            entries.append(_Entry(name, contender, loop, messages))
    taken: dict[_Entry, list[Sample]] = {entry: [] for entry in entries}
    for number in range(1, options.rounds + 1):
        for entry in entries:
            sample = _measure(session, entry)
            taken[entry].append(sample)
            cost = sample.parts["all"].cpu / entry.messages * 1e6
            session.say(f"fanout {number}/{options.rounds} {entry.title(True)}: {cost:.1f} µs CPU")
    _show(result, taken, several=len(options.loops) > 1)
    _judge(result, taken, options.loops[0])
    return result


def _measure(session: Session, entry: _Entry) -> Sample:
    sample = session.measure(
        f"contenders.{entry.contender.module}",
        messages=entry.messages,
        loop=entry.loop,
        warm_up=WARM_UP,
        journal=entry.contender.journal,
        personal=entry.contender.personal,
        tls=entry.contender.tls,
    )
    arrived = session.responder.ask("counts")["singles"]
    planned = entry.messages + min(WARM_UP, entry.messages)
    if arrived != planned:
        raise RuntimeError(f"{entry.name}: {arrived} messages arrived, {planned} were to be sent")
    return sample


def _cpu(entry: _Entry, samples: list[Sample], part: str = "all") -> list[float]:
    return [sample.parts[part].cpu / entry.messages * 1e6 for sample in samples]


def _wall(entry: _Entry, samples: list[Sample], part: str = "all") -> list[float]:
    return [entry.messages / sample.parts[part].wall for sample in samples]


def _show(result: Result, taken: dict[_Entry, list[Sample]], *, several: bool) -> None:
    rows, bars = [], []
    for entry, samples in taken.items():
        title = entry.title(several)
        for part in ("all", "sending"):
            if part not in samples[0].parts:
                continue
            name = title if part == "all" else f"{title}, plan to last result"
            cost = summary(_cpu(entry, samples, part))
            rate = summary(_wall(entry, samples, part))
            peak = summary([sample.peak_mb for sample in samples])
            rows.append(
                [
                    name,
                    f"{entry.messages:,}",
                    f"{cost.median:.1f}",
                    f"{cost.low:.1f} to {cost.high:.1f}",
                    f"{cost.spread:.0%}",
                    f"{1e6 / cost.median:,.0f}",
                    f"{rate.median:,.0f}",
                    f"{peak.median:.0f}",
                ]
            )
            bars.append((name, cost.median, cost.low, cost.high))
            result.samples[f"{name}: CPU µs a message"] = _cpu(entry, samples, part)
            result.samples[f"{name}: messages a second"] = _wall(entry, samples, part)
        result.samples[f"{title}: peak MB"] = [sample.peak_mb for sample in samples]
    result.tables.append(
        Table(
            "Client CPU a message: user and system, all threads, imports outside the clock",
            [
                "contender",
                "messages",
                "CPU µs",
                "lowest to highest",
                "spread",
                "per CPU second",
                "per second",
                "peak MB",
            ],
            rows,
        )
    )
    result.charts.append(Chart("Client CPU a message", "µs, shorter is better", bars))


def _judge(result: Result, taken: dict[_Entry, list[Sample]], first: str) -> None:
    """Ratios on the first loop; everything that has no loop counts for it too."""
    by_name = {
        entry.name: (entry, samples) for entry, samples in taken.items() if entry.loop == first
    }
    if "power" not in by_name:
        return
    ours = _cpu(*by_name["power"])
    sending = _cpu(*by_name["power"], "sending")
    for key, peer, mine in (
        ("tuned-all", "aiohttp-tuned", ours),
        ("tuned-sending", "aiohttp-tuned", sending),
        ("usual", "aiohttp-usual", ours),
        ("wechatpy", "wechatpy", ours),
        ("httpx", "httpx", ours),
    ):
        if peer in by_name:
            result.judge(key, ratios(_cpu(*by_name[peer]), mine))
    if "sock-calls" in by_name:
        result.judge("sock-calls", ratios(sending, _cpu(*by_name["sock-calls"])))
    for name in ("futures", "callbacks"):
        if name in by_name:
            result.compare(
                f"the same ÷ {CONTENDERS[name].title}", ratios(sending, _cpu(*by_name[name]))
            )
    for name, (_, samples) in by_name.items():
        if name in ("client", "memory", "process") and "aiohttp-tuned" in by_name:
            entry, tuned = by_name["aiohttp-tuned"]
            result.compare(
                f"{CONTENDERS[name].title} ÷ aiohttp tuned, messages per CPU second",
                ratios(_cpu(entry, tuned), _cpu(by_name[name][0], samples)),
            )
    for one, other in (
        ("power-tls", "aiohttp-tls"),
        ("client-tls", "aiohttp-tls"),
        ("power", "personal"),
    ):
        if one in by_name and other in by_name:
            result.compare(
                f"{CONTENDERS[one].title} ÷ {CONTENDERS[other].title}, messages per CPU second",
                ratios(_cpu(*by_name[other]), _cpu(*by_name[one])),
            )
    result.notes += [
        f"ratios are of the {first} loop",
        "outside the clock: imports, 500 messages to warm up, and the responder, another process; "
        "inside: opening the connections, TLS handshakes, and the engine's planning and report",
    ]
