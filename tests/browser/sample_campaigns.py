"""Campaigns as people have them, and as a stranger would have them shown."""

from __future__ import annotations

import csv
import io
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from integration.cli_campaigns import campaign, promomsg, running

from promomsg.sandbox import Fault, FaultPlan

__all__ = ["HOSTILE", "HOSTILE_NAME", "PAGED", "Samples", "make_samples"]

HOSTILE: Final = (
    '<img src=x onerror="window.hacked=1">',
    "\"><script>window.hacked=1</script><a href='",
    "' onmouseover='window.hacked=1' x='",
    "</td></tr></table><svg onload=window.hacked=1>",
    "javascript:window.hacked=1",
    "{{ 7 * 7 }}{% include 'x' %}${7*7}",
    "gnp\u202egpj.exe",
    "\u2066right\u2067left",
    "&lt;b&gt; &amp;amp;",
    "../../etc/passwd?after=1#x",
)
"""Keys of recipients. Each is shown as the characters that it has."""
HOSTILE_NAME: Final = "a&b<img src=x onerror=hacked=1>?x=1#%2f%00 'q\" \u202ex"
"""A journal's file name without its ending."""
PAGED: Final = 130
"""Recipients of the campaign `autumn`, of whom a page shows a part."""


@dataclass(frozen=True)
class Samples:
    """What is in the folder.

    Attributes:
        folder: of the journals.
        done: a campaign that is over: sent, failed, unknown and skipped people, a group, single sends.
        held: one that waits for a person's word after its first few.
        paused: one that a person stopped, with most of its people before it.
        hostile: one whose every text is somebody's attempt.
    """

    folder: Path
    done: str = "autumn.db"
    held: str = "held.db"
    paused: str = "paused.db"
    hostile: str = f"{HOSTILE_NAME}.db"

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return (self.done, self.held, self.paused, self.hostile)


def make_samples(folder: Path) -> Samples:
    """Sends them, against a sandbox that is gone when they are there."""
    samples = Samples(folder)
    with running() as sandbox:
        sandbox.settings.refuse_single = {"1003": 43101, "1004": 40003}
        sandbox.settings.refuse_group = {str(1000 + n): 103010 for n in range(70, 75)}
        sandbox.faults = FaultPlan(
            [Fault(endpoint="singlesendmsg", kind="drop_after_delivering", calls=[7])]
        )
        # Ten have a text of their own; the others one group send; the last two are given twice.
        rows = [
            "key,id,name",
            *(f"k{n},{1000 + n},{f'客{n}' if n < 10 else ''}" for n in range(128)),
        ]
        file = campaign(
            folder, sandbox.url, "\n".join([*rows, *rows[-2:]]) + "\n", title="{name|客官},优惠"
        )
        _send(file)
        sandbox.faults = FaultPlan()
        keys = 'route = "single"\nfirst = 5\nfirst_wait = "0s"\nfirst_ask = true\n'
        file = campaign(folder, sandbox.url, 30, name="held", campaign=keys)
        _send(file)
        sandbox.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="daily", after=6)])
        file = campaign(folder, sandbox.url, 40, name="paused", campaign='route = "single"')
        _send(file)
        said = "<script>window.hacked=1</script>\u202e\x1b[31m"
        sandbox.faults = FaultPlan(
            [Fault(endpoint="singlesendmsg", errcode=40003, errmsg=said, limit=3)]
        )
        written = io.StringIO()
        csv.writer(written).writerows(
            [("key", "id", "name"), *((k, 2000 + n, k) for n, k in enumerate(HOSTILE))]
        )
        file = campaign(
            folder,
            sandbox.url,
            written.getvalue(),
            name="hostile",
            title="<b onclick=hacked=1>{name}</b>",
            campaign='route = "single"',
        )
        _send(file)
    _plant(folder / "hostile.db", folder / samples.hostile)
    return samples


def _send(file: Path) -> None:
    promomsg("send", file, "--yes", "--json")
    assert file.with_suffix(".db").is_file()


def _plant(journal: Path, renamed: Path) -> None:
    """What the engine would have refused, written by whoever can write to the folder."""
    with sqlite3.connect(journal) as db:
        db.execute("UPDATE campaign SET name = ?, halted = ?", (HOSTILE_NAME, HOSTILE[0]))
        db.execute(
            "UPDATE recipient SET detail = ?, code = ?, rid = ? WHERE seq = 1",
            ("\x00\x08\x1b]0;x\x07\u202e\ufeff" + HOSTILE[1], HOSTILE[0], HOSTILE[3]),
        )
        db.execute("UPDATE recipient SET key = ? WHERE seq = 2", ("a\x00b\x1bc\x9bd\ue000\n\r\te",))
    db.close()
    for ending in ("", "-wal", "-shm"):
        beside = journal.with_name(journal.name + ending)
        if beside.exists():
            beside.rename(renamed.with_name(renamed.name + ending))
