// SPDX-License-Identifier: Apache-2.0

// Tabs that switch panels in place (role=tablist). Tabs that are pages are plain links and need none of this.
const select = (tab, focus) => {
  const list = tab.closest("[role=tablist]");
  for (const other of list.querySelectorAll("[role=tab]")) {
    const on = other === tab;
    other.setAttribute("aria-selected", String(on));
    other.tabIndex = on ? 0 : -1;
    const panel = document.getElementById(other.getAttribute("aria-controls"));
    if (panel) panel.hidden = !on;
  }
  if (focus) tab.focus();
};

app.on("click", "[role=tab]", (event, tab) => select(tab));
app.on("keydown", "[role=tab]", (event, tab) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  const tabs = [...tab.closest("[role=tablist]").querySelectorAll("[role=tab]")];
  select(tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length], true);
  event.preventDefault();
});
