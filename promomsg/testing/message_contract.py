"""The part of a channel's contract that is about its compiled messages."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

from promomsg.channels.base import CompiledMessage
from promomsg.errors import UsageError
from promomsg.placeholders import MissingParam
from promomsg.testing.channel_trial import hold
from promomsg.testing.contract_base import ContractBase, in_a_loop

__all__ = ["MessageContract"]


class MessageContract(ContractBase):
    """What a compiled message promises, a test each."""

    @in_a_loop
    async def test_the_message_comes_back_from_its_snapshot(self) -> None:
        """What a resume sends is what the plan showed."""
        async with self._against() as trial:
            channel, compiled = trial.channel, trial.compiled
            hold(compiled.has_placeholders, "give the suite a message with a placeholder")
            try:
                kept = json.loads(json.dumps(compiled.snapshot()))
            except (TypeError, ValueError) as error:
                raise AssertionError(f"the snapshot is no plain JSON: {error}") from None
            again = channel.compile_snapshot(kept)
            values = compiled.values(self.recipient.params, "k")
            for what, one, other in (
                ("snapshot", again.snapshot(), compiled.snapshot()),
                ("values", again.values(self.recipient.params, "k"), values),
                ("preview", again.preview(values), compiled.preview(values)),
                ("digest", again.message_digest(values), compiled.message_digest(values)),
            ):
                hold(one == other, f"from its snapshot the message has another {what}: {one!r}")
            calls: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
                (object(), channel.compile),
                ({"x": 1}, channel.compile_snapshot),
            )
            for wrong, call in calls:
                try:
                    call(wrong)
                except UsageError:
                    continue
                except Exception as error:
                    raise AssertionError(
                        f"{wrong!r} is no message, and raises {type(error).__name__} instead of UsageError"
                    ) from error
                raise AssertionError(f"{wrong!r} is taken for a message")

    @in_a_loop
    async def test_whole_columns_agree_with_single_rows(self) -> None:
        """`value_columns` gives up (None) wherever `values` or `problem` would complain."""
        async with self._against() as trial:
            compiled, good = trial.compiled, dict(self.recipient.params)
            for name, value in product(sorted(compiled.names), _odd_values()):
                rows = [good, {**good, name: value}]
                keys = ["ann", "bob"]
                columns = {n: [row.get(n) for row in rows] for n in compiled.names}
                found = compiled.value_columns(columns, keys)
                if found is None:
                    continue
                for at, row in enumerate(rows):
                    single = _values_or_problem(compiled, row, keys[at])
                    hold(
                        single == tuple(column[at] for column in found),
                        f"value_columns takes {name}={value!r}, and the row alone comes to {single!r}",
                    )

    @in_a_loop
    async def test_messages_share_a_digest_exactly_when_they_are_the_same(self) -> None:
        """Recipients of one text are told by it."""
        async with self._against() as trial:
            compiled, good = trial.compiled, dict(self.recipient.params)
            rows = [good, good] + [
                {**good, name: f"{good.get(name, '')}{more}"}
                for name, more in product(sorted(compiled.names), ("1", "2", "1"))
            ]
            rendered = [compiled.values(row, "k") for row in rows]
            digests = [compiled.message_digest(values) for values in rendered]
            hold(
                list(compiled.message_digests(rendered)) == digests,
                "message_digests says otherwise than message_digest",
            )
            for one, other in product(range(len(rows)), repeat=2):
                same = compiled.preview(rendered[one]) == compiled.preview(rendered[other])
                hold(
                    same == (digests[one] == digests[other]),
                    f"{rendered[one]} and {rendered[other]} are "
                    f"{'one message' if same else 'two messages'}, and their digests say otherwise",
                )


def _odd_values() -> tuple[Any, ...]:
    return ("y", "长" * 300, "a\x00b", "a\nb", "\udc80", " ", "", None, 7, "{name}")


def _values_or_problem(compiled: CompiledMessage, row: Mapping[str, Any], key: str) -> Any:
    try:
        values = compiled.values(row, key)
    except MissingParam as missing:
        return missing
    return compiled.problem(values) or values
