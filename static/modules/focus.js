// Keeps the place of the keyboard where an answer takes a row with the focus out of its list: the same
// button of the next row has it then.

let beside = null; // the row to go to, and which of its controls

const controlsOf = (row) => [...row.querySelectorAll("a[href], button")].filter((one) => one.checkVisibility());

document.addEventListener("htmx:beforeSwap", ({ detail: { target } }) => {
  const active = document.activeElement;
  if (target?.localName !== "li" || !target.contains(active)) return;
  const row = target.nextElementSibling ?? target.previousElementSibling;
  beside = { row, place: controlsOf(target).indexOf(active) };
});

document.addEventListener("htmx:afterRequest", () => {
  if (beside && document.activeElement === document.body) {
    const controls = beside.row?.isConnected ? controlsOf(beside.row) : [];
    (controls[beside.place] ?? controls.at(-1) ?? document.getElementById("main"))?.focus();
  }
  beside = null;
});
