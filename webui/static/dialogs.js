// Dialogs: opened and closed by what names them, and "are you sure" in one of ours.

const confirm = document.getElementById("confirm");

/** Ask; resolves to whether the person said yes. */
export function sure(question, { act = "Go on", kind = "" } = {}) {
  confirm.querySelector("#confirm-title").textContent = question;
  const yes = confirm.querySelector("[data-yes]");
  yes.textContent = act;
  yes.classList.toggle("button-danger", kind === "danger");
  yes.classList.toggle("button-primary", kind !== "danger");
  confirm.returnValue = "no";
  confirm.showModal();
  (kind === "danger" ? confirm.querySelector("[data-no]") : yes).focus();
  return new Promise((resolve) => {
    confirm.addEventListener("close", () => resolve(confirm.returnValue === "yes"), { once: true });
  });
}

const looks = ({ confirmAct, confirmKind }) => ({ act: confirmAct, kind: confirmKind });

document.body.addEventListener("htmx:confirm", async (event) => {
  if (!event.detail.question) return;
  event.preventDefault();
  const asker = event.detail.elt;
  if (await sure(event.detail.question, looks(asker.dataset))) event.detail.issueRequest(true);
});

const agreed = new WeakSet();

document.addEventListener("submit", async (event) => {
  const form = event.target;
  const asker = event.submitter?.dataset.confirm ? event.submitter : form;
  if (!asker.dataset?.confirm || agreed.delete(form)) return;
  event.preventDefault();
  event.stopPropagation();
  if (!(await sure(asker.dataset.confirm, looks(asker.dataset)))) return;
  agreed.add(form);
  form.requestSubmit(event.submitter);
}, true);

document.addEventListener("click", (event) => {
  const opener = event.target.closest?.("[data-open]");
  if (opener) document.getElementById(opener.dataset.open)?.showModal();
  const closer = event.target.closest?.("[data-close]");
  closer?.closest("dialog")?.close();
  // A click beside an open dialog lands on the dialog itself, outside of its box.
  if (event.target instanceof HTMLDialogElement && event.target.id !== "confirm") {
    const box = event.target.getBoundingClientRect();
    const within = event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
    if (!within) event.target.close();
  }
});
