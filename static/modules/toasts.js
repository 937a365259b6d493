// Toasts go by themselves after ten seconds (components.css), but not while somebody points at one, is in it or
// looks at another tab. Here: they are read out also where a page came with them, the last one is taken back with
// Ctrl+Z outside of fields, and Escape closes it.

const region = document.getElementById("toasts");
const FIELDS = "input, textarea, select, [contenteditable]";

// a live region tells what changes in it, and nothing that stood in it when the page came
function announce() {
  const told = [...region.childNodes];
  region.replaceChildren();
  setTimeout(() => region.replaceChildren(...told), 100);
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
