// Reorders the rows of a list by dragging their handles with a mouse, a pen or a finger. The page's form is
// sent with the place where the row was dropped, and the server answers with the resulting list. Without this
// script, and for the keyboard, the buttons of each row do the same.

const EDGE = 72; // distance in pixels from the edge of the window at which it begins to scroll
const STEP = 12;

let drag = null;

document.addEventListener("pointerdown", (event) => {
  const grip = event.target.closest("[data-grip]");
  if (!grip || event.button !== 0) return;
  event.preventDefault();
  const row = grip.closest("li");
  drag = { row, grip, pointer: event.pointerId, from: row.nextElementSibling, y: event.clientY, timer: 0 };
  grip.setPointerCapture(event.pointerId);
  row.classList.add("dragged");
  drag.timer = setInterval(scroll, 16);
});

document.addEventListener("pointermove", (event) => {
  if (!drag || event.pointerId !== drag.pointer) return;
  drag.y = event.clientY;
  place();
});

document.addEventListener("pointerup", (event) => {
  if (drag && event.pointerId === drag.pointer) drop(true);
});
document.addEventListener("pointercancel", () => drag && drop(false));
document.addEventListener("keydown", (event) => {
  if (drag && event.key === "Escape") drop(false);
});

// The row changes places with a neighbour once the pointer is past the middle of that neighbour.
function place() {
  const { row, y } = drag;
  const before = row.previousElementSibling;
  const after = row.nextElementSibling;
  if (before && y < middle(before)) before.before(row);
  else if (after && y > middle(after)) after.after(row);
}

function middle(row) {
  const box = row.getBoundingClientRect();
  return box.top + box.height / 2;
}

function scroll() {
  if (drag.y < EDGE) scrollBy(0, -STEP);
  else if (drag.y > innerHeight - EDGE) scrollBy(0, STEP);
  else return;
  place();
}

function drop(keep) {
  const { row, from, timer } = drag;
  drag = null;
  clearInterval(timer);
  row.classList.remove("dragged");
  if (row.nextElementSibling === from) return;
  const list = row.parentElement;
  const back = () => list.insertBefore(row, from);
  if (!keep) return void back();
  const form = document.getElementById("arrange");
  // the place of the first row on a later page is given by the row after it
  const before = row.previousElementSibling;
  const near = before ? { behind: before.dataset.key } : { ahead: row.nextElementSibling.dataset.key };
  const values = { move: row.dataset.key, ...near };
  const request = { source: form, target: "#members", swap: "innerHTML settle:0ms", values };
  // if no answer has replaced the list, nothing was changed
  const settle = () => row.isConnected && back();
  window.htmx.ajax("POST", form.action, request).then(settle, settle);
}
