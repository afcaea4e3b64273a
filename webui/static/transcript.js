// The elements of a conversation: put in place by id, in their order, with what is streamed ahead of the record.

export const scroll = document.getElementById("scroll");
export const items = document.getElementById("items");
const STREAMED_CHARS_MAX = 200_000;
// What steers a terminal is not drawn; the record, which takes the place of what is streamed, has its colours.
const ESCAPES = /\x1b\[[0-?]*[ -/]*[@-~]/g;

// The page keeps to its end while the reader is there.

function atEnd() {
  return !scroll || scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 80;
}

export function keepEnd(was) {
  if (was && scroll) scroll.scrollTop = scroll.scrollHeight;
  const button = document.getElementById("newest");
  if (button) button.hidden = atEnd();
}

// Elements

export function place(html) {
  const was = atEnd();
  const fresh = document.createElement("template");
  fresh.innerHTML = html;
  for (const element of [...fresh.content.children]) {
    const old = document.getElementById(element.id);
    if (old) morph(old, element);
    else insert(element);
  }
  window.htmx?.process(items);
  document.dispatchEvent(new CustomEvent("oxios:drawn", { detail: items }));
  keepEnd(was);
}

function morph(old, element) {
  const open = new Map([...old.querySelectorAll("details")].map((one, place) => [place, one.open]));
  const was = old.classList.contains("state-running") && !element.classList.contains("state-running");
  window.Idiomorph.morph(old, element);
  if (was) return;
  [...old.querySelectorAll("details")].forEach((one, place) => {
    if (open.get(place)) one.open = true;
  });
}

function insert(element) {
  const first = Number(element.dataset.first);
  const after = [...items.children].reverse().find((one) => Number(one.dataset.first) <= first);
  if (after) after.after(element);
  else items.prepend(element);
}

// Streamed ahead of the record

export function stream(selector, { id, text }, reveal) {
  const target = document.getElementById(id)?.querySelector(selector);
  if (!target) return;
  const was = atEnd();
  const inner = target.scrollHeight - target.scrollTop - target.clientHeight < 40;
  if (target.textContent.length < STREAMED_CHARS_MAX) target.append(text.replace(ESCAPES, ""));
  target.hidden = false;
  if (reveal) target.closest("details").hidden = false;
  if (inner) target.scrollTop = target.scrollHeight;
  keepEnd(was);
}

export function writeOut({ id, html }) {
  const target = document.getElementById(id)?.querySelector("[data-text]");
  if (!target) return;
  const was = atEnd();
  window.Idiomorph.morph(target, html, { morphStyle: "innerHTML" });
  target.hidden = false;
  keepEnd(was);
}
