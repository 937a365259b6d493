// What other devices do is told to this page at once, on a WebSocket, as an event of the document: "live:changes", with
// what has changed by its kind. Nothing depends on it: where it does not connect, pages show what they show when asked.

const [SOONEST, LATEST] = [1000, 60_000]; // milliseconds before it is tried again, twice as long each time
const AWAY = 60_000; // a page that nobody looks at for so long lets its connection go
const FOR_GOOD = ["logged_out", "account_closed"];
// Milliseconds until pages are read anew: the read models have what was told within a few, and seldom later.
const [SETTLED, LATE] = [150, 2000];
const ALL = "*";

let socket = null;
let cursor = null; // of what was told last: a new connection goes on after it
let wait = SOONEST;
let [retry, leaving, settling, late] = [0, 0, 0, 0];
const recent = new Set(); // kinds of which something was told, until they have been looked at twice

// Null where there is none for this page, now or ever.
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
    document.documentElement.classList.add("is-live"); // from here on everything is told
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

// Parts of the page that say of which kinds they show something are fetched anew, but not under somebody's hands.
async function refresh() {
  if (!document.querySelector("[data-live][data-stale]") || document.querySelector("dialog[open]")) return;
  const { href } = location;
  const answer = await fetch(href).catch(() => null);
  if (!answer?.ok || answer.redirected || location.href !== href) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live][data-stale]")) {
    const fresh = page.getElementById(part.id);
    const isUsed = part.contains(document.activeElement) || part.querySelector("details[open], :popover-open, .arranging");
    if (!fresh || isUsed || part.classList.contains("arranging")) continue;
    part.replaceWith(fresh);
    htmx.process(fresh);
    htmx.trigger(fresh, "htmx:load");
  }
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
