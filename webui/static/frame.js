// The frame: theme, menu, the number of waiting approvals in the tab's title.

import { whenDrawn } from "./drawn.js";

const root = document.documentElement;
const narrow = matchMedia("(max-width: 48rem)");

function keep(name, value) {
  try {
    if (value) localStorage.setItem(name, value);
    else localStorage.removeItem(name);
  } catch {
    // A browser that keeps nothing: the choice holds for this page.
  }
}

export function setTheme(theme) {
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  else delete root.dataset.theme;
  keep("oxios.theme", root.dataset.theme ?? "");
  showTheme();
}

function showTheme() {
  for (const button of document.querySelectorAll("[data-theme-choice]")) {
    button.setAttribute("aria-pressed", String(button.dataset.themeChoice === (root.dataset.theme ?? "system")));
  }
}

export function toggleSidebar() {
  if (narrow.matches) return setMenu(root.dataset.menu !== "open");
  if (root.dataset.sidebar === "folded") delete root.dataset.sidebar;
  else root.dataset.sidebar = "folded";
  keep("oxios.sidebar", root.dataset.sidebar ?? "");
}

function setMenu(open) {
  if (open) root.dataset.menu = "open";
  else delete root.dataset.menu;
  const button = document.querySelector('[data-act="menu"]');
  button?.setAttribute("aria-expanded", String(open));
  if (open) document.querySelector(".sidebar a")?.focus();
  else if (document.activeElement?.closest(".sidebar")) button?.focus();
}

document.addEventListener("click", (event) => {
  const act = event.target.closest?.("[data-act]")?.dataset.act;
  const choice = event.target.closest?.("[data-theme-choice]");
  if (choice) setTheme(choice.dataset.themeChoice);
  if (act === "sidebar" || act === "menu") toggleSidebar();
  else if (root.dataset.menu === "open" && !event.target.closest(".sidebar")) setMenu(false);
  const toggle = event.target.closest?.("[data-toggle]");
  if (toggle) flip(toggle);
  for (const drop of document.querySelectorAll(".drop[open]")) if (!drop.contains(event.target)) drop.open = false;
});

function flip(toggle) {
  const target = document.getElementById(toggle.dataset.toggle);
  if (!target) return;
  const drawer = getComputedStyle(target).display === "none" || target.classList.contains("is-open");
  const shown = drawer ? target.classList.toggle("is-open") : target.hidden;
  target.hidden = !drawer && !shown;
  if (drawer) target.hidden = false;
  toggle.setAttribute("aria-expanded", String(shown));
}

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  if (root.dataset.menu === "open") setMenu(false);
  for (const drop of document.querySelectorAll(".drop[open]")) {
    drop.open = false;
    drop.querySelector("summary").focus();
  }
});

const title = document.title;
whenDrawn(() => {
  const count = document.querySelector("[data-waiting]")?.dataset.waiting ?? "0";
  const wanted = count === "0" ? title : `(${count}) ${title}`;
  if (document.title !== wanted) document.title = wanted;
});
showTheme();
