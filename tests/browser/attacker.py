"""Somebody else's page in the same browser, which tries what a page can try."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

__all__ = ["ATTEMPTS", "PAGE", "attacking"]

PAGE: Final = """<!doctype html><title>you have won</title>
<iframe name="sink"></iframe><iframe name="sink2"></iframe>"""

ATTEMPTS: Final = """
async ({ target, campaign, script, guessed }) => {
  const found = {};
  const soon = (ms) => new Promise((_, fail) => setTimeout(() => fail('no answer'), ms));
  const attempt = async (name, work) => {
    try { found[name] = String(await Promise.race([work(), soon(700)])); }
    catch (error) { found[name] = 'refused'; }
  };
  const loaded = (kind, at) => new Promise((done, fail) => {
    const element = document.createElement(kind);
    element.onload = () => {
      const inside = element.contentDocument || (element.contentWindow || {}).document;
      const shown = inside && inside.body ? inside.body.innerText : '';
      // A frame tells its page that something was shown, even if that is the browser's own error page.
      kind === 'iframe' ? (shown ? done(shown) : fail('empty')) : done('loaded');
    };
    element.onerror = () => fail('error');
    for (const [name, value] of Object.entries(at)) element[name] = value;
    document.body.append(element);
  });
  const post = (action, extra) => fetch(campaign + '/' + action, {
    method: 'POST', credentials: 'include',
    headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: new URLSearchParams({ csrf: 'x', ...guessed[action] }), ...extra,
  });
  const form = (action, target, encoding) => {
    const element = document.createElement('form');
    Object.assign(element, { action: campaign + '/' + action, method: 'post', target, enctype: encoding });
    for (const [name, value] of Object.entries({ csrf: 'x', ...guessed[action] })) {
      element.append(Object.assign(document.createElement('input'), { name, value }));
    }
    document.body.append(element);
    element.submit();
  };
  const read = async (at, options) => (await fetch(at, options)).text();

  await Promise.all([
    attempt('fetch the list', () => read(target + '/', { credentials: 'include' })),
    attempt('fetch a campaign', () => read(campaign, { credentials: 'include' })),
    attempt('fetch its people', () => read(campaign + '/recipients', { credentials: 'include' })),
    attempt('fetch without cors', () => read(campaign, { credentials: 'include', mode: 'no-cors' })),
    attempt('fetch with a header', () => read(campaign, { headers: { 'x-requested-with': 'x' } })),
    attempt('image', () => loaded('img', { src: campaign })),
    attempt('script', () => loaded('script', { src: target + script })),
    attempt('module', () => loaded('script', { src: target + script, type: 'module' })),
    attempt('style', () => loaded('link', { href: target + '/static/console.css', rel: 'stylesheet' })),
    attempt('frame', () => loaded('iframe', { src: campaign })),
    attempt('object', () => loaded('object', { data: campaign, type: 'text/html' })),
    attempt('events', () => new Promise((done, fail) => {
      const events = new EventSource(campaign + '/live', { withCredentials: true });
      events.onopen = () => done('open');
      events.onmessage = (event) => done(event.data);
      events.addEventListener('part', (event) => done(event.data));
      events.onerror = () => fail('error');
    })),
    attempt('socket', () => new Promise((done, fail) => {
      const socket = new WebSocket(target.replace('http', 'ws') + '/live');
      socket.onopen = () => done('open');
      socket.onerror = () => fail('error');
    })),
    attempt('window', () => new Promise((done, fail) => {
      const other = window.open(campaign);
      if (!other) { fail('blocked'); return; }
      window.addEventListener('message', (event) => done(event.data));
      setTimeout(() => {
        if (other.closed) { fail('not ours any more'); return; }
        other.postMessage({ action: 'pause', name: 'pause', html: '<img src=x onerror=hacked=1>' }, '*');
        // Where it is still empty it is ours; what it shows then is another origin's.
        try { if (other.document.body.innerText) done(other.document.body.innerText); }
        catch (error) { fail('another origin'); }
      }, 400);
    })),
    attempt('pause', async () => (await post('pause')).status),
    attempt('cancel', async () => (await post('cancel', { mode: 'no-cors' })).status || 'sent'),
    attempt('resume', async () => (await post('resume', { mode: 'no-cors' })).status || 'sent'),
    attempt('beacon', async () => {
      navigator.sendBeacon(campaign + '/cancel', new URLSearchParams({ csrf: 'x', ...guessed.cancel }));
      return 'sent';
    }),
  ]);
  form('cancel', 'sink', 'application/x-www-form-urlencoded');
  form('retry', 'sink2', 'text/plain');
  await new Promise((done) => setTimeout(done, 400));
  return found;
}
"""
"""What each attempt came to, by its name; `refused` where it came to nothing. `guessed` is what it knows of
each action's form but for the form's token."""


@asynccontextmanager
async def attacking() -> AsyncIterator[int]:
    """A server of such a page on this machine; gives its port."""

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", page)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
