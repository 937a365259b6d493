// While the server is still fetching a cover it sends a tiny generated picture instead (web/covers.py). The
// cover is requested again a few times, at growing intervals.

const AFTER = [2_000, 5_000, 15_000, 60_000];
const TINY = 8; // pixels; no real cover is this small

function look(image) {
  const times = Number(image.dataset.asked ?? 0);
  if (!image.naturalWidth || image.naturalWidth > TINY || times === AFTER.length) return;
  image.dataset.asked = times + 1;
  setTimeout(() => {
    if (!image.isConnected) return;
    const address = new URL(image.currentSrc);
    address.searchParams.set("again", times + 1); // otherwise the browser uses its cached picture
    image.removeAttribute("srcset");
    image.src = address;
  }, AFTER[times]);
}

const isCover = (image) => image.matches?.(".cover img");

// "load" does not bubble, but can be observed in the capture phase
document.addEventListener("load", ({ target }) => isCover(target) && look(target), true);
for (const image of document.images) if (isCover(image) && image.complete) look(image);
