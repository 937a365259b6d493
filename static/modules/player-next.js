// What the player plays next: announced in the bar, chosen by "play next", skipped by "not this one".

const KEPT = "balados-after-the-end";
const SETTLED = 400; // milliseconds

// ``announced``: the key of the episode that the bar announces as the next one; ``chosen``: the key of the one
// that the listener chose to hear next.
export function following(bar, { state, addressOf }) {
  const choice = bar.querySelector("#player-after");
  let announced = "";
  let chosen = "";
  let skipped = [];
  let settling = 0;

  choice.value = localStorage.getItem(KEPT) ?? "";
  choice.addEventListener("change", () => {
    if (choice.value) localStorage.setItem(KEPT, choice.value);
    else localStorage.removeItem(KEPT);
    self.refresh();
  });

  const self = {
    // Whether the player stops when the episode ends.
    get stops() {
      return choice.value === "stop";
    },
    // The query parameters that tell the server what the listener wants to hear next.
    asked() {
      const after = choice.value === "podcast" ? [["after", "podcast"]] : [];
      return [...after, ...skipped.map((key) => ["skip", key]), ...(chosen ? [["next", chosen]] : [])];
    },
    // Requests the episode that was announced, which is used unless it is no longer there.
    take(url) {
      if (announced) url.searchParams.set("next", announced);
      if (announced === chosen) chosen = "";
    },
    show() {
      const { key = "", title = "" } = bar.querySelector("#player-coming")?.dataset ?? {};
      announced = key;
      for (const name of ["#player-then", "#player-skip"]) bar.querySelector(name).hidden = !key;
      for (const spot of bar.querySelectorAll("[data-shows=next]")) spot.textContent = title;
    },
    skip() {
      skipped.push(announced);
      if (announced === chosen) chosen = "";
      return self.refresh();
    },
    forget() {
      chosen = "";
      skipped = [];
    },
    async refresh() {
      const own = bar.querySelector("#player-coming");
      if (!own || !state.now) return;
      self.show();
      const url = addressOf(state.now.player);
      url.pathname += "/following";
      const answer = await fetch(url).catch(() => null);
      // the element belongs to an episode that has been replaced in the meantime
      if (!own.isConnected) return;
      const page = answer?.ok ? new DOMParser().parseFromString(await answer.text(), "text/html") : null;
      const fresh = page?.querySelector("#player-coming");
      if (!fresh) return;
      own.replaceWith(fresh);
      htmx.process(fresh);
      self.show();
    },
  };

  // Adding something to a list, or removing it, may change what comes next.
  document.addEventListener("htmx:afterRequest", ({ detail }) => {
    const { verb, elt, path } = detail.requestConfig;
    if (verb === "get" || !detail.successful || !/^\/(queue|playlists|episodes)\//.test(path)) return;
    const { next = "" } = elt.dataset ?? {};
    if (next) {
      chosen = next;
      skipped = skipped.filter((key) => key !== next);
    }
    self.refresh();
  });
  // Another device has changed a list: refresh once the read models include that.
  document.addEventListener("live:changes", ({ detail }) => {
    clearTimeout(settling);
    if (detail.playlists || !Object.keys(detail).length) settling = setTimeout(self.refresh, SETTLED);
  });
  return self;
}
