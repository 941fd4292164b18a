// SPDX-License-Identifier: Apache-2.0

// The conflict form: picking a side fills the result; "edit" frees the result for typing. Keys: 1 to 9 pick a side for
// all fields that are still open, or for the field that has the focus; e edits; n goes to the next conflict.
const result = (row) => row.querySelector("[data-result]");

const sync = (row) => {
  const picked = row.querySelector("[data-pick]:checked");
  const field = result(row);
  if (!picked || !field) return;
  const editing = picked.dataset.pick === "edit";
  field.readOnly = !editing;
  if (!editing) field.value = picked.dataset.value ?? "";
  field.classList.toggle("value-none", !editing && picked.hasAttribute("data-none"));
};

app.on("change", "[data-compare] [data-pick]", (event, box) => {
  const row = box.closest("[data-field]");
  sync(row);
  if (box.dataset.pick === "edit") {
    result(row).focus();
    result(row).select();
  }
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || app.typing(event) || app.modal() || app.keysOff()) return;
  const form = document.querySelector("[data-compare]");
  if (!form) return;
  const focused = document.activeElement?.closest?.("[data-field]");
  const rows = focused && form.contains(focused) ? [focused] : [...form.querySelectorAll("[data-field]")];
  if (/^[1-9]$/.test(event.key)) {
    event.preventDefault();
    for (const row of rows) {
      const box = row.querySelector(`[data-pick="${event.key}"]`);
      if (!box) continue;
      box.checked = true;
      sync(row);
    }
    app.say(`Side ${event.key} picked for ${rows.length === 1 ? "one field" : `${rows.length} fields`}.`);
  }
  if (event.key === "e") {
    const box = rows[0]?.querySelector('[data-pick="edit"]');
    if (!box) return;
    event.preventDefault();
    box.checked = true;
    box.dispatchEvent(new Event("change", { bubbles: true }));
  }
});
