// Notifies this page at once of what other devices do: messages on a WebSocket become the document's event
// "live:changes", which contains the changes by kind. This is optional: if there is no connection, pages are
// up to date when they are loaded.

import { refresh } from "./stale.js";

// milliseconds before the next attempt to connect, doubled each time
const [SOONEST, LATEST] = [1000, 60_000];
const AWAY = 60_000; // milliseconds; a page that has been hidden for this long closes its connection
const FOR_GOOD = ["logged_out", "account_closed"];
// Milliseconds until stale parts of the page are fetched for the first and the second time: read models
// usually include a change within a few milliseconds, and seldom later.
const [SETTLED, LATE] = [150, 2000];
const ALL = "*";

let socket = null;
let cursor = null; // of the latest message: a new connection resumes after it
let wait = SOONEST;
let [retry, leaving, settling, late] = [0, 0, 0, 0];
const recent = new Set(); // kinds that have changed, until parts of the page were refreshed twice

// Returns null if live connections are not available to this page at all.
async function ticket() {
  const body = new FormData();
  body.set("csrfmiddlewaretoken", document.querySelector("#player [name=csrfmiddlewaretoken]").value);
  const answer = await fetch("/live/ticket", { method: "POST", body, redirect: "manual" });
  if (answer.ok) return answer.json();
  if (answer.status === 503) throw new Error("later");
  return null;
}

async function connect() {
  clearTimeout(retry);
  if (socket || document.hidden) return;
  try {
    const found = await ticket();
    if (found && !socket && !document.hidden) open(found);
  } catch {
    again();
  }
}

function open({ ticket: token, url }) {
  const own = new WebSocket(url);
  socket = own;
  own.addEventListener("open", () => own.send(JSON.stringify({ type: "auth", token, cursor })));
  own.addEventListener("message", ({ data }) => hear(JSON.parse(data)));
  own.addEventListener("close", ({ code, reason }) => {
    if (socket !== own) return;
    socket = null;
    document.documentElement.classList.remove("is-live");
    if (reason === "invalid_cursor") cursor = null;
    if (!FOR_GOOD.includes(reason)) again(code === 4429 ? LATEST : 0);
  });
}

function again(least = 0) {
  const spread = 0.5 + Math.random();
  clearTimeout(retry);
  retry = setTimeout(connect, Math.max(wait * spread, least));
  wait = Math.min(2 * wait, LATEST);
}

function hear({ type, cursor: reached, data, retry_after: after }) {
  if (type === "restart") wait = 1000 * after;
  if (type === "ready") {
    wait = SOONEST;
    document.documentElement.classList.add("is-live"); // from now on all changes are received
  }
  if (reached) cursor = reached;
  if (type !== "changes" && type !== "resync") return;
  document.dispatchEvent(new CustomEvent("live:changes", { detail: data ?? {} }));
  for (const kind of type === "resync" ? [ALL] : Object.keys(data)) recent.add(kind);
  clearTimeout(settling);
  clearTimeout(late);
  settling = setTimeout(look, SETTLED);
  late = setTimeout(() => {
    look();
    recent.clear();
  }, LATE);
}

function look() {
  for (const part of document.querySelectorAll("[data-live]")) {
    if (recent.has(ALL) || part.dataset.live.split(" ").some((kind) => recent.has(kind))) part.dataset.stale = "";
  }
  return refresh();
}

function leave() {
  clearTimeout(retry);
  const own = socket;
  socket = null;
  own?.close();
}

document.addEventListener("focusout", () => {
  clearTimeout(settling);
  settling = setTimeout(look, SETTLED);
});
document.addEventListener("visibilitychange", () => {
  clearTimeout(leaving);
  if (document.hidden) leaving = setTimeout(leave, AWAY);
  else connect();
});
addEventListener("pagehide", leave);
addEventListener("pageshow", ({ persisted }) => persisted && connect());
addEventListener("online", connect);
connect();
