// Copies the content of a field: <button data-copies="id of the field" data-copied="text to show then"
// hidden>. With data-shares, a phone opens its share sheet instead.

const SHOWN_FOR = 2000;

function reveal(root) {
  for (const button of root.querySelectorAll("button[data-copies]")) button.hidden = false;
}

// Without HTTPS only the older way (execCommand) works.
async function isCopied(text) {
  if (!navigator.clipboard) return document.execCommand("copy");
  return navigator.clipboard.writeText(text).then(() => true, () => false);
}

async function copy(button) {
  const field = document.getElementById(button.dataset.copies);
  if ("shares" in button.dataset && navigator.share && matchMedia("(pointer: coarse)").matches) {
    navigator.share({ url: field.value, title: document.title }).catch(() => {});
    return;
  }
  field.select();
  if (!(await isCopied(field.value))) return; // the text is selected, so the listener can copy it himself
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
