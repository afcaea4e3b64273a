// A conversation: what the server sends is put in place by element id, so an element that comes twice changes nothing.

import "./approvals.js";

const conversation = document.querySelector("[data-conversation]");
const form = document.querySelector("[data-composer]");
const box = form?.querySelector("textarea");
const session = form?.dataset.session ?? "";
const scroll = document.getElementById("scroll");
const items = document.getElementById("items");
const DRAFT = `oxios.draft.${session || "new"}`;
const OUTBOX = `oxios.outbox.${session}`;
const STREAMED_CHARS_MAX = 200_000;

function token() {
  return document.querySelector('meta[name="csrf"]')?.content ?? form?.elements.csrf?.value ?? "";
}

async function send(path, fields) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "X-CSRF-Token": token(), Accept: "application/json" },
    body: new URLSearchParams(fields),
  });
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({ title: answer.statusText }));
    throw Object.assign(new Error(problem.title), { problem, status: answer.status });
  }
  return answer;
}

function tell(error) {
  document.dispatchEvent(new CustomEvent("oxios:problem", { detail: error.problem ?? { title: error.message } }));
}

// The page keeps to its end while the reader is there.

function atEnd() {
  return !scroll || scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 80;
}

function keepEnd(was) {
  if (was && scroll) scroll.scrollTop = scroll.scrollHeight;
  const button = document.getElementById("newest");
  if (button) button.hidden = atEnd();
}

// Elements

function place(html) {
  const was = atEnd();
  const fresh = document.createElement("template");
  fresh.innerHTML = html;
  for (const element of [...fresh.content.children]) {
    const old = document.getElementById(element.id);
    if (old) morph(old, element);
    else insert(element);
  }
  window.htmx?.process(items);
  document.dispatchEvent(new CustomEvent("oxios:drawn", { detail: items }));
  keepEnd(was);
}

function morph(old, element) {
  const open = new Map([...old.querySelectorAll("details")].map((one, place) => [place, one.open]));
  const was = old.classList.contains("state-running") && !element.classList.contains("state-running");
  window.Idiomorph.morph(old, element);
  if (was) return;
  [...old.querySelectorAll("details")].forEach((one, place) => {
    if (open.get(place)) one.open = true;
  });
}

function insert(element) {
  const first = Number(element.dataset.first);
  const after = [...items.children].reverse().find((one) => Number(one.dataset.first) <= first);
  if (after) after.after(element);
  else items.prepend(element);
}

// Streamed ahead of the record

function stream(selector, { id, text }, reveal) {
  const target = document.getElementById(id)?.querySelector(selector);
  if (!target) return;
  const was = atEnd();
  const inner = target.scrollHeight - target.scrollTop - target.clientHeight < 40;
  if (target.textContent.length < STREAMED_CHARS_MAX) target.append(text);
  target.hidden = false;
  if (reveal) target.closest("details").hidden = false;
  if (inner) target.scrollTop = target.scrollHeight;
  keepEnd(was);
}

function setState({ busy: now, queued, title }) {
  document.getElementById("title").textContent = title;
  document.getElementById("working").hidden = !now;
  document.getElementById("stop").hidden = !now;
  document.getElementById("composer-hint").textContent = now
    ? "Enter tells the agent at work · Alt Enter waits its turn"
    : "Enter sends · Shift Enter breaks the line";
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
  source.addEventListener("text", (event) => stream("[data-text]", JSON.parse(event.data)));
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
  if (text.startsWith("/") && (await obey(text))) return;
  const message = { text, key: crypto.randomUUID(), ...(queue ? { queue: "1" } : {}) };
  if (editing !== null) {
    await sayAnew(editing, message);
    return;
  }
  if (attached.length) message.attach = attached.map((file) => file.id).join(",");
  attached = [];
  showAttached();
  write("");
  if (session) {
    keep(OUTBOX, [...kept(OUTBOX, []), message]);
    showOutbox();
    if (scroll) scroll.scrollTop = scroll.scrollHeight;
    await flush();
    return;
  }
  try {
    const picked = Object.fromEntries([...form.querySelectorAll("select")].map((one) => [one.name, one.value]));
    const answer = await send("/chat", { ...message, ...picked });
    location.assign(answer.headers.get("HX-Redirect"));
  } catch (error) {
    write(text);
    tell(error);
  }
}

// A turn said anew takes the place of it and of what came after it.

let editing = null;

async function sayAnew(turn, message) {
  try {
    await send(`/chat/${session}/edit`, { ...message, turn });
    editing = null;
    write("");
  } catch (error) {
    tell(error);
  }
}

// Files go up at once; the message names them.

let attached = [];

function showAttached() {
  const list = document.getElementById("attachments");
  list.hidden = !attached.length;
  list.replaceChildren(
    ...attached.map((file) => {
      const line = document.createElement("li");
      line.textContent = `${file.name} (${Math.ceil(file.bytes / 1024)} KiB)`;
      return line;
    }),
  );
}

async function attach(files) {
  for (const file of files) {
    const body = new FormData();
    body.append("file", file);
    const answer = await fetch(`/chat/${session}/attach`, { method: "POST", headers: { "X-CSRF-Token": token(), Accept: "application/json" }, body });
    const told = await answer.json();
    if (answer.ok) attached.push(told);
    else tell({ problem: told });
  }
  showAttached();
}

// What is done to the session

async function act(name, fields = {}) {
  try {
    const answer = await send(`/chat/${session}/${name}`, fields);
    const where = answer.headers.get("HX-Redirect");
    if (where) location.assign(where);
    else if (name === "delete") {
      sessionStorage.setItem("oxios.deleted", (await answer.json()).undo);
      location.assign("/chat/new");
    } else location.reload();
  } catch (error) {
    tell(error);
  }
}

function offerUndo() {
  const undo = sessionStorage.getItem("oxios.deleted");
  if (!undo) return;
  sessionStorage.removeItem("oxios.deleted");
  const bar = document.createElement("p");
  bar.className = "undo-bar";
  bar.role = "status";
  bar.textContent = "The session was deleted. ";
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button";
  button.textContent = "Undo";
  button.addEventListener("click", async () => {
    try {
      location.assign((await send(undo, {})).headers.get("HX-Redirect"));
    } catch (error) {
      tell(error);
    }
  });
  bar.append(button);
  document.querySelector(".conversation")?.prepend(bar);
}

offerUndo();

// Commands

const COMMANDS = [
  ["/new", "a new chat", () => location.assign("/chat/new")],
  ["/stop", "stop what is under way", () => send(`/chat/${session}/stop`, {})],
  ["/go on", "go on with a turn that was interrupted", () => send(`/chat/${session}/resume`, {})],
  ["/persona", "NAME: who answers from the next turn on", (name) => send(`/chat/${session}/change`, { persona: name }).then(() => location.reload())],
  ["/model", "PROVIDER/MODEL: which model, from the next turn on", (name) => send(`/chat/${session}/change`, { model: name }).then(() => location.reload())],
  ["/rename", "NAME: what the session is called", (name) => send(`/chat/${session}/rename`, { name }).then(() => location.reload())],
  ["/queue", "TEXT: a message that waits its turn", (text) => send(`/chat/${session}/say`, { text, queue: "1", key: crypto.randomUUID() })],
  ["/help", "all shortcuts", () => document.dispatchEvent(new CustomEvent("oxios:shortcuts"))],
];

async function obey(line) {
  const found = COMMANDS.find(([name]) => line === name || line.startsWith(`${name} `));
  if (!found) return false;
  write("");
  try {
    await found[2](line.slice(found[0].length).trim());
  } catch (error) {
    write(line);
    tell(error);
  }
  return true;
}

function suggest() {
  const list = document.getElementById("slash");
  const matching = box.value.startsWith("/") ? COMMANDS.filter(([name]) => name.startsWith(box.value.split(" ")[0])) : [];
  list.hidden = !matching.length || box.value.includes(" ");
  list.replaceChildren(
    ...matching.map(([name, help]) => {
      const line = document.createElement("li");
      line.role = "option";
      line.textContent = `${name}  ${help}`;
      line.addEventListener("mousedown", (event) => {
        event.preventDefault();
        write(`${name} `);
        list.hidden = true;
      });
      return line;
    }),
  );
}

// What the person does

if (form && box) {
  box.value = kept(DRAFT, "");
  grow();
  showOutbox();
  box.addEventListener("input", () => {
    grow();
    suggest();
    keep(DRAFT, box.value);
  });
  box.addEventListener("keydown", (event) => {
    if (event.key === "Tab" && !document.getElementById("slash").hidden) {
      event.preventDefault();
      write(`${COMMANDS.find(([name]) => name.startsWith(box.value))?.[0] ?? box.value} `);
      document.getElementById("slash").hidden = true;
    } else if (event.key === "Escape" && editing !== null) {
      editing = null;
      write("");
    } else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      document.getElementById("slash").hidden = true;
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
  if (session) {
    form.addEventListener("dragover", (event) => event.preventDefault());
    form.addEventListener("drop", (event) => {
      event.preventDefault();
      attach([...event.dataTransfer.files]);
    });
    box.addEventListener("paste", (event) => {
      if (event.clipboardData.files.length) attach([...event.clipboardData.files]);
    });
  }
}

// The sides: beside the conversation where there is room, over it where there is none.

function fold(button) {
  const name = button.dataset.fold;
  const open = !document.getElementById(name).checkVisibility();
  const chat = document.querySelector("[data-chat]").classList;
  chat.toggle(`with-${name}`, open);
  chat.toggle(`without-${name}`, !open);
  button.setAttribute("aria-expanded", String(open));
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.fold !== undefined) return fold(button);
  if (button.id === "newest") scroll.scrollTop = scroll.scrollHeight;
  else if (button.dataset.suggest !== undefined) write(button.dataset.suggest);
  else if (button.dataset.say !== undefined) {
    write(button.dataset.say);
    submit(false);
  } else if (button.dataset.act !== undefined) act(button.dataset.act);
  else if (button.dataset.fork !== undefined) act("fork", { turn: button.dataset.fork });
  else if (button.dataset.edit !== undefined) {
    editing = button.dataset.edit;
    write(button.dataset.text);
  } else if (button.dataset.resume !== undefined) send(`/chat/${session}/resume`, {}).catch(tell);
  else if (button.dataset.rename !== undefined) write("/rename ");
});

scroll?.addEventListener("scroll", () => keepEnd(false), { passive: true });
if (scroll) scroll.scrollTop = scroll.scrollHeight;
if (conversation) listen();
