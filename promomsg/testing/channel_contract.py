"""The suite that a channel has to pass: subclass `ChannelContract` in a test file (docs/own-channel.md).

```python
class TestMyChannel(ChannelContract):
    message = MyMessage(text="hello {name}")
    recipient = Recipient(openid="o1", params={"name": "Ann"})
    good = Reply({"code": 0})
    refused = Reply({"code": 404, "message": "no such user"})
    secrets = ("a-key-of-the-account",)

    def channel(self, base_url):
        return MyChannel("account", self.secrets[0], base_url=base_url)
```
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import product
from typing import Any

from promomsg.errors import Halted, NotSent
from promomsg.model import Code, Secret, Verdict
from promomsg.testing.channel_trial import (
    ChannelTrial,
    NeverNow,
    hold,
    kept_log,
    leaked,
    saying_back,
    show,
)
from promomsg.testing.contract_base import in_a_loop
from promomsg.testing.fake_provider import FakeProvider, ProviderCall, Reply
from promomsg.testing.message_contract import MessageContract
from promomsg.transport.last_check import does_ask

__all__ = ["ChannelContract", "ProviderCall", "Reply"]

_SOON = 1.0
"""Seconds for what needs none."""


class ChannelContract(MessageContract):
    """What every channel promises, a test each. A failure says what was expected, and why.

    Attributes:
        message: what is sent; it has at least one placeholder.
        recipient: somebody that it can go to, with a value for each placeholder that is text.
        good: the provider's answer to a message that it has taken.
        refused: its answer for one recipient that it does not take, the others being fine.
        throttled: its answer to too many calls, if it has one of its own beside HTTP 429.
        halting: its answer when nobody can be sent to (a wrong key), if it has one.
        unreadable: bodies that say nothing, with HTTP 200; take out what is a success at your provider.
        secrets: those that its calls carry (a key, a token that `other_call` answers with), which a
            provider could say back; a recipient's own token is one without being named.
    """

    async def _all_come_to(self, verdict: Verdict, *replies: Reply, why: str) -> None:
        async with self._against() as trial:
            for reply in replies:
                answer = await trial.deliver(reply)
                hold(
                    answer.verdict is verdict,
                    f"{show(reply)} comes to {answer.verdict}, and has to be {verdict}: {why}",
                )
                if verdict is Verdict.SENT:
                    continue
                hold(answer.code, f"{show(reply)}: the Answer has no code: a report counts by it")
                hold(
                    answer.code.isprintable() and answer.detail.isprintable(),
                    f"{show(reply)}: code and detail are one printable line each, not {answer!r}",
                )

    # What an answer means.

    @in_a_loop
    async def test_a_good_answer_is_sent(self) -> None:
        """SENT, with one call."""
        await self._all_come_to(Verdict.SENT, self.good, why="the provider has taken it")

    @in_a_loop
    async def test_a_refused_recipient_is_failed(self) -> None:
        """FAILED: the others go on."""
        await self._all_come_to(
            Verdict.FAILED, self.refused, why="this recipient was refused, and nobody else"
        )

    @in_a_loop
    async def test_a_halting_code_stops_everybody(self) -> None:
        """HALT."""
        if self.halting is not None:
            await self._all_come_to(
                Verdict.HALT, self.halting, why="nobody else can succeed either"
            )

    @in_a_loop
    async def test_too_many_calls_hold_the_quota(self) -> None:
        """THROTTLED; a Retry-After is obeyed."""
        replies = [Reply(b"busy", 429)] + ([self.throttled] if self.throttled else [])
        await self._all_come_to(Verdict.THROTTLED, *replies, why="nothing was sent; slow down")
        async with self._against() as trial:
            answer = await trial.deliver(Reply(b"busy", 429, {"Retry-After": "7"}))
            hold(
                answer.retry_after == 7.0,
                f"Retry-After: 7 gives retry_after={answer.retry_after}, and has to give 7.0",
            )

    @in_a_loop
    async def test_an_answer_that_says_nothing_is_unknown(self) -> None:
        """UNKNOWN: pages, cut answers, a 5xx whatever its body says."""
        why = "the message may be out, and nothing says that it is not"
        cut = Reply(self.good.encoded()[:-1] or b"{", 200)
        pages = [Reply(body) for body in self.unreadable if body != self.good.encoded()]
        errors = [Reply(self.good.body, status) for status in (500, 502, 503)]
        page = Reply(b"<html>bad gateway</html>", 502)
        await self._all_come_to(Verdict.UNKNOWN, *pages, cut, page, *errors, why=why)
        async with self._against() as trial:
            answer = await trial.deliver(page)
            hold(
                not answer.readable,
                "a 502 has readable=True: many of them in a row would never look like an outage",
            )

    # What goes wrong on the way.

    @in_a_loop
    async def test_what_is_lost_after_the_first_byte_is_unknown(self) -> None:
        """UNKNOWN, and not one call more."""
        for instead in ("reset", "cut"):
            reply = Reply(self.good.body, instead=instead)
            async with self._against() as trial:
                await trial.deliver(reply)
                calls = len(trial.provider.sends)
                hold(calls == 1, f"{show(reply)}: {calls} calls were made by one deliver; make one")
            await self._all_come_to(
                Verdict.UNKNOWN, reply, why="the call had arrived; only its answer is lost"
            )

    @in_a_loop
    async def test_what_fails_before_the_first_byte_is_not_sent(self) -> None:
        """RETRY."""
        async with self._against() as trial:
            trial.provider.stop_listening()
            answer = await trial.deliver()
            hold(
                answer.verdict is Verdict.RETRY and not trial.provider.sends,
                f"a refused connection comes to {answer.verdict}, and has to be RETRY: nothing left",
            )
            hold(
                not answer.readable,
                "a refused connection has readable=True: the provider was not there",
            )
            try:
                await trial.channel.prepare()
            except (NotSent, Halted):
                pass
            except Exception as error:
                raise AssertionError(
                    f"prepare raised {type(error).__name__} for a provider that is away; it may raise "
                    "NotSent and Halted"
                ) from error

    @in_a_loop
    async def test_the_last_check_is_asked_before_the_first_byte(self) -> None:
        """What is marked with `asks_last_check` sends nothing when it says no."""
        async with self._against() as trial:
            if not does_ask(trial.channel.deliver):
                return  # the engine asks
            check = NeverNow()
            answer = await trial.deliver(last_check=check)
            hold(
                check.asked,
                "deliver is marked with asks_last_check, and does not hand it on to post",
            )
            sends = len(trial.provider.sends)
            hold(not sends, f"the last check said no, and {sends} call arrived all the same")
            hold(
                answer.verdict is Verdict.RETRY,
                f"a call that the last check held back comes to {answer.verdict}, and has to be RETRY",
            )

    @in_a_loop
    async def test_a_closed_client_halts(self) -> None:
        """HALT with the code CLIENT: nothing is raised, nothing is sent."""
        async with self._against() as trial:
            await trial.channel.__aexit__(None, None, None)
            answer = await trial.deliver()
            hold(
                (answer.verdict, answer.code) == (Verdict.HALT, Code.CLIENT),
                f"a closed client comes to {answer.verdict} {answer.code}, and has to be HALT CLIENT",
            )

    def test_it_belongs_to_one_event_loop(self) -> None:
        """HALT in another one, instead of an error or a call that never ends."""
        with asyncio.Runner() as first, asyncio.Runner() as second:
            around = self._against()
            trial = first.run(_entered(around))
            first.run(trial.deliver())
            try:
                answer = second.run(asyncio.wait_for(trial.deliver(), _SOON))
            except TimeoutError:
                raise AssertionError("in another event loop deliver never ends") from None
            finally:
                first.run(around.__aexit__(None, None, None))
            hold(
                answer.verdict is Verdict.HALT,
                f"in another event loop deliver comes to {answer.verdict}, and has to be HALT",
            )

    @in_a_loop
    async def test_it_closes_cleanly(self) -> None:
        """No connection and no task is left, and closing twice does no harm."""
        async with FakeProvider(self.other_call, self.good) as provider:
            before = asyncio.all_tasks()
            async with self.channel(provider.url) as channel:
                trial = ChannelTrial(channel, provider, self.message, self.recipient)
                await trial.deliver()
            await channel.__aexit__(None, None, None)
            await provider.idle_within(_SOON)
            hold(not provider.open, f"{provider.open} connections are open after it was closed")
            await asyncio.sleep(0)
            left = asyncio.all_tasks() - before
            hold(not left, f"tasks are left after it was closed: {left}")

    # Secrets.

    @in_a_loop
    async def test_no_secret_shows(self) -> None:
        """Not in an Answer, a repr, the log, a snapshot, even when the provider says it back."""
        token = self.recipient.access_token
        secrets = (*self.secrets, *([Secret(token).reveal()] if token else []))
        with kept_log() as log:
            async with self._against() as trial:
                shown = [repr(trial.channel), repr(trial.compiled), repr(trial.compiled.snapshot())]
                shown += [trial.channel.account, trial.channel.base_url, *trial.channel.notices]
                hold(
                    not leaked(" ".join(shown), secrets),
                    "a secret stands in the repr, the account, the base_url or the snapshot",
                )
                for secret in secrets:
                    for reply in saying_back(self.refused, secret):
                        answer = await trial.deliver(reply)
                        hold(
                            not leaked(repr(answer), secrets),
                            f"{show(Reply(b'', reply.status))} says a secret back, and the Answer has "
                            "it: mask what is kept (the `mask` that `read` gets)",
                        )
        hold(not leaked(" ".join(log), secrets), "a secret stands in the log")

    # The idempotency key.

    @in_a_loop
    async def test_the_idempotency_key_is_kept(self) -> None:
        """One for each run, recipient and generation; it is in every call."""
        async with self._against() as trial:
            channel = trial.channel
            ids = [
                channel.request_id(run, key, generation)
                for run, key, generation in product(("run 1", "run 2"), ("ann", "bob"), (0, 1))
            ]
            if not channel.idempotent:
                hold(set(ids) == {None}, "it is not idempotent, and gives request_ids all the same")
                return
            hold(all(ids), "it is idempotent, and gives no request_id")
            hold(
                len(set(ids)) == len(ids),
                "two runs, recipients or generations have one request_id: the provider would send "
                "nothing for the second",
            )
            hold(
                channel.request_id("run 1", "ann", 0) == ids[0],
                "asked twice for the same recipient, request_id gives two: a resume would send again",
            )
            key = trial.single_send.request_id or ""
            for _ in range(2):
                await trial.deliver(Reply(b"", instead="reset"))
            hold(
                all(call.holds(key) for call in trial.provider.sends),
                "the request_id is not in the call: the provider cannot know the message again",
            )

    # Addresses, and what it says of itself.

    @in_a_loop
    async def test_whole_columns_of_addresses_agree_with_single_rows(self) -> None:
        """`are_addressed` is True only where `check_address` has no problem with any row."""
        async with self._against() as trial:
            channel, to = trial.channel, trial.single_send
            token = None if to.token is None else to.token.reveal()
            there = (to.id, to.openid, to.unionid, token, to.request_id)
            hold(channel.check_address(*there) is None, "the recipient of the suite has a problem")
            hold(
                channel.check_address(None, None, None, None, None) is not None,
                "a row without any address has no problem: it would be sent to nobody",
            )
            for row in product(*((None, value, "\udc80") for value in there)):
                whole = channel.are_addressed(*([[a, b] for a, b in zip(there, row, strict=True)]))
                problem = channel.check_address(*row)
                hold(
                    not (whole and problem),
                    f"are_addressed takes a row with which check_address has a problem: {problem}",
                )

    @in_a_loop
    async def test_it_says_what_it_is(self) -> None:
        """The attributes that the engine goes by."""
        async with self._against() as trial:
            channel, url = trial.channel, trial.provider.url
            said: Sequence[tuple[str, object]] = (
                ("name", isinstance(channel.name, str) and channel.name.isidentifier()),
                ("account", isinstance(channel.account, str) and bool(channel.account.strip())),
                ("base_url", channel.base_url.startswith(url)),
                ("loopback", channel.loopback is True),
                ("daily_quota_codes", isinstance(channel.daily_quota_codes, frozenset)),
                ("groups", not channel.groups or hasattr(channel, "deliver_group")),
                ("probes_by_reading", not channel.probes_by_reading or hasattr(channel, "probe")),
            )
            for name, right in said:
                hold(right, f"{name} is {getattr(channel, name)!r}, which cannot be right")


async def _entered(around: Any) -> ChannelTrial:
    trial: ChannelTrial = await around.__aenter__()
    return trial
