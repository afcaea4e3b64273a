// A link's code stands in the fragment, which is sent to nobody: it is taken out of the address, put into the form and posted.
const form = document.querySelector("[data-sign-in-link]");

function use() {
  const code = decodeURIComponent(location.hash.slice(1));
  if (!form || !code) return;
  history.replaceState(null, "", location.pathname + location.search);
  form.elements.code.value = code;
  form.requestSubmit();
}

use();
// A link that is opened where this page stands already loads nothing.
window.addEventListener("hashchange", use);
