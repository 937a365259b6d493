// Shows why an action within the page failed: the error message of the server, or that there is no
// connection. htmx itself shows nothing.

function tell(content) {
  document.getElementById("toasts")?.replaceChildren(content);
}

function toast(text) {
  const words = document.createElement("p");
  words.textContent = text;
  const made = document.createElement("div");
  made.className = "toast";
  made.append(words);
  return made;
}

const isDeed = (detail) => !detail.boosted && detail.requestConfig.verb !== "get";

document.addEventListener("htmx:responseError", (event) => {
  if (!isDeed(event.detail)) return;
  const page = new DOMParser().parseFromString(event.detail.xhr.responseText, "text/html");
  const heading = page.querySelector("main .lead") ?? page.querySelector("main h1");
  tell(toast(heading?.textContent ?? event.detail.xhr.statusText));
});

document.addEventListener("htmx:sendError", (event) => {
  if (isDeed(event.detail)) tell(document.getElementById("no-connection").content.cloneNode(true));
});
