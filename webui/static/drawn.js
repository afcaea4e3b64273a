// What was drawn, at first or later, is made ready: times told as "3 min ago", cells that know their headings, open
// details left open.

const readers = [];

/** Call `reader` with each part of the page that was drawn, beginning with the page itself. */
export function whenDrawn(reader) {
  readers.push(reader);
  reader(document.body);
}

function tell(part) {
  for (const reader of readers) reader(part);
}

document.body.addEventListener("htmx:afterSwap", (event) => tell(event.detail.elt ?? document.body));
document.addEventListener("oxios:drawn", (event) => tell(event.detail ?? document.body));

// A person's choice to open or close stands when its region is drawn again, and so does what they are writing.
const touched = new WeakSet();

document.addEventListener("click", (event) => {
  const details = event.target.closest?.("summary")?.parentElement;
  if (details) touched.add(details);
});

// Not Idiomorph's own way to keep what is written, which keeps whatever has the focus as it was, a button's words too.
const written = new WeakSet();

document.addEventListener("input", (event) => written.add(event.target));
document.body.addEventListener("htmx:afterRequest", ({ detail }) => {
  if (detail.successful && detail.requestConfig.verb !== "get") for (const field of detail.elt.elements ?? []) written.delete(field);
});

if (window.Idiomorph) {
  window.Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) =>
    !(name === "open" && touched.has(node)) && !((name === "value" || name === "checked") && written.has(node));
  // A place that the person had filled (a step's request, a replay's end) comes empty with its region, and keeps what it has.
  window.Idiomorph.defaults.callbacks.beforeNodeMorphed = (old) => !(old.dataset?.kept !== undefined && old.childElementCount);
}

// Where there is no room for columns, a cell stands beside its heading: see tables.css.
whenDrawn((part) => {
  for (const table of [part.closest?.("table") ?? [], ...part.querySelectorAll("table.table")].flat()) {
    const headings = [...(table.tHead?.rows[0]?.cells ?? [])].map((one) => one.textContent.trim());
    for (const row of table.tBodies[0]?.rows ?? []) for (const cell of row.cells) cell.dataset.label = headings[cell.cellIndex] ?? "";
  }
});

const spoken = new Intl.RelativeTimeFormat(document.documentElement.lang || "en", { numeric: "auto", style: "short" });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const UNITS = [
  ["second", 1, 60],
  ["minute", 60, 3600],
  ["hour", 3600, 86_400],
  ["day", 86_400, 14 * 86_400],
];

export function ago(date, now = new Date()) {
  const seconds = (date - now) / 1000;
  const past = Math.abs(seconds);
  if (past < 5) return "now";
  const unit = UNITS.find(([, , until]) => past < until);
  if (unit) return spoken.format(Math.trunc(seconds / unit[1]), unit[0]);
  return date.toLocaleDateString(undefined, { dateStyle: "medium" });
}

function left(date, now = new Date()) {
  const seconds = Math.max(0, Math.round((date - now) / 1000));
  return seconds < 100 ? `in ${seconds} s` : `in ${Math.round(seconds / 60)} min`;
}

function tellTimes(part) {
  const found = part.matches?.("time") ? [part] : [];
  for (const element of [...found, ...part.querySelectorAll("time[data-ago], time[data-left]")]) {
    const date = new Date(element.dateTime);
    if (Number.isNaN(date.getTime())) continue;
    const words = element.dataset.left === undefined ? ago(date) : left(date);
    if (element.textContent !== words) element.textContent = words;
    const title = exact.format(date);
    if (element.title !== title) element.title = title;
  }
}

whenDrawn(tellTimes);
setInterval(() => document.hidden || tellTimes(document.body), 1000);
