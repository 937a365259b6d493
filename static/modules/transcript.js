// The transcript of an episode: follows the player, and can be searched. Also adds the player's position
// to the address for sharing.

let marked = null;

document.addEventListener("player:time", ({ detail }) => {
  share(detail);
  const box = document.getElementById("said");
  if (!box || box.dataset.path !== detail.path) return;
  const current = paragraphAt(box.querySelectorAll("p[data-start]"), detail.seconds);
  if (current === marked && current?.isConnected) return;
  marked?.removeAttribute("aria-current");
  marked = current;
  if (!current) return;
  current.setAttribute("aria-current", "true");
  const follows = document.getElementById("transcript-follows").checked && !box.contains(document.activeElement);
  if (follows) box.scrollTop = current.offsetTop - box.clientHeight / 3;
});

// Finds the last paragraph that has begun, by binary search.
function paragraphAt(all, seconds) {
  let [low, high] = [0, all.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (Number(all[middle].dataset.start) <= seconds) low = middle + 1;
    else high = middle;
  }
  return all[low - 1] ?? null;
}

document.addEventListener("input", (event) => {
  if (event.target.id !== "transcript-search") return;
  const box = document.getElementById("said");
  const wanted = plain(event.target.value.trim());
  let found = 0;
  for (const said of box.querySelectorAll("p[data-start]")) {
    const fits = !wanted || plain(said.textContent).includes(wanted);
    said.hidden = !fits;
    if (wanted && fits) found += 1;
  }
  for (const speaker of box.querySelectorAll("h3")) speaker.hidden = wanted !== "";
  const status = event.target.closest(".tools").querySelector("[role=status]");
  status.textContent = !wanted ? "" : found ? `${status.dataset.found} ${found}` : status.dataset.none;
});

// Removes accents and case: "cafe" finds "Café".
function plain(text) {
  return text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
}

function share({ path, seconds }) {
  const field = document.getElementById("address");
  if (!field || field.dataset.path !== path || field === document.activeElement) return;
  field.dataset.seconds = Math.floor(seconds);
  write(field);
}

function write(field) {
  const at = document.getElementById("with-place").checked ? Number(field.dataset.seconds) : 0;
  field.value = field.dataset.address + (at ? `&t=${at}` : "");
}

document.addEventListener("change", (event) => {
  if (event.target.id === "with-place") write(document.getElementById("address"));
});
