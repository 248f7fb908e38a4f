"""`resume`: from the start of a process to the first send of a journal that is nine tenths done."""

from __future__ import annotations

import shutil

from benchmarks.child import Sample
from benchmarks.result import Result
from benchmarks.session import Session
from benchmarks.suites.rounds import figures, rounds

__all__ = ["run"]

DONE = 0.9


def run(session: Session) -> Result:
    """Runs it."""
    count = session.options.scaled(1_000_000, least=2_000)
    made = session.new_folder()
    session.say(f"resume: making a journal of {count:,} rows, {DONE:.0%} of them sent")
    stopped = session.measure(
        "tasks.send_until_quota", messages=count, folder=made, server={"day_limit": DONE * count}
    )
    if stopped.figures["sent"] != DONE * count:
        raise RuntimeError(f"{stopped.figures['sent']:.0f} sent, {DONE:.0%} of {count} were wanted")
    sizes: list[float] = []

    def once() -> Sample:
        folder = session.new_folder()
        for file in made.iterdir():
            shutil.copy2(file, folder)
        sizes.append(sum(file.stat().st_size for file in folder.iterdir()) / 1e6)
        sample = session.measure("tasks.resume_campaign", messages=count, folder=folder)
        first = session.responder.ask("counts")["first"]
        sample.figures["first_send"] = first - sample.figures["began"]
        shutil.rmtree(folder)
        return sample

    samples = rounds(session, "resume", {"resume": once})["resume"]
    shutil.rmtree(made)
    first = [sample.figures["first_send"] for sample in samples]
    rows = {
        ("to the first send, seen by the server", "s"): first,
        ("CPU up to there", "s"): [sample.parts["opening"].cpu for sample in samples],
        ("the journal's size", "MB"): sizes,
        ("peak memory", "MB"): [sample.peak_mb for sample in samples],
    }
    result = Result("resume")
    result.tables.append(figures(f"a journal of {count:,} rows, {DONE:.0%} sent", rows))
    result.samples = {f"{what}: {unit}": values for (what, unit), values in rows.items()}
    result.judge("resume", first, full=session.options.scale >= 1)
    result.notes.append("outside the clock: imports; it starts when they are done")
    return result
