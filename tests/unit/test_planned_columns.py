"""What planning knows of its rows without looking at them again is never more than is so."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from promomsg.journal.planned_columns import AddedRows, PlannedColumns

_texts = st.lists(st.none() | st.sampled_from("abcdefgh"), max_size=6)


def _added(*batches: Sequence[str | None], keys: str = "k") -> AddedRows:
    added = AddedRows()
    first = 0
    for ids in batches:
        seqs = range(first, first + len(ids))
        added.add(PlannedColumns(seqs, [f"{keys}{seq:03}" for seq in seqs], ids))
        first += len(ids)
    return added


@given(st.lists(_texts, max_size=4))
def test_a_value_that_is_there_twice_is_never_overlooked(batches: list[list[str | None]]) -> None:
    values = [value for batch in batches for value in batch if value is not None]
    if len(set(values)) < len(values):
        assert _added(*batches).may_repeat("id")


def test_a_column_that_rises_needs_no_look() -> None:
    added = _added(["a", "b"], [None, "c"], [None], ["d"])
    assert not added.may_repeat("id")
    assert not added.may_repeat("key")
    added.add(PlannedColumns([6], ["k006"], ["d"]))
    assert added.may_repeat("id")


def test_ids_that_are_given_later_have_to_be_looked_at() -> None:
    added = _added(["a", "b"])
    added.given_ids()
    assert added.may_repeat("id")
    assert added.one_set is None


def test_an_address_that_is_the_key_is_compared_as_the_key() -> None:
    added = AddedRows()
    added.add(PlannedColumns([0, 1], ["b", "a"], ["b", "a"], [None, "a"]))
    assert added.may_repeat("key")
    assert not added.may_repeat("id")
    assert not added.may_repeat("openid")


def test_rows_are_one_set_when_all_have_an_id_and_get_one_message() -> None:
    assert _added(["b", "a"], ["c"]).one_set == range(3)
    assert _added(["b", None]).one_set is None
    assert _added(["b", None]).every == range(2)
    told = _added(["b", "a"])
    told.add(PlannedColumns([2], ["c"], ["c"], values=['["x"]'], message_digest=[b"d"]))
    assert told.one_set is None
    assert told.every == range(3)


def test_rows_with_others_between_them_are_no_range() -> None:
    gap = _added(["a"])
    gap.add(PlannedColumns([2], ["c"], ["c"]))
    assert gap.every is None
    within = AddedRows()
    within.add(PlannedColumns([0, 2], ["a", "c"], ["a", "c"]))
    assert within.every is None
    changed = _added(["a"])
    changed.changed = True
    assert changed.every is None


def test_a_guess_of_groups_holds_only_for_all_rows_and_the_same_sizes() -> None:
    def guessed(ids: list[str | None]) -> AddedRows:
        added = AddedRows()
        added.add(PlannedColumns([0, 1, 2], ["a", "b", "c"], ids, group_no=[1, 1, 2]))
        return added

    assert guessed(["1", "2", "3"]).are_guessed([2, 1])
    assert not guessed(["1", "2", "3"]).are_guessed([1, 2])
    assert not guessed(["1", "2", "3"]).are_guessed([3])
    assert not guessed(["1", None, "3"]).are_guessed([2, 1])
    skipped = guessed(["1", "2", "3"])
    skipped.changed = True
    assert not skipped.are_guessed([2, 1])
