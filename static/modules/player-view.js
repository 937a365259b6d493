// What the player's bar shows: times, the play button and messages, and which play buttons on the page
// belong to what is playing.

export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, String(whole % 60).padStart(2, "0")];
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

// Pages, toasts and the panel leave as much room as the bar needs and, on a phone, the navigation below it.
function keepRoom(bar) {
  const root = document.documentElement;
  const observer = new ResizeObserver(() => {
    const navigation = document.querySelector("nav.for-listeners");
    if (navigation) observer.observe(navigation);
    if (!bar.hidden) root.style.setProperty("--player", `${bar.offsetHeight}px`);
    if (navigation) root.style.setProperty("--phone-navigation", `${navigation.offsetHeight}px`);
  });
  observer.observe(bar);
}

const speedWords = new Intl.NumberFormat(document.documentElement.lang, { maximumFractionDigits: 2 });

export function view(bar) {
  keepRoom(bar);
  const place = bar.querySelector("#player-place");
  const toggle = bar.querySelector("#player-toggle");
  let isDragged = false;
  place.addEventListener("input", () => (isDragged = true));
  place.addEventListener("change", () => (isDragged = false));

  const tell = (name, text) => {
    for (const spot of bar.querySelectorAll(`[data-shows=${name}]`)) spot.textContent = text;
  };

  const self = {
    // Shows the message of this name and hides all others.
    say(name) {
      for (const message of bar.querySelectorAll("[data-message]")) message.hidden = message.dataset.message !== name;
    },
    ask({ question, there, here }) {
      const message = bar.querySelector("[data-message=further]");
      message.querySelector("[data-question]").textContent = question;
      message.querySelector("[data-does=there]").textContent = there;
      message.querySelector("[data-does=here]").textContent = here;
      self.say("further");
    },
    isSaying: (name) => bar.querySelector(`[data-message=${name}]`)?.hidden === false,
    link(address) {
      for (const link of bar.querySelectorAll("[data-file]")) {
        link.href = address;
        link.textContent = address;
      }
    },
    open(episode, extras) {
      bar.querySelector("#player-now").replaceChildren(episode);
      bar.querySelector("#player-extras").replaceChildren(...extras);
      bar.querySelector("#player-whole").replaceChildren(bar.querySelector(".player-whole"));
      for (const part of ["#player-now", "#player-whole", "#player-extras"]) htmx.process(bar.querySelector(part));
      bar.hidden = false;
      document.documentElement.classList.add("has-player");
    },
    close() {
      bar.hidden = true;
      document.documentElement.classList.remove("has-player");
      document.documentElement.style.removeProperty("--player");
      self.say("");
    },
    move(now, duration) {
      const known = Number.isFinite(duration) && duration > 0 ? duration : 0;
      place.max = Math.floor(known);
      place.disabled = !known;
      const shown = isDragged ? Number(place.value) : now;
      if (!isDragged) place.value = Math.floor(now);
      place.setAttribute("aria-valuetext", `${clock(shown)} / ${clock(known)}`);
      tell("now", clock(shown));
      tell("left", known ? `−${clock(known - shown)}` : "");
    },
    speed: (rate) => tell("speed", `${speedWords.format(rate)}×`),
    sleeps: (is) => (bar.querySelector(".player-moon").hidden = !is),
    state(isPlaying, path) {
      bar.classList.toggle("is-playing", isPlaying);
      toggle.setAttribute("aria-label", isPlaying ? bar.dataset.pause : bar.dataset.play);
      mark(path, isPlaying);
    },
  };

  // Marks the play buttons on the page that belong to the episode being played.
  function mark(path, isPlaying) {
    const own = path && episodeOf(path);
    for (const button of document.querySelectorAll("a[data-plays]:not([data-at])")) {
      const is = isPlaying && episodeOf(button.href) === own;
      button.classList.toggle("is-playing", is);
      const name = button.dataset.name ?? button.getAttribute("aria-label");
      if (name === null) continue;
      button.dataset.name = name;
      button.setAttribute("aria-label", is ? `${bar.dataset.pause}: ${name}` : name);
    }
  }
  return self;
}

// Returns the address of an episode's page without a position.
export function episodeOf(address) {
  const url = new URL(address, location.href);
  return `${url.pathname}?feed=${url.searchParams.get("feed")}`;
}
