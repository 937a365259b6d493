// Toasts disappear after ten seconds (components.css), but not while the pointer or the focus is on one, or
// another tab is in front. This module has toasts read out that were part of the page when it loaded, undoes
// the last one with Ctrl+Z outside of fields, and closes it with Escape.

const region = document.getElementById("toasts");
const FIELDS = "input, textarea, select, [contenteditable]";

// a live region announces changes of its content, but not what it contained when the page loaded
function announce() {
  const lines = [...region.childNodes];
  region.replaceChildren();
  setTimeout(() => region.replaceChildren(...lines), 100);
}

function newest() {
  const shown = [...region.querySelectorAll(".toast")].filter((toast) => getComputedStyle(toast).visibility === "visible");
  return shown.at(-1);
}

document.addEventListener("keydown", (event) => {
  const toast = newest();
  if (!toast) return;
  if (event.key === "Escape" && !document.querySelector("dialog[open]")) toast.remove();
  if (event.key !== "z" || !(event.ctrlKey || event.metaKey) || event.shiftKey) return;
  const undo = toast.querySelector("form");
  if (!undo || event.target.closest(FIELDS)) return;
  event.preventDefault();
  undo.requestSubmit();
});

document.addEventListener("visibilitychange", () => region.classList.toggle("is-away", document.hidden));

if (region.childElementCount) announce();
