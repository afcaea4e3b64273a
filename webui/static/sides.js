// The sides of a conversation: beside it where there is room, over it where there is none; and the way between a file
// that stands there and the cards of the calls that changed it.

const chat = document.querySelector("[data-chat]");

function show(name, open = true) {
  chat.classList.toggle(`with-${name}`, open);
  chat.classList.toggle(`without-${name}`, !open);
  chat.querySelector(`[data-fold="${name}"]`)?.setAttribute("aria-expanded", String(open));
}

const isShown = (name) => document.getElementById(name)?.checkVisibility() ?? false;

/** Bring it before the reader's eyes, and give it the focus. */
function find(element, focused) {
  element.scrollIntoView({ block: "center" });
  focused?.focus({ preventScroll: true });
  for (const old of document.querySelectorAll(".is-found")) old.classList.remove("is-found");
  element.classList.add("is-found");
}

function toCard(link, event) {
  const card = document.getElementById(link.dataset.card);
  if (!card) return; // Of an earlier turn: the link goes to its run.
  event.preventDefault();
  const over = getComputedStyle(document.getElementById("details")).position === "fixed";
  if (over) show("details", false);
  card.querySelector("details").open = true;
  find(card, card.querySelector("summary"));
}

function toFile(button) {
  show("details");
  const file = [...document.querySelectorAll("[data-file]")].find((one) => one.dataset.file === button.dataset.toFile);
  if (file) find(file, file.querySelector("a"));
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[data-card]");
  if (link) return toCard(link, event);
  const button = event.target.closest?.("button");
  if (button?.dataset.pickers !== undefined) button.setAttribute("aria-expanded", String(button.getAttribute("aria-expanded") !== "true"));
  else if (button?.dataset.fold !== undefined) show(button.dataset.fold, !isShown(button.dataset.fold));
  else if (button?.dataset.toFile !== undefined) toFile(button);
});
for (const button of document.querySelectorAll("[data-fold]")) button.setAttribute("aria-expanded", String(isShown(button.dataset.fold)));
