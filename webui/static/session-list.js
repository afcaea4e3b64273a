// The list of sessions: which changed unseen, and what is done to several of them.
//
// What was seen is this browser's affair, as drafts are: reading leaves no entry in the journal. A session is unread
// where its newest change came while it was not the one in view and nothing goes on in it, or it asks.

import { whenDrawn } from "./drawn.js";
import { send, tell } from "./send.js";

const SEEN = "oxios.seen";
const SEEN_MAX = 500;
const side = document.getElementById("chat-sessions");
const shown = document.querySelector("[data-conversation]")?.dataset.conversation ?? "";
const lines = () => [...side.querySelectorAll("[data-listed]")];

function seen() {
  try {
    return JSON.parse(localStorage.getItem(SEEN)) ?? {};
  } catch {
    return {};
  }
}

/** Whatever there was before this browser came is read. */
function begun(known) {
  return (known.since ??= Math.max(0, ...lines().map((one) => Number(one.dataset.changed))));
}

function keep(known) {
  const { since, ...rest } = known;
  const newest = Object.entries(rest).sort(([, one], [, other]) => other - one).slice(0, SEEN_MAX);
  localStorage.setItem(SEEN, JSON.stringify({ since, ...Object.fromEntries(newest) }));
}

/** What the person does to a session here is no news of it. */
export function sawNow(session) {
  mine.add(session);
}

const mine = new Set();

function markUnread() {
  const known = seen();
  const since = begun(known);
  for (const line of lines()) {
    const { listed, changed } = line.dataset;
    const inView = listed === shown && !document.hidden;
    if (inView || mine.delete(listed)) known[listed] = Math.max(known[listed] ?? 0, Number(changed));
    const news = Number(changed) > (known[listed] ?? since);
    const unread = listed !== shown && (line.dataset.asks !== undefined || (news && line.dataset.busy === undefined));
    line.classList.toggle("is-unread", unread);
    line.querySelector(".unread").hidden = !unread;
  }
  keep(known);
}

// Several at once

const chosen = () => [...side.querySelectorAll(".session-pick:checked")].map((one) => one.value);
const select = document.getElementById("session-select");
const all = document.getElementById("session-all");

/** As if the person had: what is chosen then stands when the list is drawn again (see drawn.js). */
function pick(box, on) {
  box.checked = on;
  box.dispatchEvent(new Event("input", { bubbles: true }));
}

function count() {
  const number = chosen().length;
  document.getElementById("session-count").textContent = number ? `${number} selected` : "none selected";
  all.checked = number > 0 && number === lines().length;
  all.indeterminate = number > 0 && !all.checked;
  for (const button of side.querySelectorAll("[data-several]")) button.disabled = !number;
  const archived = side.querySelector("[name=archived]").checked;
  const archive = side.querySelector("[data-several=archive], [data-several=unarchive]");
  archive.dataset.several = archived ? "unarchive" : "archive";
  archive.textContent = archived ? "Bring back" : "Archive";
}

function choosing(on) {
  side.classList.toggle("is-selecting", on);
  document.getElementById("session-several").hidden = !on;
  select.setAttribute("aria-pressed", String(on));
  select.textContent = on ? "Done" : "Select";
  if (!on) for (const one of side.querySelectorAll(".session-pick:checked")) one.checked = false;
  count();
}

async function doToSeveral(act) {
  const sessions = chosen();
  sessions.forEach(sawNow);
  try {
    const { message, undo } = await (await send(`/chat/several?act=${act}&ids=${sessions.join(",")}`, {})).json();
    choosing(false);
    if (act === "delete" && sessions.includes(shown)) {
      sessionStorage.setItem("oxios.deleted", JSON.stringify({ message, undo }));
      location.assign("/chat/new");
    } else document.dispatchEvent(new CustomEvent("oxios:toast", { detail: { kind: "good", title: message, undo } }));
  } catch (error) {
    tell(error);
  }
}

if (side) {
  whenDrawn(markUnread);
  whenDrawn(count);
  document.addEventListener("visibilitychange", markUnread);
  window.addEventListener("storage", (event) => event.key === SEEN && markUnread());
  select.addEventListener("click", () => choosing(!side.classList.contains("is-selecting")));
  side.addEventListener("change", (event) => {
    if (event.target === all) for (const one of side.querySelectorAll(".session-pick")) pick(one, all.checked);
    count();
  });
  side.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && side.classList.contains("is-selecting")) {
      choosing(false);
      select.focus();
    }
  });
  side.addEventListener("click", (event) => {
    const act = event.target.closest("[data-several]")?.dataset.several;
    if (act) doToSeveral(act);
    // While sessions are chosen, a line is chosen by a click anywhere on it.
    const line = side.classList.contains("is-selecting") && event.target.closest("[data-listed] a");
    if (!line) return;
    event.preventDefault();
    const box = line.closest("[data-listed]").querySelector(".session-pick");
    pick(box, !box.checked);
    count();
  });
}
