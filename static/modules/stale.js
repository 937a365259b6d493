// Fetches parts of the page again: those that live.js marks as stale, and those that wait for something that the
// server is doing (data-pending), as new podcasts wait for the titles of their feeds.

const PENDING = 5000; // milliseconds

// Fetches again the stale parts of the page, which declare the kinds of data that they show, but not
// while somebody is using them.
export async function refresh() {
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

setInterval(() => {
  if (document.hidden) return;
  for (const part of document.querySelectorAll("[data-live][data-pending]")) part.dataset.stale = "";
  refresh();
}, PENDING);
