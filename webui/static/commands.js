// Commands of the composer: a line that begins with a stroke.

import { send, tell } from "./send.js";

const COMMANDS = [
  ["/new", "", "a new chat", () => location.assign("/chat/new")],
  ["/stop", "", "stop what is under way", (session) => send(`/chat/${session}/stop`, {})],
  ["/go on", "", "go on with a turn that was interrupted", (session) => send(`/chat/${session}/resume`, {})],
  ["/persona", "NAME", "who answers from the next turn on", (session, persona) => change(session, { persona })],
  ["/model", "PROVIDER/MODEL", "which model, from the next turn on", (session, model) => change(session, { model })],
  ["/rename", "NAME", "what the session is called", (session, name) => send(`/chat/${session}/rename`, { name }).then(() => location.reload())],
  ["/queue", "TEXT", "a message that waits its turn", (session, text) => send(`/chat/${session}/say`, { text, queue: "1", key: crypto.randomUUID() })],
  ["/help", "", "all shortcuts", () => document.dispatchEvent(new CustomEvent("oxios:shortcuts"))],
];

function change(session, fields) {
  return send(`/chat/${session}/change`, fields).then(() => location.reload());
}

/** Carry the line out; whether it is a command at all. */
export async function obey(line, session, write) {
  const found = COMMANDS.find(([name]) => line === name || line.startsWith(`${name} `));
  if (!found) return false;
  const [name, argument, , act] = found;
  const rest = line.slice(name.length).trim();
  const missing = argument && !rest && name !== "/rename" ? `${name} needs ${argument}` : "";
  const early = !session && !["/new", "/help"].includes(name) ? `${name} is for a chat that has begun` : "";
  if (missing || early) {
    tell(new Error(missing || early));
    return true;
  }
  write("");
  try {
    await act(session, rest);
  } catch (error) {
    write(line);
    tell(error);
  }
  return true;
}

/** Suggests while a command is written; the result takes a key and says whether it was for the suggestions. */
export function slash(box, write) {
  const list = document.getElementById("slash");
  let at = 0;

  const lines = () => [...list.children];
  const close = () => {
    list.hidden = true;
    box.removeAttribute("aria-activedescendant");
  };
  const mark = (place) => {
    at = (place + lines().length) % lines().length;
    lines().forEach((line, number) => line.setAttribute("aria-selected", String(number === at)));
    box.setAttribute("aria-activedescendant", lines()[at].id);
    lines()[at].scrollIntoView({ block: "nearest" });
  };
  const take = (place) => {
    const { name, argument } = lines()[place].dataset;
    close();
    write(argument ? `${name} ` : name);
  };

  box.addEventListener("input", () => {
    const matching = box.value.startsWith("/") ? COMMANDS.filter(([name]) => name.startsWith(box.value)) : [];
    list.replaceChildren(...matching.map((command, number) => option(command, number, () => take(number))));
    list.hidden = !matching.length;
    if (matching.length) mark(0);
    else close();
  });
  box.addEventListener("blur", close);

  return (event) => {
    if (list.hidden || event.isComposing) return false;
    const moved = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const whole = lines()[at].dataset.name === box.value;
    if (moved) mark(at + moved);
    else if (event.key === "Tab" || (event.key === "Enter" && !whole)) take(at);
    else if (event.key === "Escape") close();
    else {
      if (event.key === "Enter") close();
      return false;
    }
    event.preventDefault();
    return true;
  };
}

function option([name, argument, help], number, take) {
  const line = document.createElement("li");
  line.id = `slash-${number}`;
  line.role = "option";
  line.dataset.name = name;
  line.dataset.argument = argument;
  const words = document.createElement("code");
  words.textContent = argument ? `${name} ${argument}` : name;
  line.append(words, ` ${help}`);
  line.addEventListener("mousedown", (event) => {
    event.preventDefault();
    take();
  });
  return line;
}
