// Listens to what changes and swaps the sections of this page that differ. Pages are whole without it.
"use strict";
(() => {
  const OFTEN_MS = 2000, SELDOM_MS = 15000, POLL_MS = 10000, RETRY_MS = 60000;
  const said = document.getElementById("live");
  const button = document.getElementById("pause");
  const clock = document.getElementById("clock");
  const store = {
    get: () => { try { return sessionStorage.getItem("paused") === "yes"; } catch { return false; } },
    set: (value) => { try { sessionStorage.setItem("paused", value ? "yes" : "no"); } catch { /* then for this page only */ } },
  };
  let paused = store.get(), due = false, busy = false, fetchedAt = Date.now(), changedAt = 0, stream = null, triedAt = 0, trouble = "";

  // A page that says that nothing can be shown waits for one that can.
  const waiting = document.querySelector("[data-waiting]");
  const isLive = waiting || document.querySelector("section[data-live]");
  const live = () => [...document.querySelectorAll("[data-live]")];
  const concerns = (topics) => live().some((section) => section.dataset.live.split(" ").some((one) => topics.includes(one)));

  function say() {
    said.textContent = paused ? "paused" : trouble || (stream ? "live" : "every 10 s");
    said.dataset.state = paused ? "paused" : trouble ? "away" : "live";
    button.textContent = paused ? "resume" : "pause";
    button.setAttribute("aria-pressed", String(paused));
  }

  // What has the focus is found again by its id, or by where it leads and what it says.
  const nameOf = (element) => element.id ? `#${element.id}` : `${element.getAttribute("href") || ""}|${element.textContent.trim()}`;

  function swap(old, fresh) {
    if (old.innerHTML === fresh.innerHTML) return;
    const active = old.contains(document.activeElement) ? document.activeElement : null;
    if (active && active.matches("input, select, textarea")) return; // somebody writes there
    const focus = active && nameOf(active);
    const open = new Set([...old.querySelectorAll("details[open]")].map((one) => one.dataset.key || nameOf(one.firstElementChild)));
    const places = [...old.querySelectorAll(".scroll, .pipe")].map((one) => one.scrollLeft);
    for (const one of fresh.querySelectorAll("details")) {
      if (open.has(one.dataset.key || nameOf(one.firstElementChild))) one.open = true;
    }
    old.replaceChildren(...fresh.childNodes);
    old.querySelectorAll(".scroll, .pipe").forEach((one, place) => { one.scrollLeft = places[place] || 0; });
    if (focus) [...old.querySelectorAll("a, button, summary, [tabindex]")].find((one) => nameOf(one) === focus)?.focus({ preventScroll: true });
  }

  async function look() {
    if (busy) return;
    busy = true;
    due = false;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
      if (answer.ok) {
        if (waiting) location.reload();
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
        if (!paused) {
          for (const section of live()) {
            const same = section.id && fresh.getElementById(section.id);
            if (same) swap(section, same);
          }
        }
        // What was seen before it changed is shown to many for a moment: then we ask once more.
        due = due || Date.parse(fresh.getElementById("as-of")?.dataset.at) < changedAt;
        trouble = "";
      } else {
        trouble = answer.status === 503 ? "database away" : "cannot be read now";
      }
    } catch {
      trouble = "gateway away";
    }
    fetchedAt = Date.now();
    busy = false;
    say();
  }

  function listen() {
    triedAt = Date.now();
    const source = new EventSource("/ui/events");
    let known = false;
    source.addEventListener("hello", () => { due = due || known; known = true; stream = source; say(); });
    source.addEventListener("changed", (event) => {
      if (!concerns([...event.data.split(" "), "all"])) return;
      due = true;
      changedAt = Date.now() + offset;
    });
    source.addEventListener("error", () => { stream = null; if (source.readyState === EventSource.CLOSED) source.close(); say(); });
  }

  function tick() {
    const now = Date.now();
    const age = now - fetchedAt;
    if (clock) clock.textContent = new Date(now + offset).toISOString().slice(11, 19);
    if (paused || document.hidden || !isLive) return;
    if (!stream && now - triedAt > RETRY_MS) listen();
    if ((due && age >= OFTEN_MS) || age >= (stream ? SELDOM_MS : POLL_MS)) look();
  }

  const offset = clock ? Date.parse(clock.dateTime) - Date.now() : 0;
  button.hidden = !isLive;
  button.addEventListener("click", () => { paused = !paused; store.set(paused); due = due || !paused; say(); });
  document.addEventListener("visibilitychange", () => { due = due || !document.hidden; });
  if (isLive) { listen(); say(); } else { said.hidden = true; }
  setInterval(tick, 1000);
})();
