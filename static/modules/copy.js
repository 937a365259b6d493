// Copies what stands in a field: <button data-copies="id of the field" data-copied="what to say then" hidden>.
// The button is shown where this browser lets a page copy.

const SHOWN_FOR = 2000;

function reveal(root) {
  if (!navigator.clipboard) return;
  for (const button of root.querySelectorAll("button[data-copies]")) button.hidden = false;
}

async function copy(button) {
  const field = document.getElementById(button.dataset.copies);
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
  } catch {
    return; // it is selected: the listener can copy it himself
  }
  const label = button.querySelector("span");
  const before = label.textContent;
  if (before === button.dataset.copied) return;
  label.textContent = button.dataset.copied;
  setTimeout(() => {
    label.textContent = before;
  }, SHOWN_FOR);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-copies]");
  if (button) copy(button);
});

reveal(document);
document.addEventListener("htmx:load", (event) => reveal(event.target));
