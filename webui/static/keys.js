// The keyboard. Shortcuts of the frame stand here, those of pages are links with data-key-go="g r".

import { toggleSidebar } from "./frame.js";
import { openPalette } from "./palette.js";

const APPLE = /Mac|iPhone|iPad/.test(navigator.platform);
const MOD = APPLE ? "⌘" : "Ctrl";
const CHORD_MS = 1500;
let chord = "";
let chordTimer = 0;

const FIXED = [
  [`${MOD} K`, "Find anything", openPalette],
  [`${MOD} B`, "Fold the menu", toggleSidebar],
  [`${MOD} Shift O`, "New chat", () => location.assign("/chat/new")],
  [`${MOD} Shift B`, "Show or hide the details of a chat", toggleDetails],
  [`${MOD} /`, "Keyboard shortcuts", openShortcuts],
  ["?", "Keyboard shortcuts", openShortcuts],
  ["Esc", "Close what is open", null],
  ["Y", "Allow once, on an approval", null],
  ["R", "Allow for the run, on an approval", null],
  ["A", "Allow for always, on an approval", null],
  ["N", "Deny, on an approval", null],
];

function toggleDetails() {
  document.querySelector('[data-fold="details"]')?.click();
}

function openShortcuts() {
  const list = document.getElementById("shortcuts-list");
  if (!list) return;
  const links = [...document.querySelectorAll("[data-key-go]")];
  const pages = links.map((link) => [link.dataset.keyGo, link.dataset.keyName ?? link.textContent.replace(link.dataset.keyGo, "").trim()]);
  const own = [...document.querySelectorAll("[data-key-help]")].map((one) => [one.dataset.keyHelp, one.getAttribute("aria-label") ?? one.textContent.trim()]);
  list.replaceChildren(...[...FIXED.map(([keys, words]) => [keys, words]), ...pages, ...own].map(([keys, words]) => entry(keys, words)));
  const dialog = document.getElementById("shortcuts");
  if (!dialog.open) dialog.showModal();
}

function entry(keys, words) {
  const line = document.createElement("li");
  const what = document.createElement("span");
  what.textContent = words;
  const how = document.createElement("span");
  keys.split(" ").forEach((key, place) => {
    const cap = document.createElement("kbd");
    cap.textContent = key;
    how.append(...(place ? [" ", cap] : [cap]));
  });
  line.append(what, how);
  return line;
}

const writing = (target) => target.closest?.("input, textarea, select, [contenteditable]");

function follow(keys) {
  const link = [...document.querySelectorAll("[data-key-go]")].find((one) => one.dataset.keyGo === keys);
  if (!link) return false;
  link.click();
  return true;
}

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.isComposing) return;
  const key = event.key.toLowerCase();
  if ((event.metaKey || event.ctrlKey) && !event.altKey && !event.shiftKey) {
    const act = { k: openPalette, b: toggleSidebar, "/": openShortcuts }[key];
    if (act) {
      event.preventDefault();
      act();
    }
    return;
  }
  if ((event.metaKey || event.ctrlKey) && event.shiftKey && "ob".includes(key)) {
    event.preventDefault();
    FIXED.find(([keys]) => keys === `${MOD} Shift ${key.toUpperCase()}`)[2]();
    return;
  }
  if (event.metaKey || event.ctrlKey || event.altKey || writing(event.target) || document.querySelector("dialog[open]")) return;
  if (event.key === "?") {
    event.preventDefault();
    openShortcuts();
  } else if (chord && follow(`${chord} ${key}`)) {
    event.preventDefault();
    chord = "";
  } else if (key.length === 1) {
    clearTimeout(chordTimer);
    chord = key === "g" ? "g" : "";
    chordTimer = setTimeout(() => (chord = ""), CHORD_MS);
  }
});

document.addEventListener("click", (event) => {
  if (event.target.closest?.('[data-act="shortcuts"]')) openShortcuts();
});
document.addEventListener("oxios:shortcuts", openShortcuts);
for (const cap of document.querySelectorAll("kbd[data-mod]")) cap.textContent = `${MOD} ${cap.dataset.mod}`;
