// Finding a setting while one types: what does not fit is hidden, and nothing that was typed elsewhere is lost.

const input = document.querySelector("[data-settings-filter]");

function filter() {
  const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const section of document.querySelectorAll(".setting-section")) {
    let shown = 0;
    for (const one of section.querySelectorAll("[data-setting]")) {
      one.hidden = !words.every((word) => one.dataset.setting.toLowerCase().includes(word));
      shown += one.hidden ? 0 : 1;
    }
    section.hidden = words.length > 0 && shown === 0;
  }
}

input?.addEventListener("input", filter);
input?.form.addEventListener("submit", (event) => event.preventDefault());
