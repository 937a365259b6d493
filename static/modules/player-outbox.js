// What was heard, on its way to the server: kept in this browser until the server has it, under its listener's id.
// Each record has an id of its own and its own time, so that it counts once and when it was.

const MOST = 100; // records in one request
const SMALL = 20; // so many a browser sends on when the page is left meanwhile
const KEPT = 2000; // about eight hours of listening without a connection

export function outbox(bar) {
  const key = `balados-plays-${bar.dataset.user}`;
  let kept = read();
  let sending = null;
  let skew = 0; // of this browser's clock, in milliseconds
  let onLoggedOut = () => {};

  function read() {
    try {
      return JSON.parse(localStorage.getItem(key) ?? "[]");
    } catch {
      return [];
    }
  }

  function write() {
    try {
      if (kept.length) localStorage.setItem(key, JSON.stringify(kept));
      else localStorage.removeItem(key);
    } catch {
      // no room, or not allowed: it is kept while the page is open
    }
  }

  function form(records) {
    const data = new FormData();
    data.set("csrfmiddlewaretoken", bar.querySelector("[name=csrfmiddlewaretoken]").value);
    data.set("plays", JSON.stringify(records));
    return data;
  }

  function forget(ids) {
    const gone = new Set(ids);
    kept = read().length ? read() : kept;
    kept = kept.filter((record) => !gone.has(record.id));
    write();
  }

  async function send() {
    while (kept.length) {
      const records = kept.slice(0, MOST);
      const keepalive = records.length <= SMALL;
      const answer = await fetch("/player/plays", { method: "POST", body: form(records), redirect: "manual", keepalive });
      if (answer.ok) await taken(answer, records);
      else if (answer.status === 400) forget(await refused(answer, records));
      else if (answer.status === 409) forget(records.map((record) => record.id));
      else if (answer.type === "opaqueredirect" || answer.status === 403) return onLoggedOut();
      else return undefined; // the server is in trouble: the next record tries again
    }
    return undefined;
  }

  async function taken(answer, records) {
    forget(records.map((record) => record.id));
    if (answer.status !== 200) return;
    const { newer } = await answer.json();
    document.dispatchEvent(new CustomEvent("player:newer", { detail: newer }));
  }

  // Which records the server cannot take; all, where it does not say.
  async function refused(answer, records) {
    const { errors } = await answer.json();
    const numbers = Object.keys(errors).filter((name) => records[name]);
    return (numbers.length ? numbers.map((number) => records[number]) : records).map((record) => record.id);
  }

  const self = {
    set skew(milliseconds) {
      skew = milliseconds;
    },
    set whenLoggedOut(callback) {
      onLoggedOut = callback;
    },
    add(record) {
      const id = crypto.randomUUID?.() ?? randomId();
      kept = [...read(), { id, at: new Date(Date.now() + skew).toISOString(), ...record }].slice(-KEPT);
      write();
      return self.flush();
    },
    flush() {
      sending ??= send()
        .catch(() => {})
        .finally(() => (sending = null));
      return sending;
    },
    // While the page goes away; what arrives so is sent again later, and does not count twice.
    beacon() {
      if (kept.length) navigator.sendBeacon("/player/plays", form(kept.slice(-MOST / 2)));
    },
    clear() {
      kept = [];
      write();
    },
  };
  addEventListener("online", () => self.flush());
  self.flush();
  return self;
}

// Without TLS browsers have no randomUUID.
function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
