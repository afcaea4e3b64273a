// A conversation: what is said and waits to be taken, what waits for the person, and where things stand.

import "./approvals.js";
import "./sides.js";

import { obey, slash } from "./commands.js";
import { send, tell } from "./send.js";
import { act } from "./sessions.js";
import { items, keepEnd, place, scroll, stream, writeOut } from "./transcript.js";

const conversation = document.querySelector("[data-conversation]");
const form = document.querySelector("[data-composer]");
const box = form?.querySelector("textarea");
const session = form?.dataset.session ?? "";
const DRAFT = `oxios.draft.${session || "new"}`;
const OUTBOX = `oxios.outbox.${session}`;
const PLACEHOLDER = box?.placeholder ?? "";

// What waits for the person, wherever it stands in the conversation.

const wanted = () => items?.querySelector("[data-approval], [data-ask], [data-questions], [data-draft]");

function goTo(element) {
  element?.scrollIntoView({ block: "center" });
  (element?.matches("[tabindex]") ? element : element?.querySelector("input, textarea, button"))?.focus();
}

function tellWanted() {
  const waits = wanted();
  const place = waits?.getBoundingClientRect();
  const seen = place && scroll.getBoundingClientRect();
  document.getElementById("wanted").hidden = !waits || (place.top < seen.bottom - 40 && place.bottom > seen.top + 40);
  document.querySelector("#working > :last-child").textContent = waits ? "waits for you" : "working";
}

document.addEventListener("oxios:drawn", tellWanted);

function setState({ busy: now, queued, title }) {
  document.getElementById("title").textContent = title;
  document.querySelector(".topbar-title").textContent = title;
  document.title = `${title} · Oxios`;
  document.getElementById("working").hidden = !now;
  box.placeholder = now ? "Tell the agent at work" : PLACEHOLDER;
  document.getElementById("stop").hidden = !now;
  document.getElementById("composer-hint").textContent = now
    ? "Enter tells the agent at work · Alt Enter waits its turn"
    : "Enter sends · Shift Enter breaks the line · / commands";
  const list = document.getElementById("queue");
  list.hidden = !queued.length;
  list.replaceChildren(
    ...queued.map((text, number) => {
      const line = document.createElement("li");
      const words = document.createElement("span");
      words.textContent = text;
      const back = document.createElement("button");
      back.type = "button";
      back.className = "button button-quiet";
      back.textContent = "Edit";
      back.addEventListener("click", () => takeBack(number));
      line.append(words, back);
      return line;
    }),
  );
}

async function takeBack(number) {
  try {
    const { text } = await (await send(`/chat/${session}/unqueue`, { number })).json();
    write(text);
  } catch (error) {
    tell(error);
  }
}

function listen() {
  const source = new EventSource(`/chat/${conversation.dataset.conversation}/events?after=${conversation.dataset.after}`);
  source.addEventListener("item", (event) => place(event.data));
  source.addEventListener("prose", (event) => writeOut(JSON.parse(event.data)));
  source.addEventListener("reasoning", (event) => stream("[data-reasoning]", JSON.parse(event.data), true));
  source.addEventListener("progress", (event) => stream("[data-progress]", JSON.parse(event.data)));
  source.addEventListener("redraw", () => location.reload());
  source.addEventListener("state", (event) => setState(JSON.parse(event.data)));
  source.addEventListener("open", () => {
    document.dispatchEvent(new CustomEvent("oxios:connected"));
    flush();
  });
  source.addEventListener("error", () => {
    document.dispatchEvent(new CustomEvent("oxios:disconnected"));
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 1500);
  });
  window.addEventListener("pagehide", () => source.close(), { once: true });
}

// What was written and not yet taken survives a reload; each message has a key, so it is taken once.

function kept(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(name)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

function keep(name, value) {
  const empty = value === "" || (Array.isArray(value) && !value.length);
  if (empty) localStorage.removeItem(name);
  else localStorage.setItem(name, JSON.stringify(value));
}

function write(text) {
  box.value = text;
  box.focus();
  grow();
  keep(DRAFT, text);
}

function grow() {
  box.style.height = "auto";
  box.style.height = `${Math.min(box.scrollHeight, 260)}px`;
}

let flushing = false;

async function flush() {
  if (flushing || !session) return;
  flushing = true;
  try {
    for (let outbox = kept(OUTBOX, []); outbox.length; outbox = kept(OUTBOX, [])) {
      const [message] = outbox;
      await send(`/chat/${session}/say`, message);
      keep(OUTBOX, kept(OUTBOX, []).filter((one) => one.key !== message.key));
      showOutbox();
    }
  } catch (error) {
    if (error.status && error.status < 500) {
      const [refused, ...rest] = kept(OUTBOX, []);
      keep(OUTBOX, rest);
      if (refused && !box.value) write(refused.text);
      tell(error);
    }
  } finally {
    flushing = false;
    showOutbox();
  }
}

function showOutbox() {
  const waiting = kept(OUTBOX, []);
  for (const old of document.querySelectorAll(".item-unsent")) old.remove();
  for (const message of waiting) {
    const line = document.createElement("article");
    line.className = "item message message-goal item-unsent";
    line.dataset.first = String(Number.MAX_SAFE_INTEGER);
    line.textContent = message.text;
    items?.append(line);
  }
}

async function submit(queue) {
  const text = box.value.trim();
  if (!text) return;
  if (text.startsWith("/") && (await obey(text, session, write))) return;
  if (editing !== null) {
    await sayAnew(editing, { text, key: crypto.randomUUID() });
    return;
  }
  const files = attached;
  attached = [];
  showAttached();
  write("");
  await (session ? say(text, queue, files) : begin(text, files));
}

async function say(text, queue = false, files = []) {
  const message = { text, key: crypto.randomUUID(), ...(queue ? { queue: "1" } : {}) };
  if (files.length) message.attach = files.map((file) => file.id).join(",");
  keep(OUTBOX, [...kept(OUTBOX, []), message]);
  showOutbox();
  if (scroll) scroll.scrollTop = scroll.scrollHeight;
  await flush();
}

async function begin(text, files) {
  const message = { text, key: crypto.randomUUID() };
  const picked = Object.fromEntries([...form.querySelectorAll("select")].map((one) => [one.name, one.value]));
  try {
    const answer = await send("/chat", files.length ? picked : { ...message, ...picked });
    const where = answer.headers.get("HX-Redirect");
    if (files.length) {
      const named = [];
      for (const one of files) named.push((await upload(where.split("/").at(-1), one.file)).id);
      await send(`${where}/say`, { ...message, attach: named.join(",") });
    }
    location.assign(where);
  } catch (error) {
    write(text);
    attached = files;
    showAttached();
    tell(error);
  }
}

// A turn said anew takes the place of it and of what came after it.

let editing = null;

function edit(turn, text) {
  editing = turn;
  document.getElementById("editing").hidden = turn === null;
  write(text);
}

async function sayAnew(turn, message) {
  try {
    await send(`/chat/${session}/edit`, { ...message, turn });
    edit(null, "");
  } catch (error) {
    tell(error);
  }
}

// Files go up at once, and the message names them; those of a session that is not there yet go up when it is.

let attached = [];

function showAttached() {
  const list = document.getElementById("attachments");
  list.hidden = !attached.length;
  list.replaceChildren(
    ...attached.map((file) => {
      const line = document.createElement("li");
      line.textContent = `${file.name} (${Math.ceil(file.bytes / 1024)} KiB)`;
      const away = document.createElement("button");
      away.type = "button";
      away.className = "button button-quiet button-small";
      away.textContent = "×";
      away.setAttribute("aria-label", `Do not attach ${file.name}`);
      away.addEventListener("click", () => {
        attached = attached.filter((one) => one !== file);
        showAttached();
        box.focus();
      });
      line.append(" ", away);
      return line;
    }),
  );
}

async function upload(where, file) {
  const body = new FormData();
  body.append("file", file);
  return (await send(`/chat/${where}/attach`, body)).json();
}

async function attach(files) {
  for (const file of files) {
    try {
      attached.push(session ? await upload(session, file) : { name: file.name, bytes: file.size, file });
    } catch (error) {
      tell(error);
    }
  }
  showAttached();
}

// What the person does

if (form && box) {
  box.value = kept(DRAFT, "");
  grow();
  showOutbox();
  const commands = slash(box, write);
  box.addEventListener("input", () => {
    grow();
    keep(DRAFT, box.value);
  });
  box.addEventListener("keydown", (event) => {
    if (commands(event)) return;
    if (event.key === "Escape" && editing !== null) edit(null, "");
    else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      submit(event.altKey);
    }
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit(false);
  });
  for (const one of form.querySelectorAll("[data-change]")) {
    one.addEventListener("change", () => {
      if (session) send(`/chat/${session}/change`, { [one.name]: one.value }).catch(tell);
    });
  }
  document.getElementById("stop").addEventListener("click", () => send(`/chat/${session}/stop`, {}).catch(tell));
  window.addEventListener("online", flush);
  const picker = document.getElementById("attach");
  picker?.addEventListener("change", () => {
    attach([...picker.files]);
    picker.value = "";
  });
  form.addEventListener("dragover", (event) => event.preventDefault());
  form.addEventListener("drop", (event) => {
    event.preventDefault();
    attach([...event.dataTransfer.files]);
  });
  box.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length) attach([...event.clipboardData.files]);
  });
}

// What was asked before it begins is answered at once: one question with the answer alone, several by their numbers.

document.addEventListener("submit", (event) => {
  const asked = event.target.closest?.("[data-questions]");
  if (!asked) return;
  event.preventDefault();
  const questions = [...asked.querySelectorAll(".question")];
  const answers = questions.map((one) => [...one.querySelectorAll("input[type=text], input:checked")].map((field) => field.value.trim()).filter(Boolean).join(", "));
  const missing = answers.findIndex((one) => !one);
  if (missing >= 0) questions[missing].querySelector("input").focus();
  else say(answers.length === 1 ? answers[0] : answers.map((one, place) => `${place + 1}. ${one}`).join("\n"));
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.id === "newest") scroll.scrollTop = scroll.scrollHeight;
  else if (button.dataset.suggest !== undefined) write(button.dataset.suggest);
  else if (button.dataset.fork !== undefined) act(session, "fork", { turn: button.dataset.fork });
  else if (button.dataset.edit !== undefined) edit(button.dataset.edit, button.dataset.text);
  else if (button.dataset.editNo !== undefined) edit(null, "");
  else if (button.dataset.wanted !== undefined) goTo(wanted());
  else if (button.dataset.resume !== undefined) send(`/chat/${session}/resume`, {}).catch(tell);
});

scroll?.addEventListener("scroll", () => {
  keepEnd(false);
  if (conversation) tellWanted();
}, { passive: true });
if (scroll) scroll.scrollTop = scroll.scrollHeight;
if (conversation) {
  tellWanted();
  listen();
}
