// Acts of the chat page: a plain request with the form's token; a refusal is told as a message.

export function token() {
  return document.querySelector('meta[name="csrf"]')?.content ?? "";
}

export async function send(path, fields) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "X-CSRF-Token": token(), Accept: "application/json" },
    body: fields instanceof FormData ? fields : new URLSearchParams(fields),
  });
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({ title: answer.statusText }));
    throw Object.assign(new Error(problem.title), { problem, status: answer.status });
  }
  return answer;
}

export function tell(error) {
  document.dispatchEvent(new CustomEvent("oxios:problem", { detail: error.problem ?? { title: error.message } }));
}
