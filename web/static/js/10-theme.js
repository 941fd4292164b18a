// SPDX-License-Identifier: Apache-2.0

// The theme switch. The choice is kept in a cookie, so that the server writes data-theme into the page and nothing
// flashes on load. "system" means no attribute.
const mark = (theme) => {
  for (const button of document.querySelectorAll("[data-set-theme]")) button.setAttribute("aria-pressed", String(button.dataset.setTheme === theme));
};

app.on("click", "[data-set-theme]", (event, button) => {
  const theme = button.dataset.setTheme;
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  app.cookie("theme", theme);
  mark(theme);
});

// Single-letter shortcuts can be switched off (WCAG 2.1.4), remembered the same way.
app.on("change", "[data-set-keys]", (event, box) => {
  document.documentElement.dataset.keys = box.checked ? "on" : "off";
  app.cookie("keys", box.checked ? "on" : "off");
});
