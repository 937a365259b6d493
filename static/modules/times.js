// Converts every time on the page, also in what htmx loads, to the listener's time zone setting, else to this
// browser's time zone. The server writes times in the zone of the setting, else in UTC, with the zone's name.

// the reader's own variant of the page's language: days come first in British English, months in American
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
