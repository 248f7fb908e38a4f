"""The threads that journals share: few of them, none that stays, and none that one journal breaks."""

from __future__ import annotations

import threading
from concurrent.futures import Future

import pytest

from promomsg.journal.sqlite import writer_threads


def asked(thread: writer_threads.WriterThread) -> int:
    """The thread's own number, which it says itself."""
    said: Future[int] = Future()
    thread.call(lambda: said.set_result(threading.get_ident()))
    return said.result(10)


def test_a_few_threads_are_shared_evenly_and_end_with_their_last_journal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Journals in memory that other tests left open have threads of this process too.
    monkeypatch.setattr(writer_threads, "_threads", [])
    joined = [writer_threads.join() for _ in range(40)]
    numbers = [asked(thread) for thread in joined]
    assert len(set(numbers[:8])) == 8
    assert sorted(numbers.count(number) for number in set(numbers)) == [5] * 8
    threads = [thread for thread in threading.enumerate() if thread.ident in numbers]
    for thread in joined[:39]:
        thread.leave()
    assert asked(joined[39]) == numbers[39]
    joined[39].leave()
    for ended in threads:
        ended.join(10)
    assert [ended.is_alive() for ended in threads] == [False] * 8


def test_what_goes_wrong_for_one_journal_leaves_the_others_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    thread = writer_threads.join()
    try:

        def bad() -> None:
            raise RuntimeError("a secret, perhaps")

        thread.call(bad)
        assert asked(thread)
        assert "ended in RuntimeError" in caplog.text
        assert "secret" not in caplog.text
    finally:
        thread.leave()
