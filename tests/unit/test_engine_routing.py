"""One group send or many single sends: the sizes of groups and chunks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from promomsg.engine.prepare.routing import chunk_size, group_sizes


@given(members=st.integers(50, 2_000_000), limit=st.integers(99, 20_000))
def test_groups_are_balanced_none_over_the_limit_and_none_under_50(
    members: int, limit: int
) -> None:
    sizes = group_sizes(members, limit)
    assert sum(sizes) == members
    assert max(sizes) <= limit
    assert min(sizes) >= 50
    assert max(sizes) - min(sizes) <= 1


def test_10_020_members_make_two_groups_of_5_010() -> None:
    assert group_sizes(10_020, 10_000) == [5_010, 5_010]


def test_a_chunk_has_work_for_every_worker_while_the_next_one_is_taken() -> None:
    assert chunk_size(1) == 512
    assert chunk_size(1_000) >= 2 * 1_000
