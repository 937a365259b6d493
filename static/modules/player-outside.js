// The player and the world: pieces of pages from the server, lock screens, headsets and media keys (Media Session),
// and why an audio file does not play.

// The piece of page at an address, or null where there is none. Throws "left" to somebody who is logged out.
export async function fetched(address) {
  const answer = await fetch(address);
  if (answer.url.includes("/users/log_in")) throw new Error("left");
  if (!answer.ok) throw new Error("failed");
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  return page.querySelector(".player-episode") && page;
}

export function session(actions) {
  if (!("mediaSession" in navigator)) return { show() {}, move() {} };
  const media = navigator.mediaSession;
  const handlers = {
    play: () => actions.play(),
    pause: () => actions.pause(),
    stop: () => actions.pause(),
    seekbackward: () => actions.back(),
    seekforward: () => actions.ahead(),
    previoustrack: () => actions.back(),
    nexttrack: () => actions.next(),
    seekto: (details) => actions.seek(details.seekTime),
  };
  for (const [name, handler] of Object.entries(handlers)) {
    try {
      media.setActionHandler(name, handler);
    } catch {
      // this browser does not know it
    }
  }
  return {
    show({ title, podcast, cover }) {
      const artwork = cover ? [{ src: new URL(cover, location.href).href, sizes: "300x300" }] : [];
      media.metadata = new MediaMetadata({ title, artist: podcast, artwork });
    },
    move(audio) {
      media.playbackState = audio.paused ? "paused" : "playing";
      if (!Number.isFinite(audio.duration) || audio.duration <= 0) return;
      const position = Math.min(audio.currentTime, audio.duration);
      media.setPositionState?.({ duration: audio.duration, playbackRate: audio.playbackRate, position });
    },
  };
}

// The name of the message that fits. Of files of other servers browsers tell little: Firefox the status in words,
// Chromium "Format error" where nothing came, and nothing at all where what came is no audio.
export function reason(audio, type) {
  const { code, message = "" } = audio.error ?? {};
  if (!navigator.onLine || code === MediaError.MEDIA_ERR_NETWORK) return "network";
  if (code === MediaError.MEDIA_ERR_DECODE) return "format";
  if (/^\s*\d{3}\b|MEDIA_ELEMENT_ERROR/.test(message)) return "missing";
  const isUnknown = type && audio.canPlayType(type.split(";")[0]) === "";
  return isUnknown || message || window.chrome ? "format" : "missing";
}
