// What is written in a field with data-draft="NAME" outlives a reload, until its form was taken.

import { whenDrawn } from "./drawn.js";

const key = (field) => `oxios.draft.${field.dataset.draft}`;

whenDrawn((part) => {
  for (const field of part.querySelectorAll("[data-draft]")) {
    const kept = localStorage.getItem(key(field));
    if (kept !== null && document.activeElement !== field) field.value = kept;
  }
});

document.addEventListener("input", (event) => {
  const field = event.target;
  if (!field.dataset?.draft) return;
  if (field.value) localStorage.setItem(key(field), field.value);
  else localStorage.removeItem(key(field));
});

function forget(form) {
  for (const field of form.querySelectorAll?.("[data-draft]") ?? []) localStorage.removeItem(key(field));
}

document.addEventListener("submit", (event) => event.target.matches("[hx-post], [hx-put], [hx-patch]") || forget(event.target));
document.body.addEventListener("htmx:afterRequest", (event) => event.detail.successful && event.detail.requestConfig.verb !== "get" && forget(event.detail.elt));
