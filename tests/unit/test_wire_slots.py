"""The layout of wire slots: what is read of them is never less than what was stored, or nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promomsg.journal.sqlite.crash_safety.slot_file import SlotFile
from promomsg.journal.sqlite.crash_safety.wire_slots import (
    DOUBT,
    NUMBER,
    SLOTS_AT,
    Identity,
    check_word,
    free,
    group_word,
    header,
    read_slots,
    single_word,
    size,
)

OURS = Identity("0" * 32, "a" * 32, "b" * 36, 1, 2, 3, 4, 5, 6)
COUNT = 6


def file_of(*slots: tuple[int, int], doubt: int = 0, number: int = 7) -> bytearray:
    """A file's content; `slots` are (first word, epoch)."""
    content = bytearray(size(COUNT))
    begins = header(OURS, COUNT)
    content[: len(begins)] = begins
    words = memoryview(content).cast("Q")
    words[DOUBT], words[NUMBER] = doubt, number
    content[SLOTS_AT * 8 :] = free(COUNT)
    for at, (who, epoch) in enumerate(slots):
        words[SLOTS_AT + 2 * at] = who
        words[SLOTS_AT + 2 * at + 1] = check_word(who, epoch)
    return content


WHOLE = file_of((single_word(0), 1), (group_word(1), 9), (single_word(2**32), 2**20))


def test_who_was_marked_is_read_with_the_epoch_of_the_lease() -> None:
    found = read_slots(bytes(WHOLE), OURS, number=7)
    assert found == ({0: 1, 2**32: 2**20}, {1: 9})
    assert read_slots(bytes(file_of()), OURS, number=7) == ({}, {})


@pytest.mark.parametrize("field", Identity._fields)
def test_a_file_of_another_campaign_sender_boot_or_place_is_not_believed(field: str) -> None:
    old = getattr(OURS, field)
    other = OURS._replace(**{field: old + 1 if isinstance(old, int) else "c" * len(old)})
    assert read_slots(bytes(WHOLE), other, number=7) is None


def test_a_file_that_says_so_or_is_ahead_of_the_journal_is_not_believed() -> None:
    assert read_slots(bytes(file_of(doubt=1)), OURS, number=7) is None
    assert read_slots(bytes(file_of(number=8)), OURS, number=7) is None
    assert read_slots(bytes(file_of(number=7)), OURS, number=9) is not None


def test_a_file_that_was_cut_or_has_grown_is_not_believed() -> None:
    for length in range(len(WHOLE)):
        assert read_slots(bytes(WHOLE[:length]), OURS, number=7) is None
    assert read_slots(bytes(WHOLE) + bytes(16), OURS, number=7) is None
    assert read_slots(b"", OURS, number=7) is None


def test_no_flipped_bit_takes_anybody_out_of_doubt() -> None:
    for at in range(len(WHOLE)):
        for bit in range(8):
            damaged = WHOLE.copy()
            damaged[at] ^= 1 << bit
            found = read_slots(bytes(damaged), OURS, number=7)
            if found is not None:
                assert {0, 2**32} <= found.singles.keys(), (at, bit)
                assert {1} <= found.groups.keys(), (at, bit)


def test_no_block_of_zeros_takes_anybody_out_of_doubt() -> None:
    """What is found where a part of a file was lost, with its length and all else as it was."""
    slot = 16
    assert len(WHOLE) == SLOTS_AT * 8 + COUNT * slot
    for begin in range(SLOTS_AT * 8, len(WHOLE), slot):
        for end in range(begin + slot, len(WHOLE) + 1, slot):
            damaged = WHOLE.copy()
            damaged[begin:end] = bytes(end - begin)
            assert read_slots(bytes(damaged), OURS, number=7) is None


def test_a_slot_without_its_second_word_is_taken_and_the_other_way_round_is_damage() -> None:
    words = memoryview(half := file_of()).cast("Q")
    words[SLOTS_AT] = single_word(4)
    assert read_slots(bytes(half), OURS, number=7) == ({4: 0}, {})
    words[SLOTS_AT], words[SLOTS_AT + 1] = 0, check_word(single_word(4), 1)
    assert read_slots(bytes(half), OURS, number=7) is None


class Recorded:
    """Words that remember what they were after each store: where a kill may come."""

    def __init__(self, words: Any, moments: list[bytes]) -> None:
        self.words = words
        self.moments = moments

    def __setitem__(self, at: int, value: int) -> None:
        self.words[at] = value
        self.moments.append(bytes(self.words))


@pytest.fixture(scope="module")
def slots(tmp_path_factory: pytest.TempPathFactory) -> SlotFile:
    journal = tmp_path_factory.mktemp("slots") / "a.db"
    journal.touch()
    return SlotFile(str(journal), "0" * 32, "a" * 32, COUNT)


CALLS = st.lists(
    st.tuples(
        st.sampled_from(["mark", "result", "commit"]),
        st.builds(single_word, st.integers(0, 5)) | st.builds(group_word, st.integers(1, 3)),
        st.integers(1, 40),
    ),
    max_size=40,
)


@given(calls=CALLS)
@settings(max_examples=300, deadline=None)
def test_a_kill_between_any_two_stores_leaves_nobody_out_who_was_called(
    slots: SlotFile, calls: list[tuple[str, int, int]]
) -> None:
    """Of a plain set: who was marked and has no durable result is in the slots, or none of the file
    is believed."""
    content = file_of()
    slots._words = memoryview(content).cast("Q")
    slots._free = list(range(SLOTS_AT + 2 * COUNT - 2, SLOTS_AT - 2, -2))
    slots._taken = {}
    moments: list[bytes] = []
    slots._words = Recorded(slots._words, moments)  # type: ignore[assignment]
    out: set[int] = set()
    number = 7
    for call, who, epoch in calls:
        out_before, moments[:] = set(out), [bytes(content)]
        if call == "mark":
            slots.mark(who, epoch)
            out.add(who)
        elif call == "result":
            slots.give_back([who])
            out.discard(who)
        else:
            number += 1
            slots.committed(number)
        for moment in moments:
            # Within a step who was called before it and has no result after it.
            assert_kept(moment, out_before & out, number)
        assert_kept(bytes(content), out, number)


def assert_kept(content: bytes, out: set[int], number: int) -> None:
    found = read_slots(content, OURS, number)
    if found is not None:
        kept = {single_word(seq) for seq in found.singles}
        kept |= {group_word(group_no) for group_no in found.groups}
        assert out <= kept
