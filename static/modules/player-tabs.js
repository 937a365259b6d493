// Only one tab plays at a time. A tab that wants to play announces it; the one that was playing stops, sends
// its position to the server, and then confirms: thus the new tab starts where the old one stopped.

const ANSWERS_WITHIN = 80; // milliseconds
const ENDS_WITHIN = 2000;

export function tabs(user, { isOpen, give }) {
  if (!("BroadcastChannel" in window)) return { take: async () => {} };
  const channel = new BroadcastChannel(`balados-player-${user}`);
  let isMine = false;
  let hear = () => {};

  channel.addEventListener("message", async ({ data }) => {
    if (data !== "take") return hear(data);
    const wasMine = isMine || isOpen();
    isMine = false;
    if (!wasMine) return undefined;
    channel.postMessage("giving");
    await give();
    return channel.postMessage("given");
  });

  function heard(text, within) {
    return new Promise((done) => {
      const timer = setTimeout(() => done(false), within);
      hear = (data) => {
        if (data !== text) return;
        clearTimeout(timer);
        done(true);
      };
    });
  }

  return {
    async take() {
      if (isMine) return;
      isMine = true;
      channel.postMessage("take");
      if (await heard("giving", ANSWERS_WITHIN)) await heard("given", ENDS_WITHIN);
    },
  };
}
