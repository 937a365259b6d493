// Pages of a listener follow each other in the same document, so that the player keeps playing: htmx
// fetches the page for a link or form (hx-boost) and swaps its main part, title, navigation and toasts
// into the document. Anything else (the administration, files, being logged out, another language) is
// opened by the browser as usual.

const OUTSIDE = /^\/(admin|api|users|authorize|setup|app-creator|styleguide|health|about|play|rss|static)(\/|$)/;
// after these forms the language or the listener may be a different one
const NEW_DOCUMENT = ["/settings/preferences", "/settings/erase"];
const places = new Map(); // the scroll position of each page, restored when going back
let shown = location.pathname + location.search;
let isMoving = false; // true from a step back or forward in the history until its page is shown

const pathOf = (url) => url.pathname + url.search;
const here = () => pathOf(location);

function isOutside(address) {
  const url = new URL(address, location.href);
  return url.origin !== location.origin || OUTSIDE.test(url.pathname);
}

function leaveToBrowser(event) {
  const link = event.type === "click" ? event.target.closest?.("a[href]") : null;
  const form = event.type === "submit" ? event.target : null;
  if (link && (link.hasAttribute("download") || isOutside(link.href))) event.stopPropagation();
  const action = form?.getAttribute("action") ?? "";
  if (form && (isOutside(action) || NEW_DOCUMENT.includes(action))) event.stopPropagation();
}

// in the capture phase, before htmx, which listens on the links themselves
document.addEventListener("click", leaveToBrowser, true);
document.addEventListener("submit", leaveToBrowser, true);

// A page that is still loading is abandoned when the listener moves on; a form that was sent is not aborted.
let pending = null;
function expectPage(xhr) {
  pending?.abort();
  pending = xhr;
}

// The address of the link that opened the dialog. After a choice in it that shows the same page again, the
// focus is back there.
let opener = null;
document.getElementById("dialog")?.addEventListener("close", () => (opener = null));

document.addEventListener("htmx:beforeRequest", ({ detail }) => {
  if (detail.target?.id === "dialog") opener = detail.elt.getAttribute("href");
  if (detail.boosted) expectPage(detail.requestConfig.verb === "get" ? detail.xhr : null);
});

function parsed(text) {
  return new DOMParser().parseFromString(text, "text/html");
}

function fits(page) {
  const own = page.querySelector("main#main") && page.documentElement.lang === document.documentElement.lang;
  return own && page.body.classList.contains("listener");
}

// Updates everything of the page except its main part, which htmx swaps.
function frame(page) {
  document.title = page.title;
  document.body.className = page.body.className;
  replace("nav.for-listeners", page);
  const toasts = page.getElementById("toasts");
  const own = document.getElementById("toasts");
  if (toasts && own) {
    own.replaceChildren(...toasts.children);
    htmx.process(own);
  }
  for (const script of page.head.querySelectorAll("script[type=module][src]")) {
    if (has(`script[src="${script.getAttribute("src")}"]`)) continue;
    const fresh = document.createElement("script");
    fresh.type = "module";
    fresh.src = script.getAttribute("src");
    document.head.append(fresh);
  }
  for (const sheet of page.head.querySelectorAll("link[rel=stylesheet]")) {
    if (!has(`link[href="${sheet.getAttribute("href")}"]`)) document.head.append(sheet.cloneNode());
  }
}

function closeDialogs() {
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  document.querySelector(":popover-open")?.hidePopover();
}

const has = (selector) => document.head.querySelector(selector) !== null;

function replace(selector, page) {
  const own = document.querySelector(selector);
  const fresh = page.querySelector(selector);
  if (!own || !fresh) return;
  own.replaceWith(fresh);
  htmx.process(fresh);
}

document.addEventListener("htmx:beforeSwap", (event) => {
  const { detail } = event;
  if (!detail.boosted) return;
  const { xhr } = detail;
  const isPage = (xhr.getResponseHeader("Content-Type") ?? "").startsWith("text/html");
  const page = isPage ? parsed(xhr.responseText) : null;
  const isError = xhr.status >= 400;
  if (!page?.querySelector("main#main") || (!isError && !fits(page))) {
    detail.shouldSwap = false;
    location.assign(xhr.responseURL || detail.pathInfo.finalRequestPath);
    return;
  }
  detail.shouldSwap = true;
  detail.isError = false;
  detail.target = document.getElementById("main");
  detail.selectOverride = "#main";
  detail.swapOverride = "outerHTML";
  if (isError) document.title = page.title;
  else frame(page);
  // also if the form is shown again with its errors
  closeDialogs();
});

// A form that is shown again with its errors keeps the page's address, and showing the same page
// again adds no history entry.
document.addEventListener("htmx:beforeHistoryUpdate", (event) => {
  const { history, boosted, requestConfig, pathInfo, xhr } = event.detail;
  if (!boosted) return;
  const led = xhr.responseURL ? pathOf(new URL(xhr.responseURL)) : pathInfo.finalRequestPath;
  const sent = pathOf(new URL(pathInfo.finalRequestPath, location.href));
  const stays = requestConfig.verb !== "get" && led === sent;
  if (stays || led === here()) Object.assign(history, { type: "replace", path: here() });
});

document.addEventListener("htmx:afterSwap", (event) => {
  const { boosted, requestConfig, pathInfo } = event.detail;
  if (!boosted || event.detail.target?.id !== "main") return;
  const main = document.getElementById("main");
  // what is to be mended, where a form is shown again with its errors
  const faulty = main.querySelector('[aria-invalid="true"]');
  const sameAgain = requestConfig.verb !== "get" && shown === here();
  const links = sameAgain && opener ? [...main.querySelectorAll("a[href]")] : [];
  const opened = links.find((link) => link.getAttribute("href") === opener);
  (faulty ?? opened ?? main).focus({ preventScroll: true });
  if (pathInfo.anchor) return;
  const top = sameAgain ? places.get(shown) : 0;
  shown = here();
  if (faulty) faulty.scrollIntoView({ block: "center", behavior: "instant" });
  else scrollTo({ top: top ?? 0, behavior: "instant" });
});

// Back and forward: the page is fetched again, because no page is cached.
document.addEventListener("htmx:historyCacheMissLoad", (event) => {
  const page = parsed(event.detail.response);
  closeDialogs();
  if (fits(page)) frame(page);
  else location.reload();
});
document.addEventListener("htmx:historyCacheMissLoadError", () => location.reload());
document.addEventListener("htmx:historyRestore", () => {
  shown = here();
  isMoving = false;
  scrollTo({ top: places.get(shown) ?? 0, behavior: "instant" });
});
addEventListener("popstate", (event) => (isMoving = Boolean(event.state?.htmx)));
addEventListener("scroll", () => isMoving || places.set(shown, scrollY), { passive: true });

// The server cannot be reached: the page stays, and the player keeps playing.
function tellNoConnection() {
  isMoving = false;
  const text = document.getElementById("no-connection").content.cloneNode(true);
  document.getElementById("toasts")?.replaceChildren(text);
}

document.addEventListener("htmx:sendError", (event) => event.detail.boosted && tellNoConnection());
document.addEventListener("htmx:historyCacheMiss", (event) => {
  event.detail.xhr.onerror = tellNoConnection;
  expectPage(event.detail.xhr);
});
