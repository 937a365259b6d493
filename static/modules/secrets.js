// Adds to a password field a button that shows what is typed, and a warning while Caps Lock is on.

function reveal(root) {
  for (const button of root.querySelectorAll("[data-shows-secret]")) button.hidden = false;
}

reveal(document);
document.addEventListener("htmx:load", (event) => reveal(event.target));

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-shows-secret]");
  if (!button) return;
  const isShown = button.getAttribute("aria-pressed") === "true";
  button.previousElementSibling.type = isShown ? "password" : "text";
  button.setAttribute("aria-pressed", String(!isShown));
});

// hides the password again when the form is sent: browsers store the content of text
// fields and suggest it later
document.addEventListener(
  "submit",
  (event) => {
    for (const button of event.target.querySelectorAll("[data-shows-secret][aria-pressed=true]")) button.click();
  },
  true,
);

function tellCapsLock(event) {
  const help = event.target.closest?.(".secret")?.nextElementSibling;
  if (help && event.getModifierState) help.textContent = event.getModifierState("CapsLock") ? help.dataset.capsLock : "";
}

document.addEventListener("keydown", tellCapsLock);
document.addEventListener("keyup", tellCapsLock);
