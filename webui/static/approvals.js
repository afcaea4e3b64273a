// An approval's card takes its answer from one key while it has the focus.

document.addEventListener("keydown", (event) => {
  const card = event.target.closest?.("[data-approval]");
  if (!card || event.target.matches("input, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
  const button = card.querySelector(`[data-key="${event.key.toLowerCase()}"]`);
  if (!button) return;
  event.preventDefault();
  button.click();
});
