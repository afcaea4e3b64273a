// The one event stream of a page, and the pill that says how it is.
//
// Whenever it comes back (the server was away or said no, or the page slept in the background, where it would
// keep one of the browser's few connections) every topic is told once: a region that is drawn again has lost
// nothing.

const AGAIN_MS = 2000;
const SLEEP_MS = 60_000;

class Live extends EventTarget {
  #names = new Set();
  #source = null;
  #missed = false;
  #timer = 0;

  constructor(url) {
    super();
    this.url = url;
    this.onopen = null;
    this.onerror = null;
    this.#connect();
    document.addEventListener("visibilitychange", () => this.#seen());
    window.addEventListener("pagehide", () => this.close());
    window.addEventListener("pageshow", (event) => event.persisted && this.#connect());
  }

  get readyState() {
    return this.#source?.readyState === EventSource.OPEN ? EventSource.OPEN : EventSource.CONNECTING;
  }

  addEventListener(name, listener, options) {
    super.addEventListener(name, listener, options);
    if (this.#names.has(name)) return;
    this.#names.add(name);
    this.#source?.addEventListener(name, (event) => this.#pass(event));
  }

  close() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  #connect() {
    this.close();
    const source = new EventSource(this.url);
    this.#source = source;
    for (const name of this.#names) source.addEventListener(name, (event) => this.#pass(event));
    source.onopen = (event) => {
      show("live");
      this.onopen?.(event);
      if (this.#missed) for (const name of this.#names) this.dispatchEvent(new MessageEvent(name, { data: "" }));
      this.#missed = false;
    };
    source.onerror = () => {
      show("lost");
      this.#missed = true;
      if (source.readyState !== EventSource.CLOSED || this.#source !== source) return;
      this.#timer = setTimeout(() => this.#connect(), AGAIN_MS);
    };
  }

  #pass(event) {
    this.dispatchEvent(new MessageEvent(event.type, { data: event.data, lastEventId: event.lastEventId }));
  }

  #seen() {
    clearTimeout(this.#timer);
    if (document.hidden) {
      this.#timer = setTimeout(() => {
        this.#missed = true;
        this.close();
      }, SLEEP_MS);
    } else if (!this.#source || this.#source.readyState === EventSource.CLOSED) this.#connect();
  }
}

const WORDS = { live: "connected", lost: "reconnecting" };

function show(state) {
  const pill = document.getElementById("connection");
  if (!pill || pill.dataset.state === state) return;
  pill.dataset.state = state;
  pill.querySelector(".pill-word").textContent = WORDS[state];
  pill.title = state === "live" ? "Connected: the page shows what happens as it happens" : "The server cannot be reached; trying again";
}

document.addEventListener("oxios:connected", () => show("live"));
document.addEventListener("oxios:disconnected", () => show("lost"));
window.addEventListener("offline", () => show("lost"));

if (window.htmx) window.htmx.createEventSource = (url) => new Live(url);
