// Where another device went on after what this browser tells only now: the listener is asked once where to go on.

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
