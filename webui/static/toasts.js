// Messages that come and go: what went wrong with a request, what was done and how to undo it.

const STAYS_MS = { bad: 12_000, good: 5_000, info: 6_000 };
const MOST = 4;

/** Show one: {title, text?, remedy?, kind?, undo?}. `undo` is an address that takes it back by POST. */
export function toast({ title, text = "", remedy = "", kind = "info", undo = "" }) {
  const place = document.getElementById("toasts");
  if (!place) return;
  const box = document.createElement("div");
  box.className = `toast toast-${kind}`;
  box.append(line("span", "toast-title", title));
  for (const words of [text, remedy]) if (words && words !== title) box.append(line("p", "", words));
  const acts = line("span", "toast-acts", "");
  if (undo) acts.append(button("Undo", () => post(undo)));
  acts.append(button("×", () => {}, "Dismiss"));
  acts.addEventListener("click", () => box.remove());
  box.append(acts);
  if (kind === "bad") box.setAttribute("role", "alert");
  place.append(box);
  while (place.children.length > MOST) place.firstElementChild.remove();
  let timer = setTimeout(() => box.remove(), STAYS_MS[kind] ?? STAYS_MS.info);
  box.addEventListener("pointerenter", () => clearTimeout(timer));
  box.addEventListener("pointerleave", () => (timer = setTimeout(() => box.remove(), 3000)));
}

function line(tag, name, words) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.textContent = words;
  return element;
}

function button(words, act, label = "") {
  const element = line("button", "button button-quiet button-small", words);
  element.type = "button";
  if (label) element.setAttribute("aria-label", label);
  element.addEventListener("click", act);
  return element;
}

function post(path) {
  window.htmx.ajax("POST", path, { source: document.body, swap: "none" });
}

/** A problem document (RFC 9457) as a message. */
export function problem(document_) {
  const { title, detail = "", remedy = "", status = 0, request = "" } = document_;
  toast({ kind: "bad", title: title || "It did not work", text: detail, remedy: remedy || (status >= 500 && request ? `Request ${request}` : "") });
}

function read(xhr) {
  try {
    const said = JSON.parse(xhr.responseText);
    if (said && typeof said === "object") return { status: xhr.status, ...said };
  } catch {
    // Not a problem document: something between the server and here answered.
  }
  return { status: xhr.status, title: xhr.statusText || `The server answered ${xhr.status}` };
}

document.body.addEventListener("htmx:responseError", (event) => {
  const { xhr } = event.detail;
  if (xhr.status === 401) location.reload();
  else problem(read(xhr));
});
// A region that asks for itself again will ask once more; only what a person did is worth a word.
document.body.addEventListener("htmx:sendError", (event) => {
  if (event.detail.requestConfig?.verb !== "get") problem({ title: "The server cannot be reached", detail: "Nothing was done. Try again in a moment." });
});
document.body.addEventListener("htmx:timeout", () => problem({ title: "The server took too long to answer" }));
// What an act answers with, where nothing on the page is drawn from it: {"message": "…"}.
document.body.addEventListener("htmx:afterRequest", (event) => {
  const { xhr, successful, requestConfig } = event.detail;
  if (!successful || requestConfig.verb === "get" || !xhr.getResponseHeader("Content-Type")?.includes("json")) return;
  const { message = "" } = read(xhr);
  if (message) toast({ kind: "good", title: message });
});
document.body.addEventListener("toast", (event) => {
  const said = event.detail;
  toast({ kind: said.kind ?? "good", title: said.text ?? said.title ?? "Done", text: said.detail ?? "", undo: said.undo ?? "" });
});
document.addEventListener("oxios:problem", (event) => problem(event.detail));
document.addEventListener("oxios:toast", (event) => toast(event.detail));
