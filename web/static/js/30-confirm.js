// SPDX-License-Identifier: Apache-2.0

// Confirming by typing a name: the deciding button stays off until the text is right.
app.on("input", "[data-confirm-text]", (event, field) => {
  const button = field.form?.querySelector("[data-confirm-button]");
  if (button) button.disabled = field.value.trim() !== field.dataset.confirmText;
});

// hx-confirm asks in our own dialog instead of the browser's.
document.addEventListener("htmx:confirm", (event) => {
  const question = event.detail.ctx?.confirm ?? event.detail.question;
  const dialog = document.getElementById("confirm");
  if (!question || !dialog) return;
  event.preventDefault();
  dialog.querySelector("[data-confirm-question]").textContent = question;
  dialog.returnValue = "";
  dialog.showModal();
  dialog.addEventListener("close", () => {
    if (dialog.returnValue === "yes") event.detail.issueRequest();
    else event.detail.dropRequest?.();
  }, { once: true });
});
