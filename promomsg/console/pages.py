"""The console's pages, rendered: each method gives the text of one."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from promomsg.console.campaign_filter import STANDINGS, CampaignFilter
from promomsg.console.console_types import Action, CampaignPage, Look, SenderNews, Visitor
from promomsg.console.page_models import (
    PEOPLE_STATES,
    PeopleQuery,
    card_id,
    card_of,
    first_action,
    first_means,
    group_page,
    names_of,
    next_moment,
    page_links,
    person_facts,
    standing_of,
    url_of,
)
from promomsg.console.plan_facts import plan_facts
from promomsg.console.static_files import static_files
from promomsg.journal.people.people_contract import PeoplePage, Person
from promomsg.report_formats.bar_chart import bar_chart
from promomsg.report_formats.page_environment import axis_text, page_environment
from promomsg.report_formats.page_language import PageLanguage
from promomsg.report_formats.page_parts import (
    TILES,
    codes_meant,
    funnel,
    meaning_of,
    segments,
    shown_message,
)
from promomsg.timeline import Timeline

if TYPE_CHECKING:
    from promomsg.fleet.worker_table import FleetWorker

__all__ = ["Pages"]

_TEMPLATES: Final = "promomsg.console/templates"
_CAMPAIGN_PARTS: Final = ("standing", "counts", "codes", "groups")
"""What of a campaign's page live events replace: each is the macro, and the element's id, of that name."""


_NO_FILTER: Final = CampaignFilter()


class Pages:
    """Renders.

    Args:
        languages: by the name that `Visitor.language` and `/language/{tag}` have for them.
        has_fleet: whether there is a page of workers.
    """

    def __init__(self, languages: Mapping[str, PageLanguage], *, has_fleet: bool = False) -> None:
        self._languages = languages
        self._has_fleet = has_fleet
        # Now, so that nobody waits for it: 0.2 s, and some milliseconds for each language.
        folder = resources.files("promomsg.console").joinpath("templates")
        names = [file.name for file in folder.iterdir() if file.name.endswith(".j2")]
        for language in languages.values():
            for in_china in (True, False):
                environment = page_environment(language, in_china=in_china, folder=_TEMPLATES)
                for name in names:
                    environment.get_template(name)

    def campaigns(
        self,
        page: CampaignPage,
        visitor: Visitor,
        *,
        after: str = "",
        wanted: CampaignFilter = _NO_FILTER,
    ) -> str:
        """The list of campaigns.

        Args:
            after: the `?after=` of this page; empty on the first one.
            wanted: which of them are asked for.
        """
        return self._page(
            "campaigns", visitor, wanted.url(after=after), in_china=_all_in_china(page.looks),
            page=page, names=names_of(page), cards=[card_of(look) for look in page.looks],
            wanted=wanted, standings=("", *STANDINGS), live=wanted.url("/live", after=after),
        )  # fmt: skip

    def campaign_cards(self, looks: Iterable[Look], visitor: Visitor) -> dict[str, str]:
        """What live events replace in the list: the content of each campaign's element, by its id."""
        looks = tuple(looks)
        module: Any = self._template("campaign_card", visitor, _all_in_china(looks)).module
        return {card_id(look): str(module.card(card_of(look))) for look in looks}

    def campaign(
        self,
        look: Look,
        visitor: Visitor,
        *,
        actions: Sequence[Action] = (),
        values: Sequence[str] | None = None,
        news: SenderNews | None = None,
        done: str = "",
    ) -> str:
        """One campaign; one that cannot be read says why.

        Args:
            actions: shown to who may act.
            values: of a real recipient, for the message as people see it.
            news: of the process that this console has started for it last.
            done: what was done just now, a sentence.
        """
        record = look.record
        return self._page(
            "campaign", visitor, url_of(look), in_china=_in_china(look),
            shown=self._shown(look, visitor, actions, news), done=done,
            clicks=None if look.report is None else look.report.click_summary(),
            message=None if record is None else shown_message(record, values),
            plan=() if record is None else plan_facts(record, () if look.report is None else look.report.groups),
        )  # fmt: skip

    def campaign_parts(
        self,
        look: Look,
        visitor: Visitor,
        *,
        actions: Sequence[Action] = (),
        news: SenderNews | None = None,
    ) -> dict[str, str]:
        """What live events replace in the page of a campaign: the content of each element, by its id."""
        module: Any = self._template("campaign_parts", visitor, _in_china(look)).module
        shown = self._shown(look, visitor, actions, news)
        return {name: str(getattr(module, name)(shown)) for name in _CAMPAIGN_PARTS}

    def rate(self, look: Look, timeline: Timeline, visitor: Visitor) -> str:
        """Outcomes over time. The page of a campaign takes the element `rate` of this one into it."""
        in_china = _in_china(look)
        chart = bar_chart(timeline, axis_text(timeline.step, in_china=in_china))
        return self._page(
            "rate", visitor, url_of(look, "rate"), in_china=in_china, look=look,
            url=url_of(look), title=_title(look), chart=chart,
        )  # fmt: skip

    def groups(self, look: Look, visitor: Visitor, *, after: int = 0) -> str:
        """The group sends of a campaign that has many.

        Args:
            after: how many of them come before.
        """
        found = () if look.report is None else look.report.groups
        return self._page(
            "groups", visitor, url_of(look, "groups"), in_china=_in_china(look), look=look,
            url=url_of(look), title=_title(look), groups=group_page(found, after), first=max(after, 0),
        )  # fmt: skip

    def recipients(
        self,
        look: Look,
        visitor: Visitor,
        query: PeopleQuery,
        found: PeoplePage,
        *,
        error: str = "",
    ) -> str:
        """People of a campaign.

        Args:
            error: why what is asked for cannot be looked for.
        """
        earlier, later = page_links(look, query, found)
        return self._page(
            "recipients", visitor, query.url(look, after=query.after, before=query.before),
            in_china=_in_china(look), look=look, url=url_of(look), title=_title(look), query=query,
            found=found, earlier=earlier, later=later, states=PEOPLE_STATES, error=error,
            codes=() if look.report is None else sorted(look.report.by_code),
        )  # fmt: skip

    def recipient(self, look: Look, visitor: Visitor, person: Person) -> str:
        """One of them, with everything that is kept."""
        record = look.record
        code = person.outcome.code
        return self._page(
            "recipient", visitor, url_of(look, "recipients", str(person.seq)), in_china=_in_china(look),
            look=look, url=url_of(look), title=_title(look), person=person,
            facts=person_facts(person), meant=codes_meant({code: 1}) if _is_known(code) else (),
            message=None if record is None else shown_message(record, person.values or None),
        )  # fmt: skip

    def confirm(self, look: Look, visitor: Visitor, action: Action, *, error: str = "") -> str:
        """What an action will do, and a button that does it.

        Args:
            error: why it was not done just now.
        """
        return self._page(
            "confirm", visitor, url_of(look, action.name), in_china=_in_china(look), look=look,
            url=url_of(look), title=_title(look), action=action, error=error, standing=standing_of(look),
            path=url_of(look, action.name),
        )  # fmt: skip

    def workers(
        self, workers: Sequence[FleetWorker], visitor: Visitor, *, database: str, now: float
    ) -> str:
        """Who sends the campaigns of a fleet.

        Args:
            database: for people, without user and password.
            now: Unix seconds, by the server's clock.
        """
        return self._page(
            "workers",
            visitor,
            "/workers",
            in_china=False,
            workers=workers,
            database=database,
            now=now,
        )

    def sign_in(self, visitor: Visitor, *, back: str = "/", error: str = "") -> str:
        """Asks for the token.

        Args:
            back: the path to go on to.
            error: why the token that was given will not do.
        """
        return self._page("sign_in", visitor, "/sign-in", in_china=False, back=back, error=error)

    def problem(self, visitor: Visitor, status: int, text: str = "") -> str:
        """Why there is no such page.

        Args:
            status: of HTTP: 400, 403, 404, 405, 429, 500, 503.
            text: what is wrong, and what to do, in English; empty: what the status says.
        """
        return self._page("problem", visitor, "/", in_china=False, status=status, text=text)

    def _shown(
        self, look: Look, visitor: Visitor, actions: Sequence[Action], news: SenderNews | None
    ) -> dict[str, Any]:
        """What the parts of a campaign's page show."""
        report = look.report
        return {
            "look": look,
            "url": url_of(look),
            "title": _title(look),
            "standing": standing_of(look),
            "report": report,
            "record": look.record,
            "actions": actions if visitor.may_act else (),
            "first_action": first_action(actions),
            "news": news,
            "tiles": TILES,
            "tile_links": {
                name: PeopleQuery(state="" if name == "planned" else name).url(look)
                for name in TILES
            },
            "bar": () if report is None else segments(report),
            "funnel": () if report is None else funnel(report, report.click_summary()),
            "codes": () if report is None else codes_meant(report.by_code),
            "code_url": f"{url_of(look, 'recipients')}?code=",
            "groups": group_page(() if report is None else report.groups),
            "next": None if report is None else next_moment(report, look.at),
            "first_means": ""
            if report is None or report.first is None
            else first_means(report.first.phase, is_over=not report.pending),
        }

    def _template(self, name: str, visitor: Visitor, in_china: bool) -> Any:
        environment = page_environment(
            self._language(visitor), in_china=in_china, folder=_TEMPLATES
        )
        return environment.get_template(f"{name}.html.j2")

    def _language(self, visitor: Visitor) -> PageLanguage:
        found = self._languages.get(visitor.language)
        return next(iter(self._languages.values())) if found is None else found

    def _page(
        self, name: str, visitor: Visitor, here: str, *, in_china: bool, **values: Any
    ) -> str:
        text: str = self._template(name, visitor, in_china).render(
            page_name=name,
            static={name: file.url for name, file in static_files().items()},
            visitor=visitor,
            language_name=visitor.language,
            languages=self._languages,
            has_fleet=self._has_fleet,
            here_path=here,
            made_at=time.time(),
            **values,
        )
        return text


def _title(look: Look) -> str:
    return look.name if look.report is None else look.report.campaign


def _in_china(look: Look) -> bool:
    return look.record is not None and look.record.channel == "wechat"


def _all_in_china(looks: Iterable[Look]) -> bool:
    """Whether one zone does for all of them: China time is WeChat's."""
    records = [look.record for look in looks if look.record is not None]
    return bool(records) and all(record.channel == "wechat" for record in records)


def _is_known(code: str) -> bool:
    return bool(code) and meaning_of(code) is not None
