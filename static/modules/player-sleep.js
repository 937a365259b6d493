// The sleep timer: after so many minutes, or where the episode ends.

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
    // Called as time goes by.
    tick() {
      if (!until || Date.now() < until) return;
      off();
      pause();
    },
    // Whether it was to stop here.
    ends() {
      const is = select.value === "end";
      if (is) off();
      return is;
    },
  };
}
