"""Where a campaign stands, in one word."""

from __future__ import annotations

import pytest

from promomsg.engine.report import campaign_state
from promomsg.journal.records import Control, Counts, GroupRow
from promomsg.states import GroupState

OUT = [GroupRow(group_no=1, state=GroupState.ACCEPTED, planned=50)]


@pytest.mark.parametrize(
    ("counts", "more", "state"),
    [
        (Counts(planned=3, sent=3), {}, "done"),
        (Counts(planned=3, failed=3), {"running": True}, "done"),
        (Counts(planned=3, sent=1, cancelled=2), {}, "cancelled"),
        (Counts(planned=3, pending=3), {"running": True}, "sending"),
        (Counts(planned=3, pending=3), {"running": True, "waiting": "until 9"}, "waiting"),
        (Counts(planned=3, pending=3), {"running": True, "control": Control.PAUSE}, "paused"),
        (Counts(planned=3, pending=3), {"halted": "45009: used up"}, "halted"),
        (Counts(planned=3, pending=3), {"control": Control.PAUSE}, "paused"),
        (Counts(planned=3, pending=3), {}, "stopped"),
        (Counts(planned=3, pending=3), {"control": Control.CANCEL}, "stopped"),
        (Counts(planned=3, pending=3), {"running": True, "control": Control.CANCEL}, "sending"),
        (Counts(planned=50, pending=50), {"groups": OUT, "control": Control.CANCEL}, "following"),
        (Counts(planned=50, pending=50), {"running": True, "groups": OUT}, "following"),
        (Counts(planned=50, pending=50), {"groups": OUT}, "following"),
        (Counts(planned=53, pending=53), {"running": True, "groups": OUT}, "sending"),
        (
            Counts(planned=50, pending=50),
            {"running": True, "groups": OUT, "control": Control.PAUSE},
            "following",
        ),
    ],
)
def test_one_word(counts: Counts, more: dict[str, object], state: str) -> None:
    given = {"groups": [], "control": Control.RUN, "halted": None, "running": False, **more}
    groups = given.pop("groups")
    word, reason = campaign_state(counts, groups, **given)  # type: ignore[arg-type]
    assert word == state
    assert (reason == "") is (
        state in ("done", "sending") or (state, given["running"]) == ("following", True)
    )
