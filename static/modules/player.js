// Connects the player with what the listener presses, what the audio element does, and
// what happens to the page.

import { addressOf, ahead, audio, back, bar, choose, close, coming, lastTime, media, next, open, play, record, remember, seek, sent, setSpeed, show, sleep, start, state, toggle } from "./player-engine.js";
import { captions } from "./player-captions.js";
import { keys } from "./player-keys.js";
import "./player-newer.js";
import { reason } from "./player-outside.js";
import { episodeOf } from "./player-view.js";

const EVERY = 15_000; // milliseconds of playing between two records
const SETTLED = 700; // milliseconds; of several jumps in a row only the last one is recorded
// milliseconds; a document that follows within this time continues playing, if the browser allows it
const FRESH = 10_000;
const STEP = 0.1;
const LEAVING = ["/users/log_out", "/settings/erase"];
const volume = document.getElementById("player-volume");
const place = document.getElementById("player-place");

const does = {
  toggle, back, ahead, next, close,
  again: () => state.again(),
  there: () => choose(true),
  here: () => choose(false),
  skip: () => coming.skip(),
  slower: () => setSpeed(audio.playbackRate - STEP),
  faster: () => setSpeed(audio.playbackRate + STEP),
  keys: () => document.getElementById("player-keys").showModal(),
};

// What the listener presses

bar.addEventListener("click", (event) => does[event.target.closest("[data-does]")?.dataset.does]?.());
place.addEventListener("change", () => seek(Number(place.value)));
volume.addEventListener("input", () => setVolume(Number(volume.value)));
keys({
  ...does,
  isOpen: () => state.now !== null,
  louder: () => setVolume(audio.volume + STEP),
  quieter: () => setVolume(audio.volume - STEP),
});

function setVolume(wanted) {
  audio.volume = Math.min(1, Math.max(0, wanted));
  volume.value = audio.volume;
  localStorage.setItem("balados-volume", audio.volume);
}

// In the capture phase, before htmx, which would open the page that the button links to.
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[data-plays]");
  if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  event.stopPropagation();
  const at = new URL(link.href).searchParams.get("t") ?? undefined;
  const isSame = state.now && !audio.error && episodeOf(link.href) === episodeOf(state.now.path);
  if (isSame && link.dataset.at === undefined) return void toggle();
  if (isSame) {
    delete state.now.further;
    seek(Number(at));
    return void play();
  }
  state.from = link.closest("[data-plays-from]")?.dataset.playsFrom ?? "";
  coming.forget();
  return void start(episodeOf(link.href), at);
}, true);

// What the audio element does

const said = captions(bar);
// after an error the audio is not playing, but the browser does not report it as paused either
const showState = () => show.state(!audio.paused && !audio.error, state.now?.path);
let settling = 0;

audio.addEventListener("playing", () => {
  showState();
  media.move(audio);
  if (show.isSaying("network")) show.say("");
  if (state.begun) return;
  state.begun = true;
  record({ played: false });
});

audio.addEventListener("pause", () => {
  showState();
  media.move(audio);
  state.pausedAt = Date.now();
  if (!audio.ended) record();
  remember();
});

audio.addEventListener("timeupdate", () => {
  if (!state.now || audio.error || !audio.readyState) return;
  state.place = audio.currentTime;
  show.move(state.place, audio.duration);
  const { feed, item, path } = state.now;
  said.move(state.place);
  document.dispatchEvent(new CustomEvent("player:time", { detail: { feed, item, path, seconds: state.place } }));
  if (audio.paused) return;
  sleep.tick();
  if (Date.now() - state.last.at >= EVERY) record();
});

// Some browsers forget the start position while they know nothing about the file.
audio.addEventListener("loadedmetadata", () => {
  if (Math.abs(audio.currentTime - state.place) > 1) audio.currentTime = state.place;
  show.move(state.place, audio.duration);
});

audio.addEventListener("seeked", () => {
  state.place = audio.currentTime;
  media.move(audio);
  clearTimeout(settling);
  settling = setTimeout(record, SETTLED);
});

audio.addEventListener("ended", async () => {
  clearTimeout(settling);
  record({ played: true, position: audio.duration });
  state.begun = false;
  state.place = 0;
  if (sleep.ends()) show.say("asleep");
  else if (coming.stops) show.say("ended");
  else await next();
});

audio.addEventListener("loadstart", () => state.now && said.open(state.now));
audio.addEventListener("ratechange", () => media.move(audio));
audio.addEventListener("waiting", () => navigator.onLine || show.say("network"));
audio.addEventListener("error", () => {
  if (!state.now) return;
  record();
  showState();
  show.say(reason(audio, state.now.type));
});

addEventListener("online", () => {
  if (state.now && show.isSaying("network")) state.again();
});

// What happens to the page

document.addEventListener("htmx:load", showState);

addEventListener("pagehide", () => {
  if (!audio.paused) record();
  remember();
  sent.beacon();
});

document.addEventListener("visibilitychange", () => {
  if (document.visibilityState !== "hidden") return;
  if (!audio.paused) record();
  remember();
});

// Nothing that was heard stays in a browser that somebody else may use.
document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!LEAVING.includes(form.getAttribute("action"))) return;
  event.preventDefault();
  event.stopPropagation();
  audio.pause();
  record();
  await Promise.race([sent.flush(), new Promise((done) => setTimeout(done, 2000))]);
  if (navigator.onLine) sent.clear(); // offline, logging out does not work either
  close();
  form.submit();
}, true);

async function goOn() {
  const last = lastTime();
  if (!last) return;
  state.from = last.from;
  await open(addressOf(last.player, { here: last.place }), "none");
  if (last.isPlaying && Date.now() - last.at < FRESH && state.now.further === undefined) await play();
  if (show.isSaying("refused")) show.say("");
}

setVolume(Number(localStorage.getItem("balados-volume") ?? 1));
goOn().catch(() => {});
