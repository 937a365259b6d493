// Shows what htmx has loaded into the page's dialog, and closes it when it is cancelled or
// its form has been processed.

// what has the focus when one content of the dialog follows another
const FIRST = "[autofocus], input:not([type=hidden]), textarea, a[href], button";
const dialog = document.getElementById("dialog");

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target !== dialog) return;
  if (!dialog.childElementCount) dialog.close();
  else if (!dialog.open) dialog.showModal();
  else if (!dialog.contains(document.activeElement)) dialog.querySelector(FIRST)?.focus();
});

dialog.addEventListener("click", (event) => {
  const cancels = event.target.closest("[data-closes-dialog]");
  if (!cancels && event.target !== dialog) return;
  event.preventDefault();
  dialog.close();
});

// closed before the answer is swapped into the page, so that the focus returns to the
// element that opened the dialog
document.addEventListener("htmx:beforeSwap", (event) => {
  const form = event.detail.requestConfig.elt.closest("[data-closes-when-done]");
  if (form && dialog.contains(form) && event.detail.shouldSwap) dialog.close();
});

dialog.addEventListener("close", () => dialog.replaceChildren());
