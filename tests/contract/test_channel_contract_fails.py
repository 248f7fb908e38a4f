"""What the contract of a channel says to one that does something wrong: each check, in a sentence."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Mapping
from itertools import count
from typing import Any, ClassVar

import pytest
from gateway_channel import KEY, GatewayChannel, GatewayMessage

from promomsg import Recipient
from promomsg.channel import (
    Answer,
    Code,
    CodeMeaning,
    CompiledJson,
    HttpRequest,
    LastCheck,
    Mask,
    Problem,
    SingleSend,
    Verdict,
    asks_last_check,
)
from promomsg.errors import PromoError
from promomsg.testing.channel_contract import ChannelContract, Reply


class TestGatewayChannel(ChannelContract):
    """The good one, which passes."""

    message = GatewayMessage("hello {name}, {what|今天}")
    recipient = Recipient(id="1001", params={"name": "Ann", "what": "tea"})
    good = Reply({"code": "OK"})
    refused = Reply({"code": "NO_SUCH_USER", "message": "no such user"})
    throttled = Reply({"code": "TOO_FAST"})
    halting = Reply({"code": "BAD_KEY"})
    secrets = (KEY,)

    def channel(self, base_url: str) -> Any:
        return GatewayChannel("acme", KEY, base_url=base_url)


class BelievesEveryPage(GatewayChannel):
    def read(self, status: int, body: bytes, mask: Mask) -> Answer:
        answer = super().read(status, body, mask)
        return Answer(Verdict.SENT) if answer.code == Code.NO_ANSWER else answer


class NeverBelieves(GatewayChannel):
    def read(self, status: int, body: bytes, mask: Mask) -> Answer:
        return Answer(Verdict.UNKNOWN, Code.NO_ANSWER, "who knows", readable=False)


class FailsForABadKey(GatewayChannel):
    codes: ClassVar[Mapping[str, CodeMeaning]] = {
        **GatewayChannel.codes,
        "BAD_KEY": CodeMeaning(Verdict.FAILED, "no", "a guess"),
    }


class Deliver(GatewayChannel):
    """Answers something else than the good one does."""

    async def deliver(
        self, compiled: Any, single_send: SingleSend, last_check: LastCheck | None = None
    ) -> Answer:
        return self.changed(await super().deliver(compiled, single_send, last_check))

    def changed(self, answer: Answer) -> Answer:
        raise NotImplementedError


class ForgetsRetryAfter(Deliver):
    def changed(self, answer: Answer) -> Answer:
        return Answer(answer.verdict, answer.code, answer.detail, readable=answer.readable)


class RetriesWhatIsLost(Deliver):
    def changed(self, answer: Answer) -> Answer:
        lost = answer.verdict is Verdict.UNKNOWN and answer.status is None
        return Answer(Verdict.RETRY, answer.code) if lost else answer


class CallsTwice(GatewayChannel):
    async def deliver(
        self, compiled: Any, single_send: SingleSend, last_check: LastCheck | None = None
    ) -> Answer:
        answer = await super().deliver(compiled, single_send, last_check)
        if answer.verdict is Verdict.UNKNOWN:
            answer = await super().deliver(compiled, single_send, last_check)
        return answer


class DoubtsWhatNeverLeft(Deliver):
    def changed(self, answer: Answer) -> Answer:
        never = answer.code == Code.NOT_SENT
        return Answer(Verdict.UNKNOWN, answer.code, readable=False) if never else answer


class ForgetsTheLastCheck(GatewayChannel):
    @asks_last_check
    async def deliver(
        self, compiled: Any, single_send: SingleSend, last_check: LastCheck | None = None
    ) -> Answer:
        return await super().deliver(compiled, single_send, None)


class Raises(Deliver):
    def changed(self, answer: Answer) -> Answer:
        if answer.verdict is Verdict.HALT:
            raise PromoError(answer.detail)
        return answer


class LeavesATask(Deliver):
    def changed(self, answer: Answer) -> Answer:
        self.left = asyncio.get_running_loop().create_task(asyncio.Event().wait())
        return answer


class StaysOpen(GatewayChannel):
    left: ClassVar[list[socket.socket]] = []

    async def close(self) -> None:
        await super().close()
        port = int(self.base_url.rpartition(":")[2])
        self.left.append(socket.create_connection(("127.0.0.1", port)))


class SaysTheKeyBack(GatewayChannel):
    def read(self, status: int, body: bytes, mask: Mask) -> Answer:
        return super().read(status, body, str)


class ShowsItsKey(GatewayChannel):
    def __repr__(self) -> str:
        return f"ShowsItsKey({self._key.reveal()})"


class AnotherKeyEachTime(GatewayChannel):
    numbers = count()

    def request_id(self, run_id: str, key: str, generation: int) -> str:
        return f"{run_id}{key}{generation}{next(self.numbers)}".replace(" ", "")


class OneKeyForAllRuns(GatewayChannel):
    def request_id(self, run_id: str, key: str, generation: int) -> str:
        return f"{key}{generation}"


class KeepsTheKeyToItself(GatewayChannel):
    def request(self, compiled: Any, single_send: SingleSend) -> HttpRequest:
        return HttpRequest("/v1/send", compiled.body(single_send.values, to=single_send.id))


class ForgetsItsText(GatewayChannel):
    def compile_snapshot(self, snapshot: Mapping[str, Any]) -> CompiledJson:
        return self.compile_message(GatewayMessage(f"{snapshot['text']}!"))


class Compiled(CompiledJson):
    def value_columns(self, params: Mapping[str, Any], keys: Any) -> Any:
        return self._table.columns(params, keys)


class TakesLongTextsByTheColumn(GatewayChannel):
    def compile_message(self, message: GatewayMessage) -> CompiledJson:
        return Compiled(message, {"text": message.text}, check=self.check)


class Blurred(CompiledJson):
    def message_digest(self, values: Any) -> bytes:
        return b"0123456789abcdef"


class OneDigestForAll(GatewayChannel):
    def compile_message(self, message: GatewayMessage) -> CompiledJson:
        return Blurred(message, {"text": message.text}, check=self.check)


class SendsToNobody(GatewayChannel):
    def check_address(self, *row: Any) -> Problem | None:
        return None


class TakesAnyColumn(GatewayChannel):
    def are_addressed(self, *columns: Any) -> bool:
        return True


class HasNoName(GatewayChannel):
    name = "the gateway"


WRONG = [
    (NeverBelieves, "a_good_answer_is_sent", "comes to UNKNOWN, and has to be SENT"),
    (
        NeverBelieves,
        "a_refused_recipient_is_failed",
        "has to be FAILED: this recipient was refused",
    ),
    (FailsForABadKey, "a_halting_code_stops_everybody", "comes to FAILED, and has to be HALT"),
    (NeverBelieves, "too_many_calls_hold_the_quota", "HTTP 429 b'busy' comes to UNKNOWN"),
    (ForgetsRetryAfter, "too_many_calls_hold_the_quota", "Retry-After: 7 gives retry_after=None"),
    (BelievesEveryPage, "an_answer_that_says_nothing_is_unknown", "the message may be out"),
    (RetriesWhatIsLost, "what_is_lost_after_the_first_byte_is_unknown", "comes to RETRY"),
    (
        CallsTwice,
        "what_is_lost_after_the_first_byte_is_unknown",
        "2 calls were made by one deliver",
    ),
    (DoubtsWhatNeverLeft, "what_fails_before_the_first_byte_is_not_sent", "nothing left"),
    (ForgetsTheLastCheck, "the_last_check_is_asked_before_the_first_byte", "does not hand it on"),
    (Raises, "a_closed_client_halts", "deliver raised PromoError"),
    (Raises, "it_belongs_to_one_event_loop", "deliver raised PromoError"),
    (LeavesATask, "it_closes_cleanly", "tasks are left after it was closed"),
    (StaysOpen, "it_closes_cleanly", "connections are open after it was closed"),
    (SaysTheKeyBack, "no_secret_shows", "says a secret back, and the Answer has it"),
    (ShowsItsKey, "no_secret_shows", "a secret stands in the repr"),
    (AnotherKeyEachTime, "the_idempotency_key_is_kept", "a resume would send again"),
    (OneKeyForAllRuns, "the_idempotency_key_is_kept", "two runs, recipients or generations"),
    (KeepsTheKeyToItself, "the_idempotency_key_is_kept", "the request_id is not in the call"),
    (ForgetsItsText, "the_message_comes_back_from_its_snapshot", "has another snapshot"),
    (TakesLongTextsByTheColumn, "whole_columns_agree_with_single_rows", "value_columns takes"),
    (OneDigestForAll, "messages_share_a_digest_exactly_when_they_are_the_same", "two messages"),
    (SendsToNobody, "whole_columns_of_addresses_agree_with_single_rows", "sent to nobody"),
    (TakesAnyColumn, "whole_columns_of_addresses_agree_with_single_rows", "are_addressed takes"),
    (HasNoName, "it_says_what_it_is", "name is 'the gateway'"),
]


@pytest.mark.parametrize(("wrong", "check", "said"), WRONG)
def test_a_wrong_channel_is_told_what_is_wrong(
    wrong: type[GatewayChannel], check: str, said: str
) -> None:
    class Suite(TestGatewayChannel):
        def channel(self, base_url: str) -> Any:
            return wrong("acme", KEY, base_url=base_url)

    with pytest.raises(AssertionError, match=re.escape(said)):
        getattr(Suite(), f"test_{check}")()
    while StaysOpen.left:
        StaysOpen.left.pop().close()


def test_each_check_of_the_contract_is_seen_to_fail() -> None:
    checks = {name for name in dir(ChannelContract) if name.startswith("test_")}
    assert {f"test_{check}" for _, check, _ in WRONG} == checks
