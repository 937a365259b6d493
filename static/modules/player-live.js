// The player and the listener's other devices: while it is not playing, the episode in the bar follows the
// position on other devices. A listener who is listening here is not disturbed.

import { audio, seek, show, state } from "./player-engine.js";

const NEAR = 2; // seconds; a smaller difference counts as the same position
const APART = 30; // seconds; a larger difference is shown, with a way back
const ECHO = 30_000; // milliseconds within which a position that was recorded here comes back as a change

let here = null; // the position here before another device moved on
let seen = ""; // the last change of this episode; it arrives again when a change has lost against it

document.addEventListener("live:changes", ({ detail }) => {
  const { now } = state;
  const change = now && detail.play_statuses?.find((each) => each.rss_source_feed === now.feed && isOf(now, each));
  if (!change) return;
  const last = seen;
  seen = [change.rss_source_feed, change.rss_source_item, change.updated_at, change.position].join(" ");
  if (seen === last || !audio.paused || change.played || state.own.get(change.position) > Date.now() - ECHO) return;
  if (Math.abs(change.position - state.place) <= NEAR) return;
  const isFar = Math.abs(change.position - state.place) > APART;
  // not if another tab of this browser has said so already; an open question is settled by this
  if (state.begun && isFar && here === null && !show.isSaying("elsewhere")) {
    here = state.place;
    show.say("moved");
  } else if (show.isSaying("further")) show.say("");
  follow(change.position);
});

const isOf = (now, entry) => entry.rss_source_item === now.item || (entry.guid && entry.guid === now.guid);

// Not recorded here, since the other device has recorded it.
function follow(position) {
  state.last = { at: Date.now(), position };
  delete state.now.further;
  state.pausedAt = 0;
  seek(position);
}

document.getElementById("player").addEventListener("click", (event) => {
  if (event.target.closest("[data-does]")?.dataset.does !== "return" || here === null) return;
  seek(here);
  show.say("");
  here = null;
});

audio.addEventListener("play", () => {
  here = null;
  if (show.isSaying("moved")) show.say("");
});
audio.addEventListener("emptied", () => (here = null));
