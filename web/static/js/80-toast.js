// SPDX-License-Identifier: Apache-2.0

// Toasts: small notes about what has just been done. They never carry the only record of an error: a warning or an
// error stays until it is closed, and the page shows it too. The server sends one with the header
// HX-Trigger: {"toast": {"text": "...", "tone": "ok", "undo": "/address"}}.
app.toast = (text, tone = "ok", undo) => {
  const place = document.getElementById("toasts");
  const made = document.getElementById("toast")?.content.firstElementChild.cloneNode(true);
  if (!place || !made) return;
  made.dataset.tone = tone;
  made.querySelector("[data-toast-text]").textContent = text;
  for (const icon of made.querySelectorAll("[data-toast-icon]")) icon.hidden = icon.dataset.toastIcon !== (tone === "ok" ? "ok" : "other");
  const back = made.querySelector("[data-toast-undo]");
  if (undo) {
    back.setAttribute("hx-post", undo);
    back.hidden = false;
  } else {
    back.remove();
  }
  place.append(made);
  if (undo) window.htmx?.process(made);
  if (tone === "ok" || tone === "info") {
    let timer;
    const leave = () => { timer = setTimeout(() => made.remove(), undo ? 12000 : 6000); };
    made.addEventListener("pointerenter", () => clearTimeout(timer));
    made.addEventListener("pointerleave", leave);
    made.addEventListener("focusin", () => clearTimeout(timer));
    made.addEventListener("focusout", leave);
    leave();
  }
  while (place.children.length > 4) place.firstElementChild.remove();
};

document.addEventListener("toast", (event) => {
  const { text, tone, undo } = event.detail ?? {};
  if (text) app.toast(text, tone, undo);
});

app.on("click", "[data-dismiss]", (event, button) => button.closest("[data-dismissable]")?.remove());
app.on("click", "[data-toast-undo]", (event, button) => setTimeout(() => button.closest(".toast")?.remove()));

// A refusal that is not swapped in, see htmxConfig in ui/shell.go. Parts that refresh themselves stay as they are and
// keep quiet; the dot of the live stream tells about a lost line.
document.addEventListener("htmx:response:error", (event) => {
  const { response, sourceEvent } = event.detail.ctx;
  if ([409, 412, 422].includes(response.status) || sourceEvent?.type?.startsWith("live:") || response.headers?.get("HX-Trigger")) return;
  const text = {
    401: "Your session has ended. Sign in again; nothing was changed.",
    403: "Your role does not allow this. Nothing was changed.",
    404: "This no longer exists. Reload the page.",
    429: "Too many requests. Wait a moment and try again.",
  }[response.status] ?? `The server could not do this (${response.status}). Nothing was changed.`;
  app.toast(text, "bad");
});

// A request that did not reach the server at all leaves the page as it is; say so.
document.addEventListener("htmx:error", (event) => {
  if (event.detail?.ctx?.response) return;
  if (event.detail?.error?.name === "AbortError") return;
  app.toast("The server did not answer. Nothing was changed; try again.", "bad");
});
