// What the player goes on with: told in the bar, asked for by "play next", passed over by "not this one".

const KEPT = "balados-after-the-end";
const SETTLED = 400; // milliseconds

// ``told``: the key of what the bar tells of as the next one; ``chosen``: of what its listener asked to hear next.
export function following(bar, { state, addressOf }) {
  const choice = bar.querySelector("#player-after");
  let told = "";
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
    // Whether it stops when the episode ends.
    get stops() {
      return choice.value === "stop";
    },
    // What the server is told of what its listener wants to hear next.
    asked() {
      const after = choice.value === "podcast" ? [["after", "podcast"]] : [];
      return [...after, ...skipped.map((key) => ["skip", key]), ...(chosen ? [["next", chosen]] : [])];
    },
    // What was told is what comes, unless it has gone meanwhile.
    take(url) {
      if (told) url.searchParams.set("next", told);
      if (told === chosen) chosen = "";
    },
    show() {
      const { key = "", title = "" } = bar.querySelector("#player-coming")?.dataset ?? {};
      told = key;
      for (const name of ["#player-then", "#player-skip"]) bar.querySelector(name).hidden = !key;
      for (const spot of bar.querySelectorAll("[data-shows=next]")) spot.textContent = title;
    },
    skip() {
      skipped.push(told);
      if (told === chosen) chosen = "";
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
      // the piece of an episode that has gone meanwhile
      if (!own.isConnected) return;
      const page = answer?.ok ? new DOMParser().parseFromString(await answer.text(), "text/html") : null;
      const fresh = page?.querySelector("#player-coming");
      if (!fresh) return;
      own.replaceWith(fresh);
      htmx.process(fresh);
      self.show();
    },
  };

  // What was put into a list, or taken out of it, may change what comes.
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
  // Another device has changed a list: read once the read models have that.
  document.addEventListener("live:changes", ({ detail }) => {
    clearTimeout(settling);
    if (detail.playlists || !Object.keys(detail).length) settling = setTimeout(self.refresh, SETTLED);
  });
  return self;
}
