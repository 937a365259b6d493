// The player and the outside world: page fragments from the server, lock screens, headsets and media keys
// (Media Session), and why an audio file does not play.

// Returns the page fragment at an address, or null if there is none. Throws "left" if
// the listener is logged out.
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
      // this browser does not support the action
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

// Returns the name of the message that fits. Browsers reveal little about files on other servers: Firefox
// gives the HTTP status in words, Chromium "Format error" if there was no response, and nothing at all if
// the response was not audio.
export function reason(audio, type) {
  const { code, message = "" } = audio.error ?? {};
  if (!navigator.onLine || code === MediaError.MEDIA_ERR_NETWORK) return "network";
  if (code === MediaError.MEDIA_ERR_DECODE) return "format";
  if (/^\s*\d{3}\b|MEDIA_ELEMENT_ERROR/.test(message)) return "missing";
  const isUnknown = type && audio.canPlayType(type.split(";")[0]) === "";
  return isUnknown || message || window.chrome ? "format" : "missing";
}
