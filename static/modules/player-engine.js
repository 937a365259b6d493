// The player without its buttons: opens an episode at the listener's position, plays it, and records for
// the server what was heard.

import { following } from "./player-next.js";
import { outbox } from "./player-outbox.js";
import { fetched, session } from "./player-outside.js";
import { sleepTimer } from "./player-sleep.js";
import { tabs } from "./player-tabs.js";
import { view } from "./player-view.js";

const SAME = 60_000; // milliseconds; during a longer pause another device may have moved on
const [BACK, AHEAD, SLOWEST, FASTEST] = [15, 30, 0.5, 3];
const NOTHING = { at: 0, position: -1 };

export const bar = document.getElementById("player");
export const audio = document.getElementById("player-audio");
export const show = view(bar);
export const sent = outbox(bar);
const remembered = `balados-player-${bar.dataset.user}`;

// ``now``: the server's data for the episode in the bar. ``from``: the playlist it was started from. ``begun``: whether
// its start was recorded. ``place``: seconds. ``own``: positions recorded here. ``again``: what "try again" does.
export const state = { now: null, from: "", begun: false, place: 0, pausedAt: 0, last: NOTHING, own: new Map(), again: play };

export const coming = following(bar, { state, addressOf });
export const sleep = sleepTimer(document.getElementById("player-sleep"), {
  pause: () => {
    audio.pause();
    show.say("asleep");
  },
  tell: show.sleeps,
});
export const media = session({ play, pause: () => audio.pause(), back: () => back(), ahead: () => ahead(), seek, next });
const owner = tabs(bar.dataset.user, {
  isOpen: () => state.now !== null,
  give() {
    stop();
    show.say("elsewhere");
    return sent.flush();
  },
});

// Records the listener's position for the server; the same position twice in a row is recorded once.
export function record(more = {}) {
  const { now, begun, last } = state;
  if (begun && audio.readyState && !audio.error) state.place = audio.currentTime;
  const position = Math.floor(more.position ?? state.place);
  if (!now || !begun || (position === last.position && more.played === undefined)) return;
  state.last = { at: Date.now(), position };
  state.own.set(position, Date.now());
  sent.add({ feed: now.feed, item: now.item, speed: audio.playbackRate, ...more, position });
}

// Remembers what is in the bar, for the next document in this tab.
export function remember() {
  const { now, from, place } = state;
  if (!now) return sessionStorage.removeItem(remembered);
  const kept = { player: now.player, from, place: Math.floor(place), isPlaying: !audio.paused, at: Date.now() };
  return sessionStorage.setItem(remembered, JSON.stringify(kept));
}

function stop() {
  if (audio.paused) return;
  audio.pause();
  record();
}

export function addressOf(path, values = {}) {
  const url = new URL(path, location.href);
  url.pathname = url.pathname.replace(/^\/episodes\//, "/player/");
  for (const [name, value] of [...Object.entries({ from: state.from, ...values }), ...coming.asked()]) {
    if (value !== "" && value !== undefined) url.searchParams.append(name, value);
  }
  return url;
}

// Opens an episode in the bar; returns whether there is one. ``preload``: what is requested before it plays.
export async function open(address, preload = "auto") {
  const page = await fetched(address);
  if (!page) return false;
  const episode = page.querySelector(".player-episode");
  const now = { ...episode.dataset };
  Object.assign(state, { now, begun: false, last: NOTHING, pausedAt: 0, place: Number(now.start) });
  sent.skew = Number(now.now) - Date.now();
  show.open(episode, page.querySelector(".player-extras").children);
  coming.refresh();
  show.link(now.audio);
  show.say(now.audio ? "" : "nothing");
  audio.preload = preload;
  if (now.audio) audio.src = now.audio;
  else audio.removeAttribute("src");
  audio.currentTime = state.place;
  setSpeed(Number(now.speed));
  show.move(state.place, Number(now.duration));
  media.show(now);
  remember();
  return true;
}

export async function start(path, at) {
  state.again = () => start(path, at);
  stop();
  bar.hidden = false;
  show.say("loading");
  try {
    await owner.take();
    await sent.flush();
    if (await open(addressOf(path, { t: at }))) await play();
  } catch (error) {
    failed(error);
  }
}

export async function next() {
  const url = addressOf(state.now.player);
  url.pathname += "/next";
  coming.take(url);
  record();
  try {
    await sent.flush();
    if (await open(url)) await play();
    else if (audio.ended) show.say("ended");
  } catch (error) {
    failed(error);
  }
}

function failed({ message }) {
  const known = message === "left" || message === "failed";
  show.say(known ? message : "network");
}

export async function play() {
  if (!state.now?.audio) return;
  state.again = resume;
  await owner.take();
  if (await isAsked()) return;
  show.say("");
  state.pausedAt = 0;
  await audio.play().catch((error) => error.name === "NotAllowedError" && show.say("refused"));
}

// Whether the listener has to choose first, because another device got further. They are asked only once.
async function isAsked() {
  const { now, pausedAt, place } = state;
  if (pausedAt && Date.now() - pausedAt > SAME) {
    const page = await fetched(addressOf(now.player, { here: Math.floor(place) })).catch(() => null);
    const { further, question, there, here } = page?.querySelector(".player-episode").dataset ?? {};
    Object.assign(now, { further, question, there, here });
  }
  if (now.further === undefined) return false;
  show.ask(now);
  return true;
}

export function choose(isThere) {
  const further = Number(state.now.further);
  delete state.now.further;
  state.pausedAt = 0;
  if (isThere) seek(further);
  return play();
}

function resume() { // after an error: loads the file again and continues at the listener's position
  audio.src = state.now.audio;
  audio.currentTime = state.place;
  setSpeed(audio.defaultPlaybackRate);
  return play();
}

export function toggle() {
  if (audio.error) return state.again();
  return audio.paused ? play() : audio.pause();
}

export function seek(position) {
  state.place = Math.max(0, Math.min(position, audio.duration || position));
  audio.currentTime = state.place;
  show.move(state.place, audio.duration || Number(state.now?.duration));
}

export const back = () => seek(state.place - BACK);
export const ahead = () => seek(state.place + AHEAD);

export function setSpeed(rate) {
  audio.defaultPlaybackRate = audio.playbackRate = Math.round(100 * Math.min(FASTEST, Math.max(SLOWEST, rate))) / 100;
  show.speed(audio.playbackRate);
}

export function close() {
  stop();
  state.now = null;
  audio.removeAttribute("src");
  audio.load();
  show.close();
  remember();
}

export const lastTime = () => JSON.parse(sessionStorage.getItem(remembered) ?? "null");
