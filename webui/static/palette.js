// Find anything: the server searches, the arrows choose, Enter goes there. Follows the combobox pattern of ARIA.

import { setTheme, toggleSidebar } from "./frame.js";

const dialog = document.getElementById("palette");
const input = document.getElementById("palette-q");
const results = document.getElementById("palette-results");
let chosen = 0;

const COMMANDS = {
  "theme-light": () => setTheme("light"),
  "theme-dark": () => setTheme("dark"),
  "theme-system": () => setTheme("system"),
  sidebar: toggleSidebar,
  shortcuts: () => document.dispatchEvent(new CustomEvent("oxios:shortcuts")),
};

export function openPalette() {
  if (!dialog || dialog.open) return;
  dialog.showModal();
  input.select();
  window.htmx.trigger(input, "palette");
}

const lines = () => [...results.querySelectorAll('[role="option"]')];

function choose(place) {
  const all = lines();
  if (!all.length) return input.removeAttribute("aria-activedescendant");
  chosen = (place + all.length) % all.length;
  all.forEach((line, number) => line.setAttribute("aria-selected", String(number === chosen)));
  all[chosen].scrollIntoView({ block: "nearest" });
  input.setAttribute("aria-activedescendant", all[chosen].id);
}

function take(line) {
  if (!line) return;
  dialog.close();
  if (line.dataset.command) COMMANDS[line.dataset.command]?.();
  else location.assign(line.dataset.href);
}

input?.addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) {
    event.preventDefault();
    choose(chosen + step);
  } else if (event.key === "Enter") {
    event.preventDefault();
    take(lines()[chosen]);
  }
});
results?.addEventListener("click", (event) => take(event.target.closest('[role="option"]')));
results?.addEventListener("pointermove", (event) => {
  const place = lines().indexOf(event.target.closest('[role="option"]'));
  if (place >= 0 && place !== chosen) choose(place);
});
results?.addEventListener("htmx:afterSwap", () => choose(0));
document.addEventListener("click", (event) => {
  if (event.target.closest?.('[data-act="palette"]')) openPalette();
});
