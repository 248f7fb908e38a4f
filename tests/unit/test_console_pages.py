"""The console's pages: every one is well-formed, says what the report says, in both languages, and shows a
stranger's text as text."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from browser_page import BrowserPage
from console_looks import COUNTS, HOSTILE, UNSEEN, group, look, outcome, pages, record, visitor

from promomsg.console.console_types import (
    Action,
    CampaignPage,
    Look,
    PlaceName,
    SenderNews,
    Visitor,
)
from promomsg.console.page_models import FEW_GROUPS, PeopleQuery, card_id
from promomsg.console.static_files import static_files
from promomsg.fleet.worker_table import Doing, FleetWorker, Trouble
from promomsg.journal.people.people_contract import EarlierAttempt, PeoplePage, Person
from promomsg.model import State
from promomsg.timeline import Timeline

ACTIONS = (
    Action(
        name="resume",
        label="Resume",
        says=("it goes on where it stopped",),
        command="promomsg resume autumn.db",
        is_possible=True,
        why_not="",
        agreed="15 pending",
    ),
    Action(
        name="pause",
        label="Pause",
        says=(),
        command="",
        is_possible=False,
        why_not="nobody sends it",
    ),
)
ODD = look(
    kept=record(
        name=HOSTILE,
        account=HOSTILE,
        message={"msg_type": 1, "content": [[HOSTILE, HOSTILE]], "path": HOSTILE},
        settings={"zone": HOSTILE, "between": [HOSTILE], "route": HOSTILE},
        source={"path": HOSTILE},
        campaign_file=HOSTILE,
    ),
    reason=f"45009: {HOSTILE}",
    groups=(group(1, msg_id=HOSTILE, code=HOSTILE),),
    warnings=(HOSTILE,),
    name=HOSTILE,
    journal=HOSTILE,
    account=HOSTILE,
    senders=(HOSTILE,),
    trouble=(HOSTILE,),
)
BROKEN = Look(
    place="2", name=HOSTILE, journal=HOSTILE, error=f"{HOSTILE}: it is not a journal", at=0.0
)
WORKER = FleetWorker(
    "host:1", 0.0, 9.0, True, True, False, 64, "0.1.0", ("shift",),
    (Doing("shift", 1, HOSTILE),), (Trouble(1, HOSTILE, HOSTILE),),
)  # fmt: skip
PERSON = Person(
    seq=7,
    outcome=outcome(HOSTILE, detail=HOSTILE, rid=HOSTILE, extra=HOSTILE, group=HOSTILE),
    values=(HOSTILE, HOSTILE),
    group=group(1, msg_id=HOSTILE),
    request_id=HOSTILE,
    history=(EarlierAttempt(state=State.UNKNOWN, attempts=1, code="NO_ANSWER", detail=HOSTILE),),
)
QUERY = PeopleQuery(state="failed", code=HOSTILE, search=HOSTILE)
FOUND = PeoplePage(people=((7, PERSON.outcome), (9, outcome())), has_earlier=True, has_later=True)
NEWS = SenderNews(
    command=HOSTILE,
    process=7,
    at=1_790_000_000.0,
    lines=(HOSTILE, "stopped"),
    status=3,
    meaning=HOSTILE,
)
TIMES = Timeline(10, ((1_790_000_000, State.SENT, 40), (1_790_000_010, State.FAILED, 3)))
LIST = CampaignPage(
    looks=(look(), ODD, BROKEN),
    places=(PlaceName(place="1", shown=HOSTILE, campaigns=3), PlaceName(place="2", shown="x", error=HOSTILE)),
    after=HOSTILE,
    is_first=False,
)  # fmt: skip

ALL: dict[str, Callable[[Visitor], str]] = {
    "campaigns": lambda who: pages.campaigns(LIST, who, after=HOSTILE),
    "no campaigns": lambda who: pages.campaigns(CampaignPage(looks=(), places=()), who),
    "campaign": lambda who: pages.campaign(
        ODD, who, actions=ACTIONS, values=(HOSTILE,), news=NEWS, done=HOSTILE
    ),
    "broken": lambda who: pages.campaign(BROKEN, who),
    "rate": lambda who: pages.rate(ODD, TIMES, who),
    "groups": lambda who: pages.groups(ODD, who),
    "recipients": lambda who: pages.recipients(ODD, who, QUERY, FOUND, error=HOSTILE),
    "nobody": lambda who: pages.recipients(ODD, who, PeopleQuery(), PeoplePage()),
    "recipient": lambda who: pages.recipient(ODD, who, PERSON),
    "confirm": lambda who: pages.confirm(ODD, who, ACTIONS[0], error=HOSTILE),
    "cannot": lambda who: pages.confirm(ODD, who, ACTIONS[1]),
    "workers": lambda who: pages.workers((WORKER,), who, database=HOSTILE, now=10.0),
    "no workers": lambda who: pages.workers((), who, database="db", now=10.0),
    "sign in": lambda who: pages.sign_in(who, back=f"/{HOSTILE}", error=HOSTILE),
    "problem": lambda who: pages.problem(who, 404, HOSTILE),
}


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("name", ALL)
def test_a_strangers_text_is_shown_and_does_nothing(name: str, language: str) -> None:
    text = ALL[name](visitor(language))
    page = BrowserPage(text)
    assert page.wrong == []
    assert page.lang == {"en": "en", "zh": "zh-CN"}[language]
    # What somebody searched for comes back as it was, in the value of its field.
    shown = re.sub(' value="[^"]*"', "", text)
    assert UNSEEN.search(shown) is None
    if name not in ("no campaigns", "no workers"):
        assert "<script>alert(1)</script>" in page.text


@pytest.mark.parametrize("language", ["en", "zh"])
def test_parts_are_what_the_page_has(language: str) -> None:
    who = visitor(language)
    for one in (look(groups=(group(1),), warnings=("odd",)), ODD, BROKEN):
        page = pages.campaign(one, who, actions=ACTIONS)
        for id_, html in pages.campaign_parts(one, who, actions=ACTIONS).items():
            assert f'<div id="{id_}">{html}</div>' in page
    page = pages.campaigns(LIST, who)
    cards = pages.campaign_cards(LIST.looks, who)
    assert list(cards) == [card_id(one) for one in LIST.looks]
    assert all(f' id="{id_}">{html}</li>' in page for id_, html in cards.items())


def test_the_numbers_are_those_of_the_report() -> None:
    one = look(groups=(group(1),))
    assert one.report is not None
    document = one.report.to_dict()
    words = BrowserPage(pages.campaign(one, visitor())).words
    for name in ("planned", "sent", "failed", "unknown", "skipped", "cancelled", "pending"):
        assert words[words.index(name) - 1] == f"{document[name]:,}"
    page = BrowserPage(pages.campaign(one, visitor()))
    for code, people in document["by_code"].items():
        assert code in page.in_code
        assert f"{people:,}" in page.words
        assert f"/campaigns/1/autumn.db/recipients?code={code}" in page.links
    assert {"1000001", "40%", "32"} <= set(page.words)
    card = " ".join(BrowserPage(pages.campaigns(LIST, visitor())).words)
    assert f"{COUNTS.planned - COUNTS.pending:,} of {COUNTS.planned:,}" in card
    assert "98.8%" in card


def test_chinese_is_spoken_to_who_reads_chinese() -> None:
    who = visitor("zh")
    plain = look(
        groups=(group(1),),
        name="秋.db",
        journal="秋.db",
        state="paused",
        reason="paused by request",
    )
    person = Person(seq=1, outcome=outcome(detail="", code="NO_ADDRESS"), values=("客", "k1"))
    made = [
        pages.campaigns(CampaignPage(looks=(plain,), places=()), who),
        pages.campaign(plain, who),
        pages.recipients(plain, who, PeopleQuery(), PeoplePage(people=((1, person.outcome),))),
        pages.recipient(plain, who, person),
        pages.rate(plain, TIMES, who),
        pages.sign_in(who),
        *(pages.problem(who, status) for status in (400, 403, 404, 405, 429, 500, 503)),
        *(ALL[name](who) for name in ("no campaigns", "no workers", "nobody")),
    ]
    for text in made:
        english = [
            word for word in BrowserPage(text).words if re.search("[A-Za-z]+ [a-z]+ [a-z]+", word)
        ]
        assert english == []


def test_a_campaign_whose_plan_is_not_complete_has_a_page() -> None:
    early = Look(place="fleet", name="spring", journal="fleet:spring", state="planning", at=0.0)
    page = BrowserPage(pages.campaign(early, visitor()))
    assert page.wrong == []
    assert {"spring", "planning", "fleet:spring"} <= set(page.words)
    assert "rate" not in page.text


def test_what_was_started_here_is_followed() -> None:
    running = SenderNews(
        command="promomsg resume autumn.db", process=4242, at=1_790_000_000.0,
        lines=("sent 40 of 300",), status=None, meaning="",
    )  # fmt: skip
    page = BrowserPage(pages.campaign(look(), visitor(), news=running, done="The pause has ended."))
    assert {"The pause has ended.", "It runs.", "sent 40 of 300"} <= set(page.words)
    assert "promomsg resume autumn.db" in page.in_code
    html = pages.campaign_parts(look(), visitor(), news=NEWS)["standing"]
    assert "It has ended" in html


def test_who_may_only_look_has_no_buttons() -> None:
    page = BrowserPage(pages.campaign(look(), visitor(may_act=False), actions=ACTIONS))
    assert not any(link.endswith(("/resume", "/pause")) for link in page.links)
    assert "only to look at" in page.words
    page = BrowserPage(pages.campaign(look(), visitor(), actions=ACTIONS))
    assert "/campaigns/1/autumn.db/resume" in page.links
    assert "/campaigns/1/autumn.db/pause" not in page.links
    assert "nobody sends it" in page.words


def test_an_action_is_said_before_it_is_done() -> None:
    page = BrowserPage(pages.confirm(look(), visitor(), ACTIONS[0]))
    path = "/campaigns/1/autumn.db/resume"
    assert ("post", path) in page.forms
    assert page.fields["csrf"] == f"token of {path}"
    assert page.fields["agreed"] == "15 pending"
    assert "it goes on where it stopped" in page.words
    assert "promomsg resume autumn.db" in page.in_code
    assert BrowserPage(pages.confirm(look(), visitor(), ACTIONS[1])).forms == [
        ("post", "/sign-out")
    ]


def test_a_search_is_kept_from_page_to_page() -> None:
    query = PeopleQuery(state="failed", search="a b&c", after=5)
    page = BrowserPage(pages.recipients(look(), visitor(), query, FOUND))
    kept = "/campaigns/1/autumn.db/recipients?state=failed&search=a+b%26c"
    assert {f"{kept}&before=7", f"{kept}&after=9"} <= set(page.links)
    assert "/campaigns/1/autumn.db/recipients/9" in page.links
    back = next(link for link in page.links if link.startswith("/language/zh"))
    assert back.endswith(
        "back=/campaigns/1/autumn.db/recipients%3Fstate%3Dfailed%26search%3Da%2Bb%2526c%26after%3D5"
    )


def test_thousands_of_groups_are_shown_by_the_page() -> None:
    one = look(groups=tuple(group(number) for number in range(1, 121)))
    page = BrowserPage(pages.campaign(one, visitor()))
    assert str(1_000_000 + FEW_GROUPS) in page.words
    assert str(1_000_001 + FEW_GROUPS) not in page.words
    assert "/campaigns/1/autumn.db/groups" in page.links
    last = BrowserPage(pages.groups(one, visitor(), after=100))
    assert "101 to 120 of 120" in last.words
    assert "/campaigns/1/autumn.db/groups?after=50" in last.links
    assert "/campaigns/1/autumn.db/groups?after=150" not in last.links


def test_a_reason_is_told_with_its_meaning() -> None:
    words = BrowserPage(pages.campaign(look(), visitor())).words
    assert "45009: reach max api daily quota limit" in words
    assert words[words.index("What it means") + 1] != ""
    assert "nothing goes out until somebody looks at the reason and resumes it" in words


def test_the_style_is_that_of_reports_and_the_consoles_own() -> None:
    files = static_files()
    style = files["console.css"].data
    assert files["console.css"].kind == "text/css"
    assert b".tiles" in style
    assert b".campaigns" in style
    assert b"url(" not in style
    assert len(files["console.js"].data.splitlines()) < 120


def test_a_plan_says_what_the_terminal_says_of_it() -> None:
    kept = record(
        settings={"route": "single", "first": 1_000, "first_stop_above": 0.05, "first_wait": 600.0,
                  "first_ask": True, "pace": {"unlimited": True}},
        warnings=[
            "suppression list: 2 values, 1 row of this list left out",
            "suppression list: 3 values, 2 rows of this list left out",
            "suppression list: read from a spreadsheet",
        ],
    )  # fmt: skip
    words = BrowserPage(pages.campaign(look(kept=kept), visitor())).words

    def said(name: str) -> str:
        return words[words.index(name) + 1]

    assert said("Suppression list") == "3 values, 2 rows of this list left out"
    assert said("First few") == "1,000, then a look for 10 min 00 s (stops above 5%)"
    assert said("The others") == "wait for your word"
    assert said("Pace") == "unlimited"
    words = BrowserPage(pages.campaign(look(kept=kept), visitor("zh"))).words
    assert said("速度") == "不限"


def test_the_button_that_goes_on_stands_out() -> None:
    approve = Action(
        name="approve", label="Let the others follow", says=(), command="", is_possible=True,
        why_not="",
    )  # fmt: skip
    pause = Action(name="pause", label="Pause", says=(), command="", is_possible=True, why_not="")
    text = pages.campaign(look(), visitor(), actions=(pause, approve))
    assert re.findall('class="button first" href="[^"]*/([a-z]+)"', text) == ["approve"]


def test_a_column_of_nothing_is_not_shown() -> None:
    over = look(groups=(group(1, next_poll_at=None),))
    assert "Next look" not in BrowserPage(pages.campaign(over, visitor())).words
    under_way = look(groups=(group(1, next_poll_at=None), group(2)))
    assert "Next look" in BrowserPage(pages.campaign(under_way, visitor())).words


def test_a_path_is_not_said_twice() -> None:
    path = "/campaigns/cut.db"
    broken = Look(
        place="1", name="cut.db", journal=path, error=f"{path}: it is damaged", state="", at=0.0
    )
    listed = pages.campaigns(CampaignPage(looks=(broken,), places=()), visitor())
    for text in (listed, pages.campaign(broken, visitor())):
        assert text.count(path) == 1
        assert "it is damaged" in BrowserPage(text).words


def test_a_list_of_several_zones_says_which_its_times_are() -> None:
    mixed = (look(), look(kept=record(channel="alipay"), name="b.db"))
    text = pages.campaigns(CampaignPage(looks=mixed, places=()), visitor())
    assert text.count('title="UTC">2026-09-21 14:13 UTC</time>') == 2
    text = pages.campaigns(CampaignPage(looks=mixed[:1], places=()), visitor())
    assert 'title="China time (UTC+8)">2026-09-21 22:13</time>' in text
