// SPDX-License-Identifier: Apache-2.0

// What the other files share. The files of this folder are joined in name order into app.js, one module; every file
// but this one gets a block of its own. All listeners are delegated to the document, so that swapped-in parts work
// without being set up.
const app = {
  // on calls handler(event, element) for events of a type inside elements that match the selector.
  on(type, selector, handler, options) {
    document.addEventListener(type, (event) => {
      const element = event.target instanceof Element && event.target.closest(selector);
      if (element) handler(event, element);
    }, options);
  },

  // typing tells whether a key press belongs to a field, so that single letters are not taken as shortcuts.
  typing(event) {
    const at = event.composedPath()[0];
    return at instanceof HTMLElement && (at.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(at.tagName)) &&
      !/^(checkbox|radio|button|submit)$/.test(at.type ?? "");
  },

  modal: () => document.querySelector("dialog:modal"),

  keysOff: () => document.documentElement.dataset.keys === "off",

  // say speaks through the polite live region, at most once in ten seconds; of several the last is spoken.
  say(text) {
    const place = document.getElementById("announce");
    if (!place) return;
    app.saying = text;
    if (app.sayTimer) return;
    const wait = Math.max(0, 10000 - (performance.now() - (app.saidAt ?? -10000)));
    app.sayTimer = setTimeout(() => {
      app.sayTimer = undefined;
      app.saidAt = performance.now();
      place.textContent = app.saying;
    }, wait);
  },

  cookie(name, value) {
    document.cookie = `${name}=${value}; Path=/; Max-Age=31536000; SameSite=Lax${location.protocol === "https:" ? "; Secure" : ""}`;
  },
};
