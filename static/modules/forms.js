// A form that changes something is sent only once, however often its button is pressed
// before the answer arrives. One that comes back with errors begins at the first of them.

document.querySelector('main [aria-invalid="true"]')?.focus();

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.method !== "post") return; // htmx sends it, or it changes nothing
  if (form.dataset.sending) event.preventDefault();
  form.dataset.sending = "yes";
});

// before htmx queues a second request behind the first
document.addEventListener("htmx:confirm", (event) => {
  if (event.target.closest("form")?.dataset.sending) event.preventDefault();
});

document.addEventListener("htmx:beforeRequest", (event) => {
  const form = event.target.closest("form");
  if (form && event.detail.requestConfig.verb !== "get") form.dataset.sending = "yes";
});

document.addEventListener("htmx:afterRequest", (event) => {
  delete event.target.closest("form")?.dataset.sending;
});

// when the browser shows a page again from its back/forward cache
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sending]")) delete form.dataset.sending;
});
