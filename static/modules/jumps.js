// Chapters lead to their place in the audio of this page; without JavaScript they open the page anew at that place.

const audio = document.getElementById("audio");

document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-jumps-to]");
  if (!link || !audio) return;
  event.preventDefault();
  audio.currentTime = Number(link.dataset.jumpsTo);
  audio.play().catch(() => audio.focus());
});
