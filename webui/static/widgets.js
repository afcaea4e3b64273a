// Copy buttons, tabs within a page, trees. Keys follow the patterns of ARIA.

import { whenDrawn } from "./drawn.js";

const COPIED_MS = 1500;

document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy], [data-copy-of]");
  if (!button) return;
  const text = button.dataset.copy ?? button.parentElement.querySelector(button.dataset.copyOf)?.textContent ?? "";
  try {
    await navigator.clipboard.writeText(text);
    button.dataset.copied = "";
    setTimeout(() => delete button.dataset.copied, COPIED_MS);
  } catch {
    document.dispatchEvent(new CustomEvent("oxios:toast", { detail: { kind: "bad", title: "The browser did not let this page copy" } }));
  }
});

// Tabs

function show(tab, focus) {
  for (const one of tab.parentElement.querySelectorAll('[role="tab"]')) {
    const shown = one === tab;
    one.setAttribute("aria-selected", String(shown));
    one.tabIndex = shown ? 0 : -1;
    document.getElementById(one.getAttribute("aria-controls")).hidden = !shown;
  }
  if (focus) tab.focus();
}

document.addEventListener("click", (event) => {
  const tab = event.target.closest?.('[data-tabs] [role="tab"]');
  if (tab) show(tab, false);
});

document.addEventListener("keydown", (event) => {
  const tab = event.target.closest?.('[data-tabs] [role="tab"]');
  const all = tab ? [...tab.parentElement.querySelectorAll('[role="tab"]')] : [];
  const place = all.indexOf(tab);
  const next = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: all.length - 1 }[event.key];
  if (!tab || next === undefined) return;
  event.preventDefault();
  show(all[(next + all.length) % all.length], true);
});

// Trees: one line at a time is in the order of Tab, the arrows move among them.

const visible = (tree) =>
  [...tree.querySelectorAll('[role="treeitem"]')].filter((item) => !item.parentElement.closest('[aria-expanded="false"]'));

function move(tree, item) {
  if (!item) return;
  for (const one of tree.querySelectorAll('[role="treeitem"][tabindex="0"]')) one.tabIndex = -1;
  item.tabIndex = 0;
  item.focus();
}

function open(item, wanted) {
  if (item.hasAttribute("aria-expanded")) item.setAttribute("aria-expanded", String(wanted));
}

whenDrawn((part) => {
  for (const tree of part.querySelectorAll('[role="tree"]')) {
    if (!tree.querySelector('[role="treeitem"][tabindex="0"]')) tree.querySelector('[role="treeitem"]')?.setAttribute("tabindex", "0");
  }
});

document.addEventListener("click", (event) => {
  const line = event.target.closest?.(".tree-line");
  if (!line || event.target.closest("a, button, input")) return;
  const item = line.parentElement;
  if (item.dataset.href && !event.target.closest(".tree-mark")) location.assign(item.dataset.href);
  else open(item, item.getAttribute("aria-expanded") !== "true");
  move(item.closest('[role="tree"]'), item);
});

document.addEventListener("keydown", (event) => {
  const item = event.target.closest?.('[role="treeitem"]');
  if (!item || event.target !== item) return;
  const tree = item.closest('[role="tree"]');
  const all = visible(tree);
  const place = all.indexOf(item);
  const state = item.getAttribute("aria-expanded");
  const acts = {
    ArrowDown: () => move(tree, all[place + 1]),
    ArrowUp: () => move(tree, all[place - 1]),
    Home: () => move(tree, all[0]),
    End: () => move(tree, all.at(-1)),
    ArrowRight: () => (state === "false" ? open(item, true) : state === "true" && move(tree, all[place + 1])),
    ArrowLeft: () => (state === "true" ? open(item, false) : move(tree, item.parentElement.closest('[role="treeitem"]'))),
    Enter: () => (item.dataset.href ? location.assign(item.dataset.href) : open(item, state !== "true")),
    " ": () => open(item, state !== "true"),
  };
  if (!acts[event.key]) return;
  event.preventDefault();
  acts[event.key]();
});

// A form that takes so many of a list: its button works once they are chosen.

function count(form) {
  const chosen = [...form.elements].filter((one) => one.checked).length;
  form.querySelector("button").disabled = chosen !== Number(form.dataset.choose);
}

document.addEventListener("change", (event) => event.target.form?.dataset.choose && count(event.target.form));
whenDrawn(() => document.querySelectorAll("[data-choose]").forEach(count));
