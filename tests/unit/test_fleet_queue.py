"""Which queue tables a worker can work with."""

from __future__ import annotations

import importlib
import sys

import pytest

from promomsg import UsageError
from promomsg.fleet.queue import installed_migrations, queue_refusal

HAS = ["03.03.00_01_pre_lock.sql", "03.04.00_50_post_retry.sql"]


def test_tables_of_the_installed_queue_are_fine() -> None:
    assert queue_refusal(HAS, HAS, "db") is None
    assert queue_refusal(list(reversed(HAS)), HAS, "db") is None


def test_missing_older_and_newer_tables_are_refused_in_a_line_that_says_what_to_do() -> None:
    refusals = [
        queue_refusal([], HAS, "db"),
        queue_refusal(HAS[:1], HAS, "db"),
        queue_refusal([*HAS, "03.09.00_01_new.sql"], HAS, "db"),
        queue_refusal(["03.03.00_01_pre_lock.sql", "03.09.00_01_new.sql"], HAS, "db"),
    ]
    assert [text for text in refusals if text is None or "\n" in text] == []
    none, older, newer, mixed = (text or "" for text in refusals)
    assert "it has no queue yet; make it with `promomsg fleet init`" in none
    assert "of an older Procrastinate; bring it to this one's with `promomsg fleet init`" in older
    for text in (newer, mixed):
        assert (
            "newer Procrastinate (03.09.00_01_new); update it: pip install -U procrastinate" in text
        )


def test_without_procrastinate_it_is_said_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "procrastinate", None)
    monkeypatch.delitem(sys.modules, "promomsg.fleet.queue")
    with pytest.raises(UsageError, match=r"need Procrastinate: pip install 'promomsg\[fleet\]'"):
        importlib.import_module("promomsg.fleet.queue")


def test_the_installed_queue_has_its_migrations_in_order() -> None:
    found = installed_migrations()
    assert found == sorted(found)
    assert "00.00.00_01_initial.sql" in found
