"""`latency`: slow answers, and a few very slow ones; how much of the concurrency is used?"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import NamedTuple

from benchmarks.child import Sample
from benchmarks.result import Result
from benchmarks.session import Session
from benchmarks.suites.rounds import figures, rounds

__all__ = ["run"]

CONCURRENCY = 256
SECONDS = 60
DELAY = 0.03


class _Answers(NamedTuple):
    title: str
    slow_share: float
    slow_delay: float

    @property
    def mean(self) -> float:
        return DELAY + self.slow_share * (self.slow_delay - DELAY)


ANSWERS = {
    "tail": _Answers("1% at 3 s", 0.01, 3.0),
    "level": _Answers("no slow ones", 0.0, 0.0),
    "hang": _Answers("1% at 30 s", 0.01, 30.0),
}


def run(session: Session) -> Result:
    """Runs it.

    What is compared is a window in the middle of a campaign. It begins when the first of the very
    slow answers have come, and is a whole number of their delays long: those that began together
    end together, so the rate rises and falls once in each delay.
    """
    least = max(1.0, SECONDS * session.options.scale)

    def of(answers: _Answers) -> Callable[[], Sample]:
        def once() -> Sample:
            # As many as are needed until the window ends, and more.
            first = 6 * CONCURRENCY / DELAY if answers.slow_share else 0
            ramp = answers.slow_delay + 20 * DELAY
            delays = ceil(least / answers.slow_delay) if answers.slow_delay else 0
            seconds = delays * answers.slow_delay or least
            messages = round(1.2 * CONCURRENCY / answers.mean * (ramp + seconds) + first)
            sample = session.measure(
                "tasks.send_slow_answers",
                messages=messages,
                concurrency=CONCURRENCY,
                server={
                    "delay": DELAY,
                    "slow_share": answers.slow_share,
                    "slow_delay": answers.slow_delay,
                },
                ramp=ramp,
                seconds=seconds,
                timeout=answers.slow_delay + 30,
            )
            begin, end = sample.figures["begin"], sample.figures["end"]
            seen = session.responder.ask("counts", begin=begin, end=end)
            rate = seen["between"] / (end - begin)
            used = rate / (CONCURRENCY / seen["mean_delay"]) if seen["between"] else 0.0
            sample.figures |= {"rate": rate, "used": used}
            return sample

        return once

    taken = rounds(session, "latency", {key: of(answers) for key, answers in ANSWERS.items()})
    rows = {}
    for key, samples in taken.items():
        title, window = ANSWERS[key].title, [sample.parts["window"] for sample in samples]
        rows[f"{title}: calls", "a second"] = [sample.figures["rate"] for sample in samples]
        rows[f"{title}: CPU", "of a core"] = [reading.cpu / reading.wall for reading in window]
    result = Result("latency")
    title = f"{DELAY * 1e3:g} ms answers, concurrency {CONCURRENCY}, {least:g} s or more"
    result.tables.append(figures(title, rows))
    result.samples = {f"{what}: {unit}": values for (what, unit), values in rows.items()}
    for key, samples in taken.items():
        used = [sample.figures["used"] for sample in samples]
        result.judge(f"latency-{key}", used, full=session.options.scale >= 1)
    result.notes.append("the mean latency is of the delays that the responder really gave")
    result.notes.append(
        "outside the window: imports, planning, the first calls until the first slow answers have come"
    )
    return result
