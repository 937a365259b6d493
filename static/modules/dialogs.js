// Shows what htmx has put into the page's dialog, and closes it where its cancel is pressed.

const dialog = document.getElementById("dialog");

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target === dialog) dialog.showModal();
});

dialog.addEventListener("click", (event) => {
  const cancels = event.target.closest("[data-closes-dialog]");
  if (!cancels && event.target !== dialog) return;
  event.preventDefault();
  dialog.close();
});

dialog.addEventListener("close", () => dialog.replaceChildren());
