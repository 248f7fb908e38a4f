"""`python -m tests.chaos --kills 2000 --seed 7`: campaigns killed until there were so many kills.

With `--fleet` each is sent by several machines, whose database crashes, too.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from .fork_server import ForkServer
from .power_cut import PowerCut
from .trial import CRASH_POINTS, Result, Trial

if TYPE_CHECKING:
    from .fleet_trial import FleetResult


async def storm(kills: int, seed: int, kinds: list[str], power: bool = False) -> list[Result]:
    """Trials of each kind in turn until there were `kills` kills, or power cuts."""
    results: list[Result] = []
    done = number = 0
    while done < kills:
        kind = kinds[number % len(kinds)]
        with tempfile.TemporaryDirectory() as room:
            folder = Path(os.path.realpath(room), "campaign")
            folder.mkdir()
            cut = PowerCut(folder, "chaos.db", Path(room)) if power else None
            async with ForkServer() if cut is None else cut.fork_server() as fork_server:
                result = await Trial(kind, f"{seed}/{number}", folder, power=cut).run(fork_server)
        results.append(result)
        done += result.kills
        number += 1
        print(
            f"{result.name}: {result.kills} kills in {result.runs} runs, {result.faults} "
            f"faults; {result.sent} sent, {result.failed} failed, {result.unknown} unknown "
            f"(at most {result.bound})",
            flush=True,
        )
    return results


async def fleet_storm(kills: int, seed: int) -> list[FleetResult]:
    """Campaigns of several machines, until there were `kills` kills."""
    sys.path.append(str(Path(__file__).parents[1]))  # as pytest has it
    from postgres_server import PostgresServer

    from .fleet_trial import FleetTrial, Kind

    kinds: tuple[Kind, ...] = ("singles", "groups")
    results: list[FleetResult] = []
    server = PostgresServer()
    try:
        server.start()
        while (done := sum(one.kills for one in results)) < kills:
            kind = kinds[len(results) % len(kinds)]
            with tempfile.TemporaryDirectory() as room:
                trial = FleetTrial(
                    kind, f"{seed}/{len(results)}", Path(room), server, kills=min(10, kills - done)
                )
                result = await trial.run()
            results.append(result)
            print(
                f"{result.name}: {result.kills} kills, {result.freezes} freezes, "
                f"{result.crashes} crashes of the server, {result.faults} faults; {result.sent} sent, "
                f"{result.failed} failed, {result.unknown} unknown (at most {result.bound})",
                flush=True,
            )
    finally:
        server.close()
    return results


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--power", action="store_true", help="each kill cuts the power too")
    parser.add_argument("--kind", choices=sorted(CRASH_POINTS), action="append")
    parser.add_argument("--fleet", action="store_true", help="several machines, one database")
    given = parser.parse_args()
    began = time.monotonic()
    if given.fleet:
        fleets = asyncio.run(fleet_storm(given.kills, given.seed))
        print(
            f"{sum(one.kills for one in fleets)} kills, {sum(one.freezes for one in fleets)} freezes and "
            f"{sum(one.crashes for one in fleets)} crashes of the server in {len(fleets)} campaigns, "
            f"{time.monotonic() - began:.0f} s: 0 lost, 0 delivered twice"
        )
        return 0
    results = asyncio.run(
        storm(given.kills, given.seed, given.kind or sorted(CRASH_POINTS), given.power)
    )
    by_point: Counter[str] = sum((r.by_point for r in results), Counter())
    print(
        f"{sum(r.kills for r in results)} kills in {len(results)} campaigns, "
        f"{time.monotonic() - began:.0f} s: 0 lost, 0 delivered twice; "
        + ", ".join(f"{name} {count}" for name, count in by_point.most_common())
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
