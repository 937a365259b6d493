// Plays on their way to the server: stored in this browser, under the listener's id, until the
// server has them. Each record has its own id and time, so that it counts only once and for the
// time at which it happened.

const MOST = 100; // records in one request
const SMALL = 20; // with at most this many records, a browser completes the request even if the page is left
const KEPT = 2000; // about eight hours of listening without a connection

export function outbox(bar) {
  const key = `balados-plays-${bar.dataset.user}`;
  let kept = read();
  let sending = null;
  let skew = 0; // correction for this browser's clock, in milliseconds
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
      // no storage space, or not allowed: the records are kept as long as the page is open
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
      else return undefined; // the server has a problem: the next record triggers another attempt
    }
    return undefined;
  }

  async function taken(answer, records) {
    forget(records.map((record) => record.id));
    if (answer.status !== 200) return;
    const { newer } = await answer.json();
    document.dispatchEvent(new CustomEvent("player:newer", { detail: newer }));
  }

  // Returns the ids of the records that the server cannot accept; all of them if it does not say which.
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
    // Called when the page is left; what is sent this way is sent again later, and does not count twice.
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

// Without TLS browsers do not provide randomUUID.
function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
