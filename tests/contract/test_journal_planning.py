"""Planning in a journal: duplicates, suppression, selection, sets and the seal."""

from __future__ import annotations

import pytest
from journal_rows import (
    NOW,
    Make,
    adds_up,
    bad_row,
    everybody,
    nothing_to_take,
    record,
    row,
    sealed,
    states,
    stream,
    suppress,
    suppress_pending,
    take,
)

from promomsg.errors import JournalError
from promomsg.model import Code

pytestmark = pytest.mark.asyncio


async def test_the_first_of_equal_keys_or_addresses_stays(make: Make) -> None:
    handle = await make().create(record())
    rows = [
        bad_row(0)._replace(key="a", id="1"),
        row(1, "a", id="1"),
        row(2, "a", id="2"),
        row(3, "b", id="1"),
        row(4, "c", id=None, openid="o", unionid="u"),
        row(5, "d", id=None, openid="o"),
        row(6, "e", id=None, unionid="u"),
        row(7, "f", id=None, fingerprint=b"t"),
        row(8, "g", id=None, fingerprint=b"t"),
        row(9, "h", id="9", request_id="r"),
        row(10, "i", id="10", request_id="r"),
        row(11, "j", id="2"),
    ]
    await handle.add_rows(rows)
    assert await handle.mark_duplicates() == 6
    found = await everybody(handle)
    assert await states(handle) == "fpSSpSSpSpSp"
    assert [(o.code, o.detail) for o in found if o.state == "skipped"] == [
        (Code.DUPLICATE_KEY, "same key as a"),
        (Code.DUPLICATE_ADDRESS, "same id as a"),
        (Code.DUPLICATE_ADDRESS, "same openid as c"),
        (Code.DUPLICATE_ADDRESS, "same unionid as c"),
        (Code.DUPLICATE_ADDRESS, "same access_token as f"),
        (Code.DUPLICATE_REQUEST_ID, "same request_id as h"),
    ]
    counts = await handle.counts()
    assert adds_up(counts)
    assert (counts.pending, counts.skipped, counts.failed) == (5, 6, 1)
    assert await handle.mark_duplicates() == 0
    await handle.close()


async def test_only_the_columns_asked_for_make_a_duplicate(make: Make) -> None:
    handle = await make().create(record())
    twice = {"openid": "o", "unionid": "u", "fingerprint": b"t", "request_id": "r"}
    await handle.add_rows([row(0, "a", id="1", **twice), row(1, "b", id="1", **twice)])
    assert await handle.mark_duplicates([]) == 0
    assert await handle.mark_duplicates(["access_token"]) == 1
    assert [o.detail for o in await everybody(handle)] == ["", "same access_token as a"]
    await handle.add_rows([row(2, "a", id="2")])
    assert await handle.mark_duplicates([]) == 1
    await handle.close()


async def test_an_address_that_is_the_key_counts_once(make: Make) -> None:
    handle = await make().create(record())
    await handle.add_rows([row(0, "7", id="7"), row(1, "8", id="8"), row(2, "7", id="7")])
    assert await handle.mark_duplicates() == 1
    assert (await handle.counts()).by_code == {"DUPLICATE_KEY": 1}
    await handle.close()


async def test_suppression_and_selection(make: Make) -> None:
    handle = await make().create(record())
    await handle.add_rows(
        [row(0), row(1), row(2, openid="o2"), row(3, unionid="u3"), row(4), bad_row(5)]
    )
    assert await suppress(handle, ["k0", "1001", "o2", "u3", "k5", "stranger"]) == 4
    assert await suppress(handle, []) == 0
    assert await states(handle) == "SSSSpf"
    assert await handle.select(["k4", "k0"]) == 1
    assert await handle.select([]) == 0
    assert (await handle.counts()).by_code == {
        "BAD_ADDRESS": 1,
        "NOT_SELECTED": 1,
        "SUPPRESSED": 4,
    }
    await handle.close()


@pytest.mark.parametrize("secret", [False, True])
async def test_blanks_around_a_key_save_nobody_from_the_suppression_list(
    make: Make, secret: bool
) -> None:
    handle = await make().create(record())
    await handle.add_rows(
        [row(0, "M1 "), row(1, " M2"), row(2, "M3"), row(3, "M 1"), row(4, "M4  ")]
    )
    assert await suppress(handle, ["M1", "M2", "M3 ", "M4  "], secret=secret) == 3
    assert await states(handle) == "SSppS"
    await handle.close()


async def test_a_row_may_be_written_as_skipped_at_once(make: Make) -> None:
    handle = await make().create(record())
    skipped = row(1, id=None, state="skipped", code="NOT_SELECTED", detail="not selected")
    await handle.add_rows([row(0), skipped, bad_row(2)])
    assert await suppress(handle, ["k1"]) == 0
    assert await handle.select(["k0"]) == 1
    assert await states(handle) == "pSf"
    counts = await handle.counts()
    assert adds_up(counts)
    assert counts.by_code == {"BAD_ADDRESS": 1, "NOT_SELECTED": 1}
    await handle.close()


@pytest.mark.parametrize("listed", ["p1", "1", "u3"])
@pytest.mark.parametrize("duplicates_first", [True, False], ids=str)
async def test_suppression_holds_for_the_person_however_many_rows_they_have(
    make: Make, listed: str, duplicates_first: bool
) -> None:
    handle = await make().create(record())
    await handle.add_rows(
        [
            row(0, "p9", id="1"),
            row(1, "p1", id="1", openid="o1"),
            row(2, "p8", id=None, openid="o1", unionid="u3"),
            row(3, "p7", id=None, unionid="u3"),
            row(4, "1000", id="2"),
            row(5, "p6", id=None, fingerprint=b"t"),
            row(6, "p8", id="3"),
            bad_row(7)._replace(key="p5", id="3"),
            row(8, "p5", id="4"),
            row(9, "p4", id=None, openid="1"),
        ]
    )
    if duplicates_first:
        await handle.mark_duplicates()
    await suppress(handle, [listed])
    if not duplicates_first:
        await handle.mark_duplicates()
    expected = list("SSSSppSfSp")
    if listed == "1":
        expected[9] = "S"  # a list does not say what its values are
    assert await states(handle) == "".join(expected)
    details = {o.detail for o in await everybody(handle) if o.code == "SUPPRESSED"}
    assert len(details) <= 2
    assert all("suppression list" in detail for detail in details)
    assert adds_up(await handle.counts())
    await handle.close()


async def test_a_column_that_is_no_address_makes_nobody_the_suppressed_person(make: Make) -> None:
    handle = await make().create(record())
    shop = {"id": None, "openid": "the shop's"}
    await handle.add_rows(
        [
            row(0, fingerprint=b"t", **shop),
            row(1, fingerprint=b"t", **shop),
            row(2, fingerprint=b"u", **shop),
        ]
    )
    assert await suppress(handle, ["k0"], ["access_token"]) == 2
    assert await states(handle) == "SSp"
    await handle.seal(record(planned_at=NOW), chunk_size=8)
    columns = ["id", "openid"]
    assert await suppress_pending(handle, ["k1"], [], smallest_group=1, at=NOW) == 0
    assert await suppress_pending(handle, ["k1"], columns, smallest_group=1, at=NOW) == 1
    await handle.close()


async def test_who_is_suppressed_later_leaves_their_group_and_small_groups_end(make: Make) -> None:
    journal = make()
    rows = [row(seq) for seq in range(12)]
    handle = await sealed(journal, [*rows, row(12, id=None, openid="o")], groups=[4, 4, 4])
    lease = await take(handle, groups=True)
    assert lease.group_no == 1
    assert await handle.intend_group(lease, NOW)
    assert await handle.accept_group(lease, "m1", None, NOW, NOW + 60)
    await handle.release(lease)
    # Of the first group, which is out: nobody leaves it. Of the others one and two.
    listed = ["k0", "k4", "1008", "k9", "o"]
    assert await suppress_pending(handle, [], smallest_group=3, at=NOW) == 0
    assert await suppress_pending(handle, listed, smallest_group=3, at=NOW + 5) == 4
    assert await suppress_pending(handle, listed, smallest_group=3, at=NOW + 6) == 0
    assert await states(handle) == "ppppSpppSSppS"
    assert [(g.state, g.planned) for g in await handle.groups()] == [
        ("accepted", 4),
        ("planned", 3),
        ("cancelled", 0),
    ]
    assert await handle.group_members(1) == ["1000", "1001", "1002", "1003"]
    assert await handle.group_members(2) == ["1005", "1006", "1007"]
    assert await handle.plan_counts() == (2, 1)
    assert [single_send.seq for single_send in (await take(handle)).single_sends] == [10, 11]
    assert (await take(handle, groups=True)).group_no == 2
    assert await nothing_to_take(handle)
    assert [o.recipient.key for o in await stream(handle)] == ["k4", "k8", "k9", "k12"]
    assert {o.at for o in await stream(handle)} == {NOW + 5}
    assert (await handle.counts()).by_code == {"SUPPRESSED": 4}
    await handle.close()


async def test_long_lists_of_values_are_all_looked_at(make: Make) -> None:
    handle = await make().create(record())
    await handle.add_rows([row(0), row(1)])
    assert await suppress(handle, [f"k{number}" for number in range(12_000, 0, -1)]) == 1
    assert await states(handle) == "pS"
    await handle.close()


async def test_ids_are_found_for_openids(make: Make) -> None:
    handle = await make().create(record())
    await handle.add_rows(
        [row(0, id=None, openid="o"), row(1, id=None, unionid="u"), row(2, openid="o"), row(3)]
    )
    assert await handle.assign_ids([("o", "v", "77"), (None, "u", "78"), ("x", None, "79")]) == 2
    ids = [outcome.recipient.id for outcome in await everybody(handle)]
    assert ids == ["77", "78", "1002", "1003"]
    await handle.close()


async def test_sets_become_groups_in_order(make: Make) -> None:
    handle = await make().create(record())
    words = ["red", "blue", "red", None, "red", "blue", "red", None, "red"]
    rows = [row(seq, word=word) for seq, word in enumerate(words)]
    rows[8] = rows[8]._replace(id=None, openid="o8")
    await handle.add_rows(rows)
    shared_messages = await handle.shared_messages(2)
    assert shared_messages[0] == (None, 2, 0)
    assert sorted(count for _, count, _ in shared_messages) == [2, 2, 4]
    red = rows[0].message_digest
    assert (await handle.shared_messages(3)) == [(red, 4, 0)]
    await handle.make_groups(red, [3, 1])
    with pytest.raises(JournalError):
        await handle.make_groups(None, [2, 1])
    await handle.close()


async def test_a_sealed_plan_hands_out_groups_and_singles(make: Make) -> None:
    journal = make()
    handle = await journal.create(record())
    await handle.add_rows([row(seq, word="red") for seq in range(5)])
    await handle.make_groups(row(0, word="red").message_digest, [2, 2])
    await handle.add_audience_group({"roles": [1]}, 70)
    assert await handle.plan_counts() == (1, 3)
    assert await handle.sample(2) == [("k0", "1000", ("red",)), ("k1", "1001", ("red",))]
    assert await nothing_to_take(handle)
    with pytest.raises(JournalError):
        await handle.seal(record(), chunk_size=8)
    await handle.seal(record(planned_at=NOW), chunk_size=8)
    assert handle.record.planned_at == NOW
    for call in (
        handle.add_rows([row(9)]),
        handle.mark_duplicates(),
        handle.seal(record(planned_at=NOW), chunk_size=8),
    ):
        with pytest.raises(JournalError, match="complete"):
            await call
    assert (await handle.counts()).planned == 75
    one, two, three = await handle.groups()
    assert (one.planned, one.values, one.audience) == (2, ("red",), None)
    assert (three.planned, three.values, three.audience) == (70, (), {"roles": [1]})
    assert await handle.group_members(two.group_no) == ["1002", "1003"]
    assert [(await take(handle, groups=True)).group_no for _ in range(3)] == [1, 2, 3]
    assert [single_send.seq for single_send in (await take(handle)).single_sends] == [4]
    await handle.close()


async def test_half_a_plan_is_thrown_away(make: Make) -> None:
    journal = make()
    handle = await journal.create(record())
    await handle.add_rows([row(0), row(1)])
    assert (await handle.counts()).planned == 2
    await handle.close()
    with pytest.raises(JournalError):
        await journal.open()
    handle = await sealed(journal, [row(0)])
    assert (await handle.counts()).planned == 1
    await handle.close()


async def test_what_planning_left_final_comes_first_in_the_stream(make: Make) -> None:
    rows = [bad_row(seq) if seq % 2 else row(seq) for seq in range(9)]
    handle = await sealed(make(), rows)
    assert [outcome.recipient.key for outcome in await stream(handle)] == ["k1", "k3", "k5", "k7"]
    page, cursor = await handle.outcomes(after=await handle.outcomes_end())
    assert (page, cursor) == ([], await handle.outcomes_end())
    await handle.close()


async def test_an_empty_journal_says_so(make: Make) -> None:
    handle = await sealed(make(), [])
    assert await everybody(handle) == []
    assert (await handle.counts()).planned == 0
    assert await nothing_to_take(handle)
    await handle.close()
