// Keeps an open page up to date: parts of it are replaced as the server sends them, and nothing else is
// done here. Without this script every page works; it is only not live.
"use strict";
(() => {
  const main = document.querySelector("main[data-live]");
  const word = document.getElementById("live");
  const list = document.querySelector("[data-names]");
  const announcer = document.getElementById("announcer");
  const RATE_EVERY = 30000; // milliseconds between two looks at the chart, which the server has to count for
  const AGAIN = 5000; // milliseconds until a server that refused is asked again
  let source = null;
  let again = 0;
  let rateAt = 0;

  const say = (isLive) => {
    word.hidden = false;
    word.textContent = isLive ? word.dataset.on : word.dataset.off;
    word.classList.toggle("off", !isLive);
  };

  // What has the keyboard's focus is found again by its address or its id once its part is a new one.
  const place = (element) => {
    if (element.id) return "#" + CSS.escape(element.id);
    const address = element.getAttribute("href");
    if (address !== null) return `[href="${CSS.escape(address)}"]`;
    const label = element.getAttribute("aria-labelledby");
    if (label !== null) return `[aria-labelledby="${CSS.escape(label)}"]`;
    return element.localName === "summary" ? "summary" : null;
  };

  const stateIn = (element) => {
    const found = element.querySelector("[data-announce]");
    return found === null ? null : found.dataset.announce;
  };

  const replace = (element, html) => {
    const fresh = document.createElement("template");
    fresh.innerHTML = html;
    const held = document.createElement("div");
    held.append(fresh.content.cloneNode(true));
    if (held.innerHTML === element.innerHTML) return;
    const focused = element.contains(document.activeElement) ? place(document.activeElement) : null;
    const open = Array.from(element.querySelectorAll("details"), (one) => one.open);
    const scrolled = Array.from(element.querySelectorAll(".scroll"), (one) => one.scrollLeft);
    const before = stateIn(element);
    element.replaceChildren(fresh.content);
    element.querySelectorAll("details").forEach((one, at) => { one.open = open[at] === true; });
    element.querySelectorAll(".scroll").forEach((one, at) => { one.scrollLeft = scrolled[at] || 0; });
    if (focused !== null) element.querySelector(focused)?.focus({ preventScroll: true });
    const after = stateIn(element);
    if (before !== after && after !== null) announcer.textContent = after;
  };

  // An element of a page of this console; null: the server is not there, or has no such page.
  const fetched = async (address, selector) => {
    try {
      const answer = await fetch(address, { credentials: "same-origin" });
      if (!answer.ok) return null;
      return new DOMParser().parseFromString(await answer.text(), "text/html").querySelector(selector);
    } catch {
      return null;
    }
  };

  const loadRate = async () => {
    const rate = document.querySelector("#rate[data-from]");
    if (rate === null || document.hidden || Date.now() - rateAt < RATE_EVERY) return;
    rateAt = Date.now();
    const found = await fetched(rate.dataset.from, "#rate");
    if (found !== null) replace(rate, found.innerHTML);
  };

  // Another campaign is there, or one is gone: the list is taken anew.
  const renew = async (names) => {
    if (names === list.dataset.names) return;
    const found = await fetched(location.href, "[data-names]");
    if (found === null) return;
    list.dataset.names = found.dataset.names;
    replace(list, found.innerHTML);
  };

  const close = () => {
    clearTimeout(again);
    source?.close();
    source = null;
  };

  const open = () => {
    if (main === null || source !== null || document.hidden) return;
    source = new EventSource(main.dataset.live);
    source.onopen = () => say(true);
    source.onerror = () => {
      say(false);
      if (source?.readyState === EventSource.CLOSED) {
        close();
        again = setTimeout(open, AGAIN);
      }
    };
    source.addEventListener("part", (event) => {
      const part = JSON.parse(event.data);
      if (part.id === "names") {
        renew(part.html);
        return;
      }
      const element = document.getElementById(part.id);
      if (element !== null) replace(element, part.html);
      loadRate();
    });
  };

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) close();
    else { open(); loadRate(); }
  });
  addEventListener("pagehide", close);
  addEventListener("pageshow", open);
  open();
  loadRate();
})();
