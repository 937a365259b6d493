// Shows what is being said, above the bar, if the episode has a transcript and the
// listener wants to read along.

const KEY = "balados-captions";
// milliseconds after which a transcript that the server is still fetching is requested again
const AGAIN = 3000;
const TRIES = 10;

export function captions(bar) {
  const line = bar.querySelector("#player-caption");
  const choice = bar.querySelector("#player-captions");
  const box = choice.querySelector("input");
  let path; // of the transcript of the episode in the bar
  let said = []; // the paragraphs of the transcript, in order

  box.checked = localStorage.getItem(KEY) === "on";
  box.addEventListener("change", () => {
    if (box.checked) localStorage.setItem(KEY, "on");
    else localStorage.removeItem(KEY);
    hide();
    if (box.checked) fetched(path, 0);
  });

  function hide() {
    line.hidden = true;
    line.textContent = "";
  }

  async function fetched(wanted, tries) {
    if (!wanted || said.length || tries > TRIES) return;
    const answer = await fetch(tries ? `${wanted}&waited=${tries}` : wanted, { headers: { "HX-Request": "true" } }).catch(() => null);
    if (!answer?.ok || wanted !== path) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    said = [...page.querySelectorAll("p[data-start]")].map((each) => ({
      start: Number(each.dataset.start),
      text: [...each.childNodes].slice(1).map((node) => node.textContent).join("").trim(),
    }));
    if (!said.length) setTimeout(() => fetched(wanted, tries + 1), AGAIN);
  }

  return {
    open({ transcript }) {
      path = transcript;
      said = [];
      choice.hidden = !path;
      hide();
      if (box.checked) fetched(path, 0);
    },
    move(seconds) {
      if (!box.checked || !said.length) return;
      const text = said.findLast(({ start }) => start <= seconds)?.text ?? "";
      if (text === line.textContent) return;
      line.textContent = text;
      line.hidden = !text;
      line.scrollTop = 0;
    },
  };
}
