// SPDX-License-Identifier: Apache-2.0

// The command palette: a combobox over the actions the server wrote into the list, filtered here, and search results
// that htmx fetches into #palette-results while typing.
const dialog = () => document.getElementById("palette");
const field = () => document.getElementById("palette-field");
const shown = () => [...dialog().querySelectorAll("[role=option]:not([hidden])")];

const choose = (item) => {
  for (const other of dialog().querySelectorAll("[aria-selected=true]")) other.setAttribute("aria-selected", "false");
  field().removeAttribute("aria-activedescendant");
  if (!item) return;
  item.setAttribute("aria-selected", "true");
  field().setAttribute("aria-activedescendant", item.id);
  item.scrollIntoView({ block: "nearest" });
};

const filter = () => {
  const words = field().value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const item of dialog().querySelectorAll("#palette-actions [role=option]")) {
    const text = `${item.textContent} ${item.dataset.words ?? ""}`.toLowerCase();
    item.hidden = !words.every((word) => text.includes(word));
  }
  for (const group of dialog().querySelectorAll("[role=group]")) group.hidden = !group.querySelector("[role=option]:not([hidden])");
  const items = shown();
  dialog().querySelector(".palette-empty").hidden = items.length > 0;
  choose(items[0]);
};

app.openPalette = () => {
  if (!dialog() || dialog().open) return;
  app.modal()?.close();
  field().value = "";
  const results = document.getElementById("palette-results");
  if (results) results.replaceChildren();
  dialog().showModal();
  filter();
  field().focus();
};

app.on("click", "[data-open-palette]", () => app.openPalette());
app.on("input", "#palette-field", filter);
document.addEventListener("htmx:after:swap", () => { if (dialog()?.open) filter(); });

app.on("keydown", "#palette-field", (event) => {
  const items = shown();
  const at = items.findIndex((item) => item.getAttribute("aria-selected") === "true");
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    choose(items[(at + (event.key === "ArrowDown" ? 1 : -1) + items.length) % items.length]);
  } else if (event.key === "Enter") {
    event.preventDefault();
    items[at]?.click();
  }
});

app.on("pointermove", "#palette [role=option]", (event, item) => { if (item.getAttribute("aria-selected") !== "true") choose(item); });
app.on("click", "#palette [role=option]", (event, item) => {
  dialog().close();
  const opens = item.dataset.opens;
  if (opens) document.getElementById(opens)?.showModal();
  const presses = item.dataset.presses;
  if (presses) document.querySelector(presses)?.click();
});
