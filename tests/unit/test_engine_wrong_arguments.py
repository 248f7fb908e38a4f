"""Arguments in each other's place, or of a kind that cannot be right: the right call is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import promomsg
from promomsg import Campaign, JournalError, Pace, UsageError, WeChatMessage, WeChatPromoter
from promomsg.journal.sqlite.journal import SqliteJournal

WECHAT = WeChatPromoter("wx0001", "s3cret", pace=Pace(unlimited=True))
MESSAGE = WeChatMessage(1, {"title": "今日优惠活动"}, "pages/index/index")
PEOPLE = ["500001"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((MESSAGE, WECHAT, PEOPLE), r"WeChatMessage is not a channel: it is promomsg\.send\(chan"),
        ((PEOPLE, MESSAGE, WECHAT), r"list is not a channel"),
        (("wx0001", MESSAGE, PEOPLE), r"str is not a channel"),
        ((WeChatPromoter, MESSAGE, PEOPLE), r"the class WeChatPromoter is not a channel"),
        ((WECHAT, PEOPLE, MESSAGE), r"sends a WeChatMessage, not list"),
        ((WECHAT, MESSAGE, MESSAGE), r"WeChatMessage is not a list of recipients"),
    ],
    ids=range(6),
)
def test_what_stands_in_the_wrong_place_is_told_the_right_call(
    arguments: tuple[Any, ...], said: str
) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        Campaign(*arguments)
    assert "\n" not in str(caught.value)


def test_a_list_that_was_not_called_or_awaited_is_told_so() -> None:
    async def people() -> list[str]:
        return PEOPLE

    with pytest.raises(UsageError, match=r"function is not a list .*; call it, as in people\(\)"):
        Campaign(WECHAT, MESSAGE, people)  # type: ignore[arg-type]
    waiting = people()
    with pytest.raises(UsageError, match="coroutine is not a list of recipients; await it first"):
        Campaign(WECHAT, MESSAGE, waiting)  # type: ignore[arg-type]
    waiting.close()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"journal": 5}, r"journal=5: give a file's path or a promomsg\.SqliteJournal\(path\)"),
        ({"journal": ""}, "journal='': give a file's path"),
        ({"journal": SqliteJournal}, "give a file's path"),
        (
            {"suppress": 5},
            "suppress=5: give a file's path, a list of keys and addresses, or a journal",
        ),
        ({"suppress": ""}, "suppress='': give a file's path"),
        ({"suppress": b"blocked.csv"}, "give a file's path"),
        ({"journal": "a\0b.db"}, r"journal: 'a\\x00b\.db' is not a path"),
        ({"name": 5}, "name=5: give a str"),
        ({"name": "\ud800"}, r"name='\\ud800': give a str"),
        ({"poll": 60}, "PollPolicy"),
    ],
    ids=str,
)
def test_an_argument_of_a_kind_that_cannot_be_is_named(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        Campaign(WECHAT, MESSAGE, PEOPLE, **given)
    assert "\n" not in str(caught.value)


def test_resume_and_retry_are_told_the_right_call_too(tmp_path: Path) -> None:
    path = tmp_path / "campaign.db"
    with pytest.raises(UsageError, match=r"it is Campaign\.resume\(journal, channel\)"):
        Campaign.resume(WECHAT, path)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="journal=None: give the journal"):
        Campaign.resume(None, WECHAT)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="journal=5"):
        Campaign.retry(5, WECHAT, failed=True)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="did you mean 'concurrency'"):
        Campaign.resume(path, WECHAT, concurency=4)  # type: ignore[call-arg]
    with pytest.raises(UsageError, match="poll=60"):
        Campaign.retry(path, WECHAT, failed=True, poll=60)  # type: ignore[arg-type]


@pytest.mark.parametrize("words", [{"failed": "no"}, {"failed": True, "unknown": 1}], ids=str)
def test_a_retry_is_not_begun_by_the_word_no(words: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="say True or False"):
        Campaign.retry("campaign.db", WECHAT, **words)


def test_what_is_opened_is_a_path_or_a_journal() -> None:
    for other in (5, None, SqliteJournal):
        with pytest.raises(UsageError, match="is not a journal's path; give a str or a Path"):
            promomsg.open_journal(other)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="journal: 5 is not a path"):
        SqliteJournal(5)  # type: ignore[arg-type]


@pytest.mark.asyncio
async def test_reconcile_takes_a_path_or_a_journal_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "campaign.db"
    with pytest.raises(UsageError, match=r"int is not a channel: it is promomsg[.]reconcile"):
        await promomsg.reconcile(path, 5)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="journal=5"):
        await promomsg.reconcile(5, WECHAT)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="journal=None"):
        await promomsg.reconcile(None, WECHAT)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="adopt='yes'"):
        await promomsg.reconcile(path, WECHAT, adopt="yes")  # type: ignore[arg-type]
    for journal in (path, str(path), SqliteJournal(path)):
        with pytest.raises(JournalError, match="there is no journal"):
            await promomsg.reconcile(journal, WECHAT)


@pytest.mark.asyncio
async def test_a_folder_is_no_journal(tmp_path: Path) -> None:
    campaign = Campaign(WECHAT, MESSAGE, PEOPLE, journal=tmp_path)
    with pytest.raises(JournalError, match="it is a folder"):
        await campaign.plan()
    await campaign.discard()
