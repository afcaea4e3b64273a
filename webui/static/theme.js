// Runs before anything is painted: the theme and the folded menu are as they were left.
(() => {
  const root = document.documentElement;
  const read = (name) => {
    try {
      return localStorage.getItem(name);
    } catch {
      return null;
    }
  };
  const theme = read("oxios.theme");
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  if (read("oxios.sidebar") === "folded") root.dataset.sidebar = "folded";
})();
