// Puts every time of the page into the time zone that the listener has set, else this browser's, and those that
// htmx brings as well. The server writes them in the zone that is set, else in UTC, and says so.

// the reader's own kind of the page's language: days come first in British English, months in American
const page = document.documentElement.lang;
const timeZone = document.documentElement.dataset.timeZone;
const own = navigator.languages.find((name) => name.split("-")[0] === page && name !== page);
const language = own ?? (page === "en" ? "en-GB" : page);
const moment = new Intl.DateTimeFormat(language, { dateStyle: "long", timeStyle: "short", timeZone });
const day = new Intl.DateTimeFormat(language, { dateStyle: "long", timeZone });

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
