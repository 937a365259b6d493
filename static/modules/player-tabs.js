// One tab plays at a time. Who wants to play says so; who was playing stops, tells the server how far it came, and
// says that it has: so the new tab begins where the old one ended.

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
