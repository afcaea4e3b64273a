// The one event stream of a page, and the pill that says how it is.
//
// Whenever it comes back (the server was away or said no, or the page slept in the background, where it would
// keep one of the browser's few connections) every topic is told once: a region that is drawn again has lost
// nothing.
//
// A region that need not follow at once listens to "TOPIC.slow": told at most once each SLOW_MS, and of the last change
// too. (A throttle of htmx drops what comes meanwhile, of every event of the element.)

const SLOW_MS = 2000;
const AGAIN_MS = 2000;
const SLEEP_MS = 60_000;

class Live extends EventTarget {
  #names = new Set();
  #source = null;
  #missed = false;
  #timer = 0;
  #told = new Map(); // names of which was told within SLOW_MS, and whether there was more

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
    if (this.#source) this.#hear(this.#source, name);
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
    for (const name of this.#names) this.#hear(source, name);
    source.onopen = (event) => {
      show("live");
      this.onopen?.(event);
      if (this.#missed) for (const name of this.#names) this.#tell(name);
      this.#missed = false;
    };
    source.onerror = () => {
      show("lost");
      this.#missed = true;
      if (source.readyState !== EventSource.CLOSED || this.#source !== source) return;
      this.#timer = setTimeout(() => this.#connect(), AGAIN_MS);
    };
  }

  #hear(source, name) {
    source.addEventListener(name.replace(/\.slow$/, ""), (event) => this.#tell(name, event));
  }

  #tell(name, { data = "", lastEventId = "" } = {}) {
    const pass = () => this.dispatchEvent(new MessageEvent(name, { data, lastEventId }));
    if (!name.endsWith(".slow")) return pass();
    const told = this.#told.get(name);
    if (told) return void (told.again = true);
    const now = { again: false };
    this.#told.set(name, now);
    pass();
    setTimeout(() => {
      this.#told.delete(name);
      if (now.again) this.#tell(name);
    }, SLOW_MS);
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
