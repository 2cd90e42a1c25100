// Sets the theme before the first paint. Runs as a small classic script in the head, so that nothing flashes.

const chosen = (() => {
  try {
    return localStorage.getItem("tidewire-lab-theme");
  } catch {
    return null;
  }
})();
const asked = new URLSearchParams(location.search).get("theme") ?? chosen;
if (asked === "light" || asked === "dark") document.documentElement.dataset["theme"] = asked;

export {};
