// SPDX-License-Identifier: Apache-2.0

// Copy buttons, and times that stay true while the page is open.
app.on("click", "[data-copy]", async (event, button) => {
  event.preventDefault();
  const source = button.dataset.copyFrom && document.getElementById(button.dataset.copyFrom);
  try {
    await navigator.clipboard.writeText(source ? source.textContent : button.dataset.copy);
  } catch {
    app.toast?.("The browser does not allow copying here. Select the text and copy it by hand.", "warn");
    return;
  }
  button.dataset.copied = "";
  const note = button.querySelector("[data-copy-note]");
  if (note) note.textContent = "Copied";
  setTimeout(() => {
    delete button.dataset.copied;
    if (note) note.textContent = "";
  }, 1800);
});

// The same steps as ui.Ago in Go.
const ago = (then, now) => {
  const seconds = Math.round((now - then) / 1000);
  const ahead = seconds < 0;
  const s = Math.abs(seconds);
  const text = s < 5 ? "now" : s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)} min` : s < 86400 ? `${Math.floor(s / 3600)} h` : s < 86400 * 30 ? `${Math.floor(s / 86400)} d` : "";
  if (!text || text === "now") return text;
  return ahead ? `in ${text}` : `${text} ago`;
};

// The server's clock counts, not the reader's: the difference is taken once, when the page arrives.
const skew = Date.parse(document.documentElement.dataset.now ?? "") - Date.now() || 0;
const refresh = () => {
  const now = Date.now() + skew;
  for (const time of document.querySelectorAll("time[data-ago]")) {
    const text = ago(Date.parse(time.dateTime), now);
    if (text && time.textContent !== text) time.textContent = text;
  }
};
if (!document.documentElement.hasAttribute("data-still")) setInterval(() => { if (!document.hidden) refresh(); }, 10000);
