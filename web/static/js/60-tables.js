// SPDX-License-Identifier: Apache-2.0

// Lists by keyboard: j and k move, Enter opens, x selects. Shift-click selects a range. The bulk bar shows how many
// rows are selected and can widen the choice to all that match the filter.
const tables = () => [...document.querySelectorAll("[data-list]")].filter((list) => list.checkVisibility());
const rows = (list) => [...list.querySelectorAll("[data-row]")];
let current;

const list = () => current?.isConnected ? current.closest("[data-list]") : tables()[0];

const go = (row) => {
  if (!row) return;
  current?.removeAttribute("data-current");
  current = row;
  row.setAttribute("data-current", "");
  (row.querySelector(".row-link, a, button") ?? row).focus({ focusVisible: true });
  row.scrollIntoView({ block: "nearest" });
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || app.typing(event) || app.modal() || app.keysOff()) return;
  if (event.key !== "j" && event.key !== "k" && event.key !== "x") return;
  const at = list();
  if (!at) return;
  const all = rows(at);
  const focused = document.activeElement.closest?.("[data-row]");
  const index = all.indexOf(focused ?? current);
  if (event.key === "x") {
    const box = all[index]?.querySelector("[data-select]");
    if (!box) return;
    event.preventDefault();
    box.click();
    return;
  }
  event.preventDefault();
  go(all[Math.min(all.length - 1, Math.max(0, index + (event.key === "j" ? 1 : -1)))]);
});

document.addEventListener("focusin", (event) => {
  const row = event.target instanceof Element && event.target.closest("[data-row]");
  if (!row || row === current) return;
  current?.removeAttribute("data-current");
  current = row;
  row.setAttribute("data-current", "");
});

let last;
const count = (holder) => {
  const boxes = [...holder.querySelectorAll("[data-select]")];
  const chosen = boxes.filter((box) => box.checked);
  for (const box of boxes) box.closest("[data-row]")?.toggleAttribute("data-selected", box.checked);
  const all = holder.querySelector("[data-select-all]");
  if (all) {
    all.checked = boxes.length > 0 && chosen.length === boxes.length;
    all.indeterminate = chosen.length > 0 && chosen.length < boxes.length;
  }
  const bar = holder.querySelector("[data-bulk]");
  if (!bar) return;
  bar.hidden = chosen.length === 0;
  const everything = bar.querySelector("[data-everything]");
  const full = chosen.length === boxes.length && bar.dataset.total && Number(bar.dataset.total) > boxes.length;
  if (!full && everything) everything.value = "";
  const whole = everything?.value === "1";
  bar.querySelector("[data-bulk-count]").textContent = whole ? `All ${Number(bar.dataset.total).toLocaleString("en-US")}` : String(chosen.length);
  const widen = bar.querySelector("[data-widen]");
  if (widen) widen.hidden = !full || whole;
};

app.on("click", "[data-select]", (event, box) => {
  const holder = box.closest("[data-list]");
  const boxes = [...holder.querySelectorAll("[data-select]")];
  if (event.shiftKey && last && boxes.includes(last)) {
    const [from, to] = [boxes.indexOf(last), boxes.indexOf(box)].sort((a, b) => a - b);
    for (const between of boxes.slice(from, to + 1)) between.checked = box.checked;
  }
  last = box;
  count(holder);
});

app.on("click", "[data-select-all]", (event, box) => {
  const holder = box.closest("[data-list]");
  for (const other of holder.querySelectorAll("[data-select]")) other.checked = box.checked;
  count(holder);
});

app.on("click", "[data-widen]", (event, button) => {
  button.closest("[data-bulk]").querySelector("[data-everything]").value = "1";
  count(button.closest("[data-list]"));
});

app.on("click", "[data-unselect]", (event, button) => {
  const holder = button.closest("[data-list]");
  for (const box of holder.querySelectorAll("[data-select]")) box.checked = false;
  count(holder);
});

// Selects of a filter bar act at once; where htmx fetches the list it hears them itself.
app.on("change", "[data-filters]:not([hx-get]) select", (event, select) => select.form.requestSubmit());
