// Space plays and pauses, the arrow keys move, a question mark shows the keys; but not while the focus is
// where one types or chooses.

const TAKES_KEYS = "input:not(#player-place), textarea, select, audio, video, [contenteditable], [role=listbox], [role=menu], [role=slider], dialog[open]";
const TYPED = "input:not([type=range], [type=checkbox], [type=radio]), textarea, select, [contenteditable]";
const PRESSED_BY_SPACE = "button, summary, label, [tabindex]:not(main)";

export function keys(actions) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    const on = event.target;
    if (event.key === "?" && !on.closest(TYPED)) {
      event.preventDefault();
      document.getElementById("player-keys").showModal();
      return;
    }
    const action = named(event);
    if (!action || !actions.isOpen() || on.closest(TAKES_KEYS)) return;
    if (event.key === " " && on.closest(PRESSED_BY_SPACE)) return;
    if (event.key !== " " && on.closest("[draggable]")) return;
    event.preventDefault();
    actions[action]();
  });
}

function named({ key, shiftKey }) {
  if (shiftKey) return { ArrowUp: "louder", ArrowDown: "quieter", ArrowLeft: "slower", ArrowRight: "faster" }[key];
  return { " ": "toggle", ArrowLeft: "back", ArrowRight: "ahead" }[key];
}
