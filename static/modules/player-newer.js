// Another device moved on after the time of a play that this browser reports only now: asks the
// listener once where to continue.

import { show, state } from "./player-engine.js";

let asked = "";

document.addEventListener("player:newer", ({ detail }) => {
  const { now } = state;
  const name = `${detail.feed} ${detail.item} ${detail.further}`;
  if (now?.feed !== detail.feed || now.item !== detail.item || asked === name) return;
  asked = name;
  Object.assign(now, detail);
  show.ask(now);
});
