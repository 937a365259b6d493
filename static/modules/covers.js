// A cover that the server is still fetching is drawn by it for now, as a tiny picture (web/covers.py). It is asked for
// again after a while, a few times.

const AFTER = [2_000, 5_000, 15_000, 60_000];
const TINY = 8; // pixels: no cover is as small

function look(image) {
  const times = Number(image.dataset.asked ?? 0);
  if (!image.naturalWidth || image.naturalWidth > TINY || times === AFTER.length) return;
  image.dataset.asked = times + 1;
  setTimeout(() => {
    if (!image.isConnected) return;
    const address = new URL(image.currentSrc);
    address.searchParams.set("again", times + 1); // else the browser gives what it has
    image.removeAttribute("srcset");
    image.src = address;
  }, AFTER[times]);
}

const isCover = (image) => image.matches?.(".cover img");

// "load" does not rise, but is seen on its way down
document.addEventListener("load", ({ target }) => isCover(target) && look(target), true);
for (const image of document.images) if (isCover(image) && image.complete) look(image);
