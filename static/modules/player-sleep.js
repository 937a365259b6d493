// The sleep timer: stops after the chosen number of minutes, or at the end of the episode.

export function sleepTimer(select, { pause, tell }) {
  let until = 0;
  const set = () => {
    until = Number(select.value) ? Date.now() + Number(select.value) * 60_000 : 0;
    tell(select.value !== "");
  };
  select.addEventListener("change", set);

  function off() {
    select.value = "";
    set();
  }

  return {
    // Called regularly during playback.
    tick() {
      if (!until || Date.now() < until) return;
      off();
      pause();
    },
    // Returns whether the player was set to stop at the end of the episode, and resets that.
    ends() {
      const is = select.value === "end";
      if (is) off();
      return is;
    },
  };
}
