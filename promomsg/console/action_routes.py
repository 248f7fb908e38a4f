"""The URLs of actions: a GET says what an action will do and asks, a POST does it."""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Final

from aiohttp import web

from promomsg.console.campaign_looks import CampaignLooks
from promomsg.console.console_types import Action, Look, SenderNews, Visitor
from promomsg.console.guard import Refused
from promomsg.console.page_models import url_of
from promomsg.console.pages import Pages
from promomsg.console.requests import form_field, named, page_answer, sent_form, visit_of
from promomsg.console.sender_processes import CampaignName
from promomsg.console.take_action import CampaignActions
from promomsg.console.visits import Visit, Visits
from promomsg.journal.contract import Journal
from promomsg.log_events import log_event

__all__ = ["ActionRoutes"]

_MOST_DONE: Final = 256
_log: Final = logging.getLogger("promomsg.console")


class ActionRoutes:
    """The handlers of actions, and what other pages show of them.

    Args:
        looks: the campaigns.
        pages: renders.
        visits: who asks.
        actions: what may be done.
    """

    def __init__(
        self, looks: CampaignLooks, pages: Pages, visits: Visits, actions: CampaignActions
    ) -> None:
        self._looks = looks
        self._pages = pages
        self._visits = visits
        self._actions = actions
        self._done: OrderedDict[tuple[str, str], str] = OrderedDict()

    async def possible(self, look: Look, journal: Journal, visitor: Visitor) -> tuple[Action, ...]:
        """Every action with a campaign, for who may act.

        Raises:
            JournalError: the journal, or the database, cannot be read.
        """
        if not visitor.may_act or look.report is None:
            return ()
        return tuple((await self._actions.possible(look, journal)).values())

    def news(self, look: Look) -> SenderNews | None:
        """How the process is that was started for a campaign last; None: none was."""
        return self._actions.processes.news(CampaignName(look.place, look.name))

    def done(self, look: Look, visit: Visit) -> str:
        """What this visitor has done with a campaign just now, said once; empty: nothing."""
        return self._done.pop((visit.session, url_of(look)), "")

    async def ask(self, request: web.Request) -> web.StreamResponse:
        """Says what an action will do."""
        visit = _operator(request)
        look, journal = await self._found(request)
        action = await self._actions.ask(look, journal, request.match_info["action"])
        if action is None:
            raise web.HTTPNotFound
        return page_answer(self._pages.confirm(look, visit.visitor, action))

    async def act(self, request: web.Request) -> web.StreamResponse:
        """Does it, when the form says so and still holds."""
        visit = _operator(request)
        form = await sent_form(request)
        self._visits.check_form(visit, request, form_field(form, "csrf"))
        name = request.match_info["action"]
        look, journal = await self._found(request)
        result = await self._actions.take(
            look, journal, name, form_field(form, "agreed"), language=visit.visitor.language
        )
        if result.done:
            log_event(
                _log, "console.action", "%(action)s of %(journal)s, by an %(role)s",
                action=name, journal=look.journal, role=visit.role,
            )  # fmt: skip
            self._keep(visit, look, result.done)
            return web.Response(status=303, headers={"Location": url_of(look)})
        action = result.ask or await self._actions.ask(look, journal, name)
        if action is None:
            raise web.HTTPNotFound
        page = self._pages.confirm(look, visit.visitor, action, error=result.error)
        return page_answer(page, status=409)

    def _keep(self, visit: Visit, look: Look, done: str) -> None:
        self._done[visit.session, url_of(look)] = done
        while len(self._done) > _MOST_DONE:
            self._done.popitem(last=False)

    async def _found(self, request: web.Request) -> tuple[Look, Journal]:
        look = await self._looks.campaign(*named(request))
        journal = await self._looks.journal(*named(request))
        if look is None or journal is None:
            raise web.HTTPNotFound
        return look, journal


def _operator(request: web.Request) -> Visit:
    visit = visit_of(request)
    if not visit.visitor.may_act:
        raise Refused(
            403,
            "you may look here and not act: sign in with the operators' token, at a console that is not "
            "`--read-only`",
            "role",
        )
    return visit
