// What is done to sessions: to the one that is open, and to those in the list, each with a menu of its own.

import { send, tell } from "./send.js";
import { sawNow } from "./session-list.js";

const shown = document.querySelector("[data-conversation]")?.dataset.conversation ?? "";
const menu = document.getElementById("session-menu");
const dialog = document.getElementById("rename");
const named = document.getElementById("rename-name");
let opener = null;

const DONE = { archive: "The session was archived", "": "The session was brought back from the archive" };

export async function act(session, name, fields = {}) {
  sawNow(session);
  try {
    const answer = await send(`/chat/${session}/${name}`, fields);
    const where = answer.headers.get("HX-Redirect");
    if (where) location.assign(where);
    else if (name === "delete") deleted(session, (await answer.json()).undo);
    else if (session === shown) location.reload();
    else if (name === "archive") say(DONE[opener?.dataset.archived ? "" : "archive"], `/chat/${session}/archive`);
  } catch (error) {
    tell(error);
  }
}

function deleted(session, undo) {
  if (session !== shown) return say("The session was deleted", undo);
  sessionStorage.setItem("oxios.deleted", JSON.stringify({ message: "The session was deleted", undo }));
  location.assign("/chat/new");
}

function say(title, undo) {
  document.dispatchEvent(new CustomEvent("oxios:toast", { detail: { kind: "good", title, undo } }));
}

function offerUndo() {
  const { message, undo } = JSON.parse(sessionStorage.getItem("oxios.deleted") ?? "{}");
  if (!undo) return;
  sessionStorage.removeItem("oxios.deleted");
  const bar = document.createElement("p");
  bar.className = "undo-bar";
  bar.role = "status";
  bar.textContent = `${message}. `;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button";
  button.textContent = "Undo";
  button.addEventListener("click", async () => {
    try {
      location.assign((await send(undo, {})).headers.get("HX-Redirect") ?? "/chat");
    } catch (error) {
      tell(error);
    }
  });
  bar.append(button);
  document.querySelector(".conversation")?.prepend(bar);
}

function rename(session, now) {
  named.value = now;
  dialog.returnValue = "no";
  dialog.showModal();
  named.select();
  dialog.addEventListener("close", () => {
    if (dialog.returnValue === "yes") act(session, "rename", { name: named.value });
  }, { once: true });
}

// One menu for every line of the list, beside the button that opened it.

function openMenu(button) {
  opener = button;
  menu.querySelector("[data-session-act=pin]").textContent = button.dataset.pinned ? "Unpin" : "Pin";
  menu.querySelector("[data-session-act=archive]").textContent = button.dataset.archived ? "Bring back" : "Archive";
  menu.showPopover();
  const place = button.getBoundingClientRect();
  menu.style.left = `${Math.max(8, Math.min(place.right - menu.offsetWidth, innerWidth - menu.offsetWidth - 8))}px`;
  menu.style.top = `${Math.min(place.bottom + 2, innerHeight - menu.offsetHeight - 8)}px`;
  menu.querySelector("button").focus();
}

menu?.addEventListener("keydown", (event) => {
  const all = [...menu.querySelectorAll("button")];
  const next = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!next) return;
  event.preventDefault();
  all[(all.indexOf(document.activeElement) + next + all.length) % all.length].focus();
});
menu?.addEventListener("click", (event) => {
  const name = event.target.closest("button")?.dataset.sessionAct;
  if (!name || !opener) return;
  menu.hidePopover();
  const { sessionMenu: session, title } = opener.dataset;
  if (name === "rename") rename(session, title);
  else act(session, name);
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.sessionMenu !== undefined) openMenu(button);
  else if (button.dataset.act !== undefined && button.closest(".conversation-acts")) {
    button.closest("details").open = false;
    act(shown, button.dataset.act);
  } else if (button.dataset.rename !== undefined) {
    button.closest("details").open = false;
    rename(button.dataset.rename, document.getElementById("title").textContent);
  }
});
document.addEventListener("keydown", (event) => {
  const open = event.key === "Escape" && event.target.closest?.(".menu[open]");
  if (!open) return;
  open.open = false;
  open.querySelector("summary").focus();
});

offerUndo();
