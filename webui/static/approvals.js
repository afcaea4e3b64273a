// An approval's card takes its answer from one key while it has the focus: y and n, or the first letter of its word.

const keyed = (card, key) => [...card.querySelectorAll("[data-key]")].find((one) => [one.dataset.key, one.dataset.keyToo].includes(key));

document.addEventListener("keydown", (event) => {
  const card = event.target.closest?.("[data-approval]");
  if (!card || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.name === "reason" && event.key === "Enter") {
    // The browser would press the first button: a reason to deny would allow.
    event.preventDefault();
    keyed(card, "n").focus();
    return;
  }
  if (event.target.matches("input, textarea")) return;
  const button = keyed(card, event.key.toLowerCase());
  if (!button) return;
  event.preventDefault();
  button.click();
});
