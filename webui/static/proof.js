// Checks, in this browser, that an entry is in the signed journal: the payload's digest, the leaf, the path to the
// root (RFC 9162, 2.1.3.2), and the Ed25519 signature of the checkpoint (C2SP signed note). Trusts the public key alone.

const text = new TextEncoder();

async function sha256(...parts) {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let place = 0;
  for (const part of parts) {
    whole.set(part, place);
    place += part.length;
  }
  return new Uint8Array(await crypto.subtle.digest("SHA-256", whole));
}

const hex = (bytes) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const unhex = (string) => Uint8Array.from(string.match(/../g) ?? [], (pair) => parseInt(pair, 16));
const unbase64 = (string) => Uint8Array.from(atob(string), (char) => char.charCodeAt(0));

function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const keys = Object.keys(value).sort();
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join(",")}}`;
}

const node = (left, right) => sha256(Uint8Array.of(1), left, right);

async function rootOf(leaf, index, size, path) {
  let [fn, sn, root] = [BigInt(index), BigInt(size) - 1n, leaf];
  for (const sibling of path) {
    if (sn === 0n) throw new Error("the path is too long");
    if (fn & 1n || fn === sn) {
      root = await node(sibling, root);
      while (!(fn & 1n) && fn !== 0n) {
        fn >>= 1n;
        sn >>= 1n;
      }
    } else root = await node(root, sibling);
    fn >>= 1n;
    sn >>= 1n;
  }
  if (sn !== 0n) throw new Error("the path is too short");
  return root;
}

async function signedBy(note, keys) {
  const split = note.lastIndexOf("\n\n");
  const body = text.encode(note.slice(0, split + 1));
  for (const line of note.slice(split + 2).split("\n").filter(Boolean)) {
    const [, name, encoded] = line.split(" ");
    const raw = unbase64(encoded);
    for (const known of keys) {
      const [keyName, id, material] = splitKey(known);
      if (keyName !== name || id !== hex(raw.slice(0, 4))) continue;
      const key = await crypto.subtle.importKey("raw", unbase64(material).slice(1), "Ed25519", false, ["verify"]);
      if (await crypto.subtle.verify("Ed25519", key, raw.slice(4), body)) return known;
      throw new Error(`the signature of ${name} is false`);
    }
  }
  throw new Error("the checkpoint is signed by none of this journal's keys");
}

// NAME+ID+BASE64, where the last may hold plus signs of its own.
function splitKey(known) {
  const [name, id] = known.split("+");
  return [name, id, known.slice(name.length + id.length + 2)];
}

async function check(seq, shown) {
  const answer = await fetch(`/audit/${seq}/proof`, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error((await answer.json()).title);
  const proof = await answer.json();
  if (proof.entry.seq !== Number(seq) || proof.index !== proof.entry.seq - 1) throw new Error("this is the proof of another entry");
  if (proof.entry.digest !== shown) throw new Error("this page shows another digest");
  const steps = [];
  if (proof.entry.payload !== null) {
    const digest = hex(await sha256(text.encode(proof.entry.payload)));
    if (digest !== proof.entry.digest) throw new Error("the payload does not have its digest");
    steps.push(`The payload hashes to its digest ${digest.slice(0, 16)}…`);
  } else steps.push("The payload was erased; its digest stands in the entry.");
  const { payload: _payload, ...header } = proof.entry;
  const leaf = await sha256(Uint8Array.of(0), text.encode(canonical(header)));
  if (hex(leaf) !== proof.leaf) throw new Error("the entry does not hash to its leaf");
  steps.push(`The entry hashes to leaf ${proof.leaf.slice(0, 16)}…`);
  const root = await rootOf(leaf, proof.index, proof.size, proof.path.map(unhex));
  const [, size, signedRoot] = proof.checkpoint.split("\n");
  if (Number(size) !== proof.size || hex(unbase64(signedRoot)) !== hex(root)) throw new Error("the path does not lead to the signed root");
  steps.push(`${proof.path.length} hashes lead from it to the root of ${size} entries, ${hex(root).slice(0, 16)}…`);
  const key = await signedBy(proof.checkpoint, proof.keys);
  steps.push(`The checkpoint is signed by ${key}`);
  return steps;
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-prove]");
  if (!button) return;
  const place = document.getElementById("proved");
  place.textContent = "checking …";
  try {
    const steps = await check(button.dataset.prove, button.dataset.digest);
    const title = document.createElement("p");
    title.className = "good";
    title.textContent = "Proved in this browser:";
    const list = document.createElement("ol");
    list.append(...steps.map((step) => Object.assign(document.createElement("li"), { textContent: step })));
    place.replaceChildren(title, list);
  } catch (error) {
    const title = document.createElement("p");
    title.className = "bad";
    title.textContent = `Not proved: ${error.message}`;
    place.replaceChildren(title);
  }
});
