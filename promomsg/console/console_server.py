"""The console's HTTP server: it listens, answers, and ends at once when it is asked to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

import anyio
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from promomsg.console.action_routes import ActionRoutes
from promomsg.console.browser_connections import ASKS_IN, BrowserConnections
from promomsg.console.campaign_looks import CampaignLooks
from promomsg.console.console_app import make_app
from promomsg.console.console_settings import ConsoleSettings
from promomsg.console.guard import Guard
from promomsg.console.live import LiveStreams
from promomsg.console.one_look import log_failure
from promomsg.console.own_addresses import OwnAddresses, names_of_certificate
from promomsg.console.page_reads import PageReads
from promomsg.console.pages import Pages
from promomsg.console.routes import Routes
from promomsg.console.sender_processes import SenderProcesses
from promomsg.console.take_action import CampaignActions
from promomsg.console.visits import Visits
from promomsg.fleet.fleet import Fleet
from promomsg.listening_socket import listen, url_of
from promomsg.log_events import log_event
from promomsg.report_formats.page_language import PageLanguage

__all__ = ["serve_console"]

_GRACE: Final = 0.25
"""Seconds that an answer under way has at the end."""
_KEEPS_ALIVE: Final = 30.0
"""Seconds that a connection is kept for another request."""
_log: Final = logging.getLogger("promomsg.console")


async def serve_console(
    settings: ConsoleSettings,
    languages: Mapping[str, PageLanguage],
    processes: SenderProcesses,
    announce: Callable[[str], None],
) -> None:
    """Runs the console until it is cancelled.

    Args:
        settings: what it shows, to whom, and where it listens.
        languages: of its pages, by the names that `--lang` has for them; the first one is the default.
        processes: what it starts for its visitors.
        announce: gets the URL, once it listens.

    Raises:
        UsageError: it may not be started like this, or cannot listen there.
    """
    settings.check()
    tls = settings.tls()
    connections = BrowserConnections()
    server = await listen(
        connections.make, settings.host, settings.port, tls=tls, start=False, greets_in=ASKS_IN
    )
    try:
        port: int = server.sockets[0].getsockname()[1]
        async with anyio.create_task_group() as tasks:
            live = LiveStreams(tasks)
            app = _app(settings, languages, processes, live, port)

            @web.middleware
            async def note(request: web.Request, handler: Any) -> web.StreamResponse:
                connections.heard(request.protocol)
                found: web.StreamResponse = await handler(request)
                return found

            app.middlewares.insert(0, note)
            runner = web.AppRunner(
                app, access_log=None, handle_signals=False, shutdown_timeout=_GRACE, logger=_quiet(),
                keepalive_timeout=_KEEPS_ALIVE,
            )  # fmt: skip
            await runner.setup()
            try:
                assert runner.server is not None
                connections.server = runner.server
                tasks.start_soon(connections.end_silent)
                await server.start_serving()
                url = settings.public() or url_of(server, settings.host, tls=tls is not None)
                log_event(_log, "console.started", "listening on %(url)s", url=url)
                announce(url_of(server, settings.host, tls=tls is not None))
                await asyncio.Event().wait()
            finally:
                server.close()
                live.close()
                with anyio.CancelScope(shield=True):
                    await runner.cleanup()
                tasks.cancel_scope.cancel()
    finally:
        server.close()


def _app(
    settings: ConsoleSettings,
    languages: Mapping[str, PageLanguage],
    processes: SenderProcesses,
    live: LiveStreams,
    port: int,
) -> web.Application:
    fleet = None if settings.fleet_url is None else Fleet(settings.fleet_url)
    certificate = settings.tls_certificate
    scheme = "http" if certificate is None else "https"
    names = () if certificate is None else names_of_certificate(certificate)
    public = settings.public()
    addresses = OwnAddresses(scheme, settings.host, port, public=public, names=names)
    secure = bool(public) or certificate is not None
    visits = Visits(
        settings.tokens(),
        {name: language.tag for name, language in languages.items()},
        read_only=settings.read_only,
        # Browsers tell the ports of a host not apart, but take this prefix from nobody else.
        cookie="__Host-promomsg" if secure else f"promomsg-{port}",
        secure=secure,
        behind_proxy=bool(public),
    )
    pages = Pages(languages, has_fleet=fleet is not None)
    looks = CampaignLooks(settings.folders, fleet, settings.fleet_url or "")
    actions = ActionRoutes(looks, pages, visits, CampaignActions(processes, fleet))
    routes = Routes(looks, PageReads(), pages, actions, visits, live)
    return make_app(Guard(addresses, same_user=settings.same_user), visits, pages, routes)


def _quiet() -> logging.Logger:
    """A log for aiohttp, which writes what strangers send into tracebacks: of a request that is none nothing
    is said, of anything else its kind and its place."""
    log = logging.getLogger("promomsg.console.http")
    if not log.filters:
        log.addFilter(_without_traceback)
    return log


def _without_traceback(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if error is not None and not isinstance(error, HttpProcessingError):
        log_failure("request", error)
    return error is None
