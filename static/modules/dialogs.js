// Shows what htmx has loaded into the page's dialog, and closes it when it is cancelled or
// its form has been processed.

const dialog = document.getElementById("dialog");

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target !== dialog) return;
  if (!dialog.childElementCount) dialog.close();
  else if (!dialog.open) dialog.showModal();
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
