// SPDX-License-Identifier: Apache-2.0

// When the session has ended, a page that only shows something goes to the sign-in page and comes back from there. A page
// on which something was typed stays: its next act says that a sign-in is needed.
const start = new Map();
document.addEventListener("focusin", (event) => {
  const field = event.target;
  if (field instanceof HTMLElement && /^(INPUT|TEXTAREA|SELECT)$/.test(field.tagName) && !start.has(field)) start.set(field, field.value);
});
const typed = () => [...start].some(([field, value]) => field.isConnected && field.type !== "search" && field.value !== value);

document.body?.addEventListener("live:ended", () => {
  if (typed()) return;
  location.assign(`/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`);
});
