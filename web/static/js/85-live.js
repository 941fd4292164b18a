// SPDX-License-Identifier: Apache-2.0

// Live updates. <body data-live="/live"> names a stream of server-sent events. Each event becomes a DOM event on the
// body, "live:<type>", and "live:<type>:<subject>" when its data is JSON with a subject, so that parts of a page ask
// for themselves again: hx-get="..." hx-trigger="live:run:svc_1 from:body throttle:1s" hx-swap="outerMorph".
//
// The stream is read with fetch and not with EventSource: so that the last seen id also goes along after a pause, that
// heartbeats count as life, and that an ended session is told apart from a lost line. It is closed while the page is
// hidden, because browsers allow few connections to one host, and catches up by Last-Event-ID when it is seen again.
const SILENCE = 45000; // three heartbeats of the server
const url = document.body.dataset.live;
const dot = () => document.getElementById("live");
const words = {
  live: "Live", connecting: "Connecting", paused: "Paused", offline: "Offline", ended: "Signed out",
};
let state = "connecting";
// What happened between the making of this page and the beginning of the stream is heard as well.
let lastID = document.body.dataset.liveSince ?? "";
let attempt = 0;
let retry = 1000;
let reading;
let timer;
let paused = sessionStorage.getItem("live-paused") === "1";

const show = (next) => {
  const before = state;
  state = next;
  const button = dot();
  if (button) {
    button.dataset.live = next === "ended" ? "offline" : next;
    button.querySelector(".live-text").textContent = words[next];
    button.setAttribute("aria-pressed", String(next === "paused"));
    button.setAttribute("aria-label", `Live updates: ${words[next].toLowerCase()}. ${next === "paused" ? "Resume" : "Pause"}`);
  }
  if (before !== next && (next === "offline" || next === "ended")) app.say("Live updates are interrupted.");
  if (before === "offline" && next === "live") app.say("Live updates are back.");
};

const dispatch = (type, data) => {
  let detail = data;
  try { detail = JSON.parse(data); } catch { /* plain text */ }
  document.body.dispatchEvent(new CustomEvent(`live:${type}`, { detail, bubbles: true }));
  if (detail?.subject) document.body.dispatchEvent(new CustomEvent(`live:${type}:${detail.subject}`, { detail, bubbles: true }));
};

// read takes the stream apart by the rules of the HTML standard, section 9.2.6.
const read = async (body, alive) => {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let event = { type: "", data: [] };
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    alive();
    const lines = (rest + value).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (event.data.length) dispatch(event.type || "message", event.data.join("\n"));
        event = { type: "", data: [] };
        continue;
      }
      const colon = line.indexOf(":");
      if (colon === 0) continue;
      const name = colon < 0 ? line : line.slice(0, colon);
      const text = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (name === "event") event.type = text;
      else if (name === "data") event.data.push(text);
      else if (name === "id" && !text.includes("\0")) lastID = text;
      else if (name === "retry" && /^\d+$/.test(text)) retry = Number(text);
    }
  }
};

const close = () => {
  clearTimeout(timer);
  reading?.abort();
  reading = undefined;
};

const open = async () => {
  close();
  if (paused || document.hidden) return;
  if (state !== "live") show(attempt > 1 ? "offline" : "connecting");
  const mine = (reading = new AbortController());
  let silent;
  const alive = () => {
    clearTimeout(silent);
    silent = setTimeout(() => mine.abort(), SILENCE);
  };
  try {
    alive();
    const answer = await fetch(url, {
      signal: mine.signal, cache: "no-store", headers: { Accept: "text/event-stream", ...(lastID && { "Last-Event-ID": lastID }) },
    });
    if (answer.status === 401 || answer.status === 403) {
      show("ended");
      document.body.dispatchEvent(new CustomEvent("live:ended", { bubbles: true }));
      return;
    }
    if (!answer.ok || !answer.body) throw new Error(String(answer.status));
    attempt = 0;
    show("live");
    await read(answer.body, alive);
  } catch { /* the line was lost or closed: below */ } finally {
    clearTimeout(silent);
  }
  if (reading !== mine || state === "ended") return;
  attempt++;
  if (attempt > 1) show("offline");
  const wait = Math.min(30000, retry * 2 ** Math.min(attempt - 1, 5));
  timer = setTimeout(open, wait * (0.7 + Math.random() * 0.6));
};

if (url) {
  app.on("click", "#live", () => {
    paused = !paused;
    sessionStorage.setItem("live-paused", paused ? "1" : "0");
    if (paused) {
      close();
      show("paused");
    } else {
      attempt = 0;
      show("connecting");
      open();
    }
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) close();
    else if (!paused) open();
  });
  addEventListener("online", () => { if (!paused && state !== "live") { attempt = 0; open(); } });
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => { if (event.persisted && !paused) open(); });
  if (paused) show("paused");
  else open();
}
