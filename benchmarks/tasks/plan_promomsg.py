"""A file's rows to a planned journal, by promomsg. Sending begins, and is ended, after the clock."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.child import Laps
from benchmarks.contenders.promomsg_setup import journal, message, promoter
from benchmarks.contenders.sent_message import check
from benchmarks.job import Job
from benchmarks.machine import peak_mb, read_clocks
from promomsg.engine.campaign import Campaign
from promomsg.intake.arrow.parquet import read_parquet
from promomsg.intake.text.csvfile import read_csv
from promomsg.transport.pace import Pace


async def run(job: Job) -> Laps:
    """Plans `file`: `plan` is up to the durable plan, `imports_mb` the peak memory before it.

    With `without_numpy` pyarrow finds none.
    """
    file = Path(job.options["file"])
    if job.options.get("without_numpy"):
        sys.modules["numpy"] = None  # type: ignore[assignment]  # as if it was not installed
    people = read_parquet(file) if file.suffix == ".parquet" else read_csv(file)
    imports = peak_mb()
    named = job.options["kind"] == "named"
    slow = Pace(singles_per_minute=1, groups_per_minute=1)
    async with promoter(job.base_url, slow) as wechat:
        begin = read_clocks()
        campaign = Campaign(
            wechat,
            message(desc="{name},三件五折") if named else message(),
            people,
            route="single" if named else None,
            concurrency=job.concurrency,
            **journal(job.options.get("journal", "power"), job.folder, job.options.get("database")),
        )
        async with campaign:
            planned = read_clocks()
    check(campaign.report.to_dict()["planned"], job.messages)
    return {"plan": planned.since(begin), "imports_mb": imports}
