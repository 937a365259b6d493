// Puts every time of the page into the time zone of this browser, and those that htmx brings as well. The server
// writes them in UTC and says so.

const language = document.documentElement.lang;
const moment = new Intl.DateTimeFormat(language, { dateStyle: "long", timeStyle: "short" });
const day = new Intl.DateTimeFormat(language, { dateStyle: "long" });

function localise(root) {
  for (const time of root.querySelectorAll("time[data-shows]")) {
    const date = new Date(time.dateTime);
    time.title = moment.format(date);
    if (time.dataset.shows === "moment") time.textContent = time.title;
    if (time.dataset.shows === "day") time.textContent = day.format(date);
  }
}

localise(document);
document.addEventListener("htmx:load", (event) => localise(event.target));
