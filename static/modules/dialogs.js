// Shows what htmx has put into the page's dialog, and closes it where its cancel is pressed or its form is done.

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

// before its answer takes its place in the page, so that the focus goes back to what opened the dialog
document.addEventListener("htmx:beforeSwap", (event) => {
  const form = event.detail.requestConfig.elt.closest("[data-closes-when-done]");
  if (form && dialog.contains(form) && event.detail.shouldSwap) dialog.close();
});

dialog.addEventListener("close", () => dialog.replaceChildren());
