// SPDX-License-Identifier: Apache-2.0

// Keyboard: g and a letter jumps, ? opens the list, / goes to the filter, Ctrl+K the palette.
let jump = 0;

document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === "k") {
    event.preventDefault();
    app.openPalette?.();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || app.typing(event) || app.modal() || app.keysOff()) return;
  const now = performance.now();
  if (jump && now - jump < 1500) {
    jump = 0;
    const link = document.querySelector(`.rail a[data-jump="${CSS.escape(event.key)}"]`);
    if (link) {
      event.preventDefault();
      link.click();
    }
    return;
  }
  jump = 0;
  if (event.key === "g") {
    jump = now;
    return;
  }
  if (event.key === "?") {
    event.preventDefault();
    document.getElementById("keys")?.showModal();
    return;
  }
  if (event.key === "/") {
    const field = document.querySelector("[data-filter-search]");
    if (field) {
      event.preventDefault();
      field.focus();
      field.select();
    }
    return;
  }
  // Any button or link can carry a letter of its own: <button data-key="e">.
  const own = document.querySelector(`main [data-key="${CSS.escape(event.key)}"]:not(:disabled)`);
  if (own) {
    event.preventDefault();
    own.click();
  }
});
