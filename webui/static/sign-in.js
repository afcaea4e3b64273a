// A link's code stands in the fragment, which is sent to nobody: it is taken out of the address, put into the form and posted.
const form = document.querySelector("[data-sign-in-link]");
const code = decodeURIComponent(location.hash.slice(1));
if (form && code) {
  history.replaceState(null, "", location.pathname + location.search);
  form.elements.code.value = code;
  form.requestSubmit();
}
