"""The console's URLs: each handler looks, asks for a page, and knows nothing of markup."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from aiohttp import web

from promomsg.console.action_routes import ActionRoutes
from promomsg.console.actions import ACTIONS
from promomsg.console.campaign_filter import STANDINGS, CampaignFilter
from promomsg.console.campaign_looks import CampaignLooks
from promomsg.console.console_types import CampaignPage, Listed, Look, SenderNews
from promomsg.console.live import GONE, LiveStreams, Parts
from promomsg.console.page_models import PEOPLE_STATES, PeopleQuery, names_of
from promomsg.console.page_reads import PageReads
from promomsg.console.pages import Pages
from promomsg.console.requests import form_field, named, page_answer, sent_form, visit_of
from promomsg.console.static_files import static_files
from promomsg.console.visits import Visits
from promomsg.errors import JournalError, UsageError
from promomsg.journal.contract import Journal
from promomsg.journal.people.people_contract import PeoplePage
from promomsg.log_events import log_event
from promomsg.model import State

__all__ = ["Routes"]

_PEOPLE: Final = 50
"""Recipients of a page."""
_LONGEST: Final = 200
"""Characters of a search."""
_UNCHANGING: Final = {"Cache-Control": "private, max-age=31536000, immutable"}
"""Of an address that only ever has these bytes. Not for caches that several people share: nothing here is."""
_log: Final = logging.getLogger("promomsg.console")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Seen(NamedTuple):
    """A campaign as its open pages show it."""

    look: Look
    news: SenderNews | None


class Routes:
    """The handlers of all URLs.

    Args:
        looks: the campaigns.
        reads: what else of a campaign is shown.
        pages: renders.
        actions: what may be done.
        visits: who asks.
        live: the open streams.
    """

    def __init__(
        self,
        looks: CampaignLooks,
        reads: PageReads,
        pages: Pages,
        actions: ActionRoutes,
        visits: Visits,
        live: LiveStreams,
    ) -> None:
        self._looks = looks
        self._reads = reads
        self._pages = pages
        self._actions = actions
        self._visits = visits
        self._live = live
        self._static = static_files()

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Puts them where they belong."""
        one = "/campaigns/{place}/{name}"
        router.add_get("/", self.campaigns)
        router.add_get("/live", self.live_campaigns, allow_head=False)
        router.add_get("/workers", self.workers)
        router.add_get("/sign-in", self.ask_token)
        router.add_post("/sign-in", self.sign_in)
        router.add_post("/sign-out", self.sign_out)
        router.add_get("/language/{tag}", self.language)
        router.add_get("/static/{file}", self.static)
        router.add_get(one, self.campaign)
        router.add_get(f"{one}/recipients", self.recipients)
        router.add_get(f"{one}/recipients/{{seq}}", self.recipient)
        router.add_get(f"{one}/rate", self.rate)
        router.add_get(f"{one}/groups", self.groups)
        router.add_get(f"{one}/live", self.live_campaign, allow_head=False)
        action = f"{one}/{{action:{'|'.join(ACTIONS)}}}"
        router.add_get(action, self._actions.ask)
        router.add_post(action, self._actions.act)

    # The list.

    async def campaigns(self, request: web.Request) -> web.StreamResponse:
        after, wanted = request.query.get("after", ""), _campaign_filter(request)
        listed = Listed.read(after)
        page = await self._looks.page(listed, wanted)
        return page_answer(
            self._pages.campaigns(
                page, visit_of(request).visitor, after=after if listed else "", wanted=wanted
            )
        )

    async def live_campaigns(self, request: web.Request) -> web.StreamResponse:
        visit = visit_of(request)
        after, wanted = Listed.read(request.query.get("after", "")), _campaign_filter(request)

        async def look(last: CampaignPage | None) -> CampaignPage:
            if last is None or after is None:
                return await self._looks.page(after, wanted)
            return await self._looks.refreshed(last)

        async def render(page: CampaignPage) -> Parts:
            return {
                "names": names_of(page),
                **self._pages.campaign_cards(page.looks, visit.visitor),
            }

        return await self._live.answer(
            request, ("list", after, wanted), look, visit.visitor.language, render,
            lambda: self._visits.is_over(visit),
        )  # fmt: skip

    async def workers(self, request: web.Request) -> web.StreamResponse:
        fleet = self._looks.fleet
        if fleet is None:
            raise web.HTTPNotFound
        workers = await fleet.workers()
        visitor = visit_of(request).visitor
        return page_answer(
            self._pages.workers(workers, visitor, database=fleet.shown, now=time.time())
        )

    # One campaign.

    async def campaign(self, request: web.Request) -> web.StreamResponse:
        visit, look = visit_of(request), await self._look(request)
        if look.report is None:
            return page_answer(self._pages.campaign(look, visit.visitor))
        journal = await self._journal(request)
        look, values = await self._reads.details(look, journal)
        page = self._pages.campaign(
            look,
            visit.visitor,
            actions=await self._actions.possible(look, journal, visit.visitor),
            values=values,
            news=self._actions.news(look),
            done=self._actions.done(look, visit),
        )
        return page_answer(page)

    async def live_campaign(self, request: web.Request) -> web.StreamResponse:
        visit, (place, name) = visit_of(request), named(request)
        await self._look(request)
        journal = await self._journal(request)

        async def look(last: _Seen | None) -> object:
            found = await self._looks.campaign(place, name)
            if found is None:
                return GONE
            if found.report is not None:
                found, _ = await self._reads.details(found, journal)
            seen = _Seen(found, self._actions.news(found))
            same = last is not None and last.look is found and last.news == seen.news
            return last if same else seen

        async def render(seen: _Seen) -> Parts:
            actions = await self._actions.possible(seen.look, journal, visit.visitor)
            return self._pages.campaign_parts(
                seen.look, visit.visitor, actions=actions, news=seen.news
            )

        return await self._live.answer(
            request, (place, name), look, (visit.visitor.language, visit.visitor.may_act), render,
            lambda: self._visits.is_over(visit),
        )  # fmt: skip

    async def rate(self, request: web.Request) -> web.StreamResponse:
        look = await self._read_look(request)
        timeline = await self._reads.timeline(look)
        return page_answer(self._pages.rate(look, timeline, visit_of(request).visitor))

    async def groups(self, request: web.Request) -> web.StreamResponse:
        look = await self._read_look(request)
        after = _number(request, "after") or 0
        return page_answer(self._pages.groups(look, visit_of(request).visitor, after=after))

    async def recipients(self, request: web.Request) -> web.StreamResponse:
        look, visitor = await self._read_look(request), visit_of(request).visitor
        query = _people_query(request)
        found, error = PeoplePage(), ""
        try:
            found = await self._reads.view(
                await self._journal(request),
                lambda view: view.people(
                    after=query.after,
                    before=None if query.after is not None else query.before,
                    limit=_PEOPLE,
                    states={State(query.state)} if query.state else None,
                    code=query.code or None,
                    search=query.search or None,
                ),
            )
        except UsageError as wrong:
            error = str(wrong)
        return page_answer(self._pages.recipients(look, visitor, query, found, error=error))

    async def recipient(self, request: web.Request) -> web.StreamResponse:
        look = await self._read_look(request)
        seq = _digits(request.match_info["seq"])
        person = None
        if seq is not None:
            journal = await self._journal(request)
            person = await self._reads.view(journal, lambda view: view.person(seq))
        if person is None:
            raise web.HTTPNotFound
        return page_answer(self._pages.recipient(look, visit_of(request).visitor, person))

    # Who it is.

    async def ask_token(self, request: web.Request) -> web.StreamResponse:
        back = _local(request.query.get("back", ""))
        return page_answer(self._pages.sign_in(visit_of(request).visitor, back=back))

    async def sign_in(self, request: web.Request) -> web.StreamResponse:
        visit, form = visit_of(request), await sent_form(request)
        self._visits.check_form(visit, request, form_field(form, "csrf"))
        back = _local(form_field(form, "back"))
        response = web.Response(status=303, headers={"Location": back})
        role = self._visits.sign_in(request, form_field(form, "token").strip(), response)
        if role is None:
            log_event(
                _log, "console.refused", "refused with %(status)s: %(reason)s",
                level=logging.WARNING, status=403, reason="wrong token",
            )  # fmt: skip
            error = "that token is none of this console"
            return page_answer(
                self._pages.sign_in(visit.visitor, back=back, error=error), status=403
            )
        log_event(_log, "console.signed_in", "somebody signed in as %(role)s", role=role)
        return response

    async def sign_out(self, request: web.Request) -> web.StreamResponse:
        visit, form = visit_of(request), await sent_form(request)
        self._visits.check_form(visit, request, form_field(form, "csrf"))
        response = web.Response(status=303, headers={"Location": "/sign-in"})
        self._visits.sign_out(visit, response)
        return response

    async def language(self, request: web.Request) -> web.StreamResponse:
        back = _local(request.query.get("back", ""))
        response = web.Response(status=303, headers={"Location": back})
        if not self._visits.speak(request.match_info["tag"], response):
            raise web.HTTPNotFound
        return response

    async def static(self, request: web.Request) -> web.StreamResponse:
        found = self._static.get(request.match_info["file"])
        if found is None:
            raise web.HTTPNotFound
        return web.Response(
            body=found.data, content_type=found.kind, charset="utf-8",
            headers=_UNCHANGING if request.query.get("v") == found.version else None,
        )  # fmt: skip

    # What a URL names.

    async def _look(self, request: web.Request) -> Look:
        look = await self._looks.campaign(*named(request))
        if look is None:
            raise web.HTTPNotFound
        return look

    async def _read_look(self, request: web.Request) -> Look:
        """One that there is something to read of."""
        look = await self._look(request)
        if look.report is None:
            raise JournalError(look.error or "its plan is not complete yet: come back in a moment")
        return look

    async def _journal(self, request: web.Request) -> Journal:
        journal = await self._looks.journal(*named(request))
        if journal is None:
            raise web.HTTPNotFound
        return journal


def _campaign_filter(request: web.Request) -> CampaignFilter:
    standing = request.query.get("state", "")
    return CampaignFilter(
        standing=standing if standing in STANDINGS else "",
        search=request.query.get("search", "").strip()[:_LONGEST],
    )


def _people_query(request: web.Request) -> PeopleQuery:
    query = request.query
    state = query.get("state", "")
    return PeopleQuery(
        state=state if state in PEOPLE_STATES else "",
        code=query.get("code", "")[:_LONGEST],
        search=query.get("search", "").strip()[:_LONGEST],
        after=_number(request, "after"),
        before=_number(request, "before"),
    )


def _number(request: web.Request, name: str) -> int | None:
    return _digits(request.query.get(name, ""))


def _digits(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def _local(path: str) -> str:
    """A path of this console to go on to; whatever leads elsewhere becomes the list."""
    is_ours = path.startswith("/") and not path.startswith(("//", "/\\"))
    if (
        not is_ours
        or not path.isascii()
        or not path.isprintable()
        or "\\" in path
        or len(path) > 4000
    ):
        return "/"
    return path
