// SPDX-License-Identifier: Apache-2.0

// Menus are popovers; the browser opens, closes and focuses them. Here they are placed beside their button and get
// arrow keys.
const place = (menu, button) => {
  const at = button.getBoundingClientRect();
  const box = menu.getBoundingClientRect();
  const gap = 4;
  const below = at.bottom + gap + box.height <= innerHeight || at.top < box.height + gap;
  menu.style.top = `${Math.round(below ? at.bottom + gap : at.top - gap - box.height)}px`;
  const start = menu.dataset.align === "end" ? at.right - box.width : at.left;
  menu.style.left = `${Math.round(Math.max(8, Math.min(start, innerWidth - box.width - 8)))}px`;
};

document.addEventListener("toggle", (event) => {
  const menu = event.target;
  if (!(menu instanceof HTMLElement) || !menu.matches(".menu[popover]")) return;
  const button = document.querySelector(`[popovertarget="${CSS.escape(menu.id)}"]`);
  if (event.newState === "open" && button) place(menu, button);
}, true);

// A menu stays beside its button while the page scrolls, and goes when the button does.
addEventListener("scroll", () => {
  for (const menu of document.querySelectorAll(".menu:popover-open")) {
    const button = document.querySelector(`[popovertarget="${CSS.escape(menu.id)}"]`);
    const at = button?.getBoundingClientRect();
    if (at && at.bottom > 0 && at.top < innerHeight) place(menu, button);
    else menu.hidePopover();
  }
}, { passive: true, capture: true });

app.on("keydown", ".menu", (event, menu) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step && event.key !== "Home" && event.key !== "End") return;
  const items = [...menu.querySelectorAll(".menu-item:not(:disabled)")];
  const at = items.indexOf(document.activeElement);
  const next = event.key === "Home" ? 0 : event.key === "End" ? items.length - 1 : (at + step + items.length) % items.length;
  items[next]?.focus();
  event.preventDefault();
});

app.on("keydown", "[popovertarget]", (event, button) => {
  const menu = document.getElementById(button.getAttribute("popovertarget"));
  if (event.key !== "ArrowDown" || !menu?.matches(".menu")) return;
  event.preventDefault();
  menu.showPopover();
  menu.querySelector(".menu-item")?.focus();
});

app.on("click", ".menu .menu-item:not([data-stay])", (event, item) => item.closest(".menu").hidePopover());

// Browsers without invoker commands still open dialogs.
if (!("commandForElement" in HTMLButtonElement.prototype)) {
  app.on("click", "button[commandfor]", (event, button) => {
    const dialog = document.getElementById(button.getAttribute("commandfor"));
    if (button.getAttribute("command") === "show-modal") dialog?.showModal();
    if (button.getAttribute("command") === "close") dialog?.close();
  });
}

// A click on the backdrop closes a dialog that asks for nothing.
app.on("click", "dialog[data-light]", (event, dialog) => {
  if (event.target === dialog) dialog.close();
});
