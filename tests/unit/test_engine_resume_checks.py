"""What a campaign is checked against before it goes on."""

from __future__ import annotations

import pytest

from promomsg import UsageError
from promomsg.engine.prepare.audience import audience_from, audience_record
from promomsg.engine.prepare.resume_checks import check_message
from promomsg.model import Everyone, Promoters, Retailers, Roles


def test_what_changed_of_a_message_is_named_to_the_field() -> None:
    kept = {"msg_type": 1, "content": {"a": "1", "b": "2"}, "path": "p"}
    check_message(kept, {**kept})
    with pytest.raises(UsageError, match=r"content\.a, content\.c, path changed"):
        check_message(kept, {"msg_type": 1, "content": {"a": "2", "b": "2", "c": ""}, "path": "q"})


@pytest.mark.parametrize(
    "audience", [Roles([1, 2]), Retailers(["x"]), Everyone(confirm=True)], ids=str
)
def test_an_audience_comes_back_from_its_record(audience: Roles) -> None:
    assert audience_from(audience_record(audience)) == audience


def test_promoters_are_rows_not_a_record() -> None:
    with pytest.raises(TypeError):
        audience_record(Promoters(["1"]))
