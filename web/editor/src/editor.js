// SPDX-License-Identifier: Apache-2.0

// Two custom elements around CodeMirror. Each lives in a shadow root, so that the styles CodeMirror makes go into
// adoptedStyleSheets and the page's content security policy can forbid inline styles.
//
// <yaml-editor label lint complete problems height readonly><textarea name></textarea></yaml-editor>
//   The textarea keeps the text: it is what a form posts and what stands there without scripts. `lint` is an address
//   that takes the text by POST and answers a JSON list of {line, column, message, remedy, severity}; `complete`
//   takes {document, line, column} as JSON and answers a list of {label, detail, info, apply, type}. `problems` is
//   the id of an element that shows the problems as a list.
//   Events: "yaml-change" after an edit, "yaml-problems" with {problems} after a check.
//
// <yaml-diff label before-label after-label [follow]><textarea data-side="before"><textarea data-side="after"></yaml-diff>
//   `follow` is the id of a yaml-editor whose text is the after side.
import { EditorState } from "@codemirror/state";
import {
  EditorView, keymap, lineNumbers, highlightActiveLine, highlightActiveLineGutter, highlightSpecialChars, drawSelection, placeholder,
} from "@codemirror/view";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { bracketMatching, foldGutter, foldKeymap, indentOnInput, indentUnit } from "@codemirror/language";
import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { linter, lintGutter, lintKeymap } from "@codemirror/lint";
import { search, searchKeymap } from "@codemirror/search";
import { MergeView, unifiedMergeView } from "@codemirror/merge";
import { yaml } from "@codemirror/lang-yaml";
import { looks } from "./theme.js";

const frame = new CSSStyleSheet();
frame.replaceSync(`
  :host { display: block; min-height: 0; height: 100%; }
  .frame { height: 100%; }
  .names { display: grid; grid-template-columns: 1fr 1fr; font: 500 var(--t-sm) var(--font-sans); color: var(--text-2); background: var(--sunken); border-bottom: 1px solid var(--line); }
  .names.one { grid-template-columns: 1fr; }
  .names span { padding: 8px 12px; }
  .names span + span { border-left: 1px solid var(--line); }
  .names.one span + span { border-left: 0; padding-top: 0; }
  .names b { font-weight: 600; }
  .cm-mergeView { height: auto; }
  .cm-mergeViewEditor + .cm-mergeViewEditor { border-left: 1px solid var(--line); }
  @media (prefers-reduced-motion: reduce) { .cm-cursorLayer { animation: none !important; } }
`);

const shadowOf = (host) => {
  const root = host.shadowRoot ?? host.attachShadow({ mode: "open" });
  root.adoptedStyleSheets = [frame];
  root.replaceChildren();
  return root;
};

const reading = () => [
  lineNumbers(), foldGutter({ openText: "⌄", closedText: "›" }), highlightSpecialChars(), drawSelection(), bracketMatching(),
  yaml(), indentUnit.of("  "), EditorState.tabSize.of(2), looks,
];

const post = (url, body, type) =>
  fetch(url, { method: "POST", body, headers: { "Content-Type": type, Accept: "application/json" } }).then((answer) => {
    if (!answer.ok) throw new Error(`${answer.status}`);
    return answer.json();
  });

class YamlEditor extends HTMLElement {
  connectedCallback() {
    if (this.view) return;
    const field = this.querySelector("textarea");
    if (!field) return;
    this.field = field;
    field.hidden = true;
    this.root = shadowOf(this);
    const readOnly = this.hasAttribute("readonly");
    const label = this.getAttribute("label") || field.getAttribute("aria-label") || field.labels?.[0]?.textContent || "YAML";
    const lintURL = this.getAttribute("lint");
    const completeURL = this.getAttribute("complete");
    this.view = new EditorView({
      root: this.root,
      parent: this.root,
      state: EditorState.create({
        doc: field.value,
        extensions: [
          reading(),
          history(), indentOnInput(), closeBrackets(), search({ top: false }),
          highlightActiveLine(), highlightActiveLineGutter(),
          EditorState.readOnly.of(readOnly),
          EditorView.contentAttributes.of({ "aria-label": label, tabindex: "0", spellcheck: "false", autocapitalize: "off" }),
          placeholder(this.getAttribute("placeholder") ?? ""),
          lintURL && !readOnly ? [linter((view) => this.check(view, lintURL), { delay: 350 }), lintGutter()] : [],
          autocompletion({ override: completeURL ? [(at) => this.suggest(at, completeURL)] : [], icons: false }),
          // Tab is left alone so that the keyboard can leave the editor; Ctrl+] and Ctrl+[ indent.
          keymap.of([
            { key: "Mod-Enter", run: () => this.submit() },
            ...closeBracketsKeymap, ...defaultKeymap, ...searchKeymap, ...historyKeymap, ...foldKeymap, ...completionKeymap, ...lintKeymap,
          ]),
          EditorView.updateListener.of((update) => { if (update.docChanged) this.changed(); }),
        ],
      }),
    });
    field.labels?.forEach((l) => l.addEventListener("click", () => this.view.focus()));
    this.saved = field.value;
    this.leaving = (event) => { if (this.dirty) event.preventDefault(); };
    window.addEventListener("beforeunload", this.leaving);
    this.kept = () => { this.saved = this.value; };
    field.form?.addEventListener("submit", this.kept);
    document.dispatchEvent(new CustomEvent("yaml-ready", { detail: this }));
  }

  disconnectedCallback() {
    if (this.moving) return;
    window.removeEventListener("beforeunload", this.leaving);
    this.field?.form?.removeEventListener("submit", this.kept);
    this.view?.destroy();
    this.view = undefined;
  }

  get value() { return this.view ? this.view.state.doc.toString() : this.querySelector("textarea").value; }
  set value(text) { this.view.dispatch({ changes: { from: 0, to: this.view.state.doc.length, insert: text } }); }
  get dirty() { return Boolean(this.view) && this.value !== this.saved && !this.hasAttribute("readonly"); }
  focus() { this.view?.focus(); }

  changed() {
    this.field.value = this.value;
    this.toggleAttribute("dirty", this.dirty);
    this.dispatchEvent(new CustomEvent("yaml-change", { bubbles: true, detail: { dirty: this.dirty } }));
  }

  submit() {
    const form = this.field.form;
    if (!form) return false;
    form.requestSubmit(form.querySelector("[data-primary]") ?? undefined);
    return true;
  }

  // goto puts the cursor at a 1-based line and column and shows it.
  goto(line, column = 1) {
    const at = this.position(line, column);
    this.view.dispatch({ selection: { anchor: at }, effects: EditorView.scrollIntoView(at, { y: "center" }) });
    this.view.focus();
  }

  position(line, column) {
    const doc = this.view.state.doc;
    const found = doc.line(Math.min(Math.max(1, line || 1), doc.lines));
    return Math.min(found.from + Math.max(0, (column || 1) - 1), found.to);
  }

  async check(view, url) {
    let problems;
    try {
      problems = await post(url, view.state.doc.toString(), "application/yaml");
    } catch {
      this.report(null);
      return [];
    }
    this.report(problems);
    return problems.map((p) => {
      const from = this.position(p.line, p.column);
      const line = view.state.doc.lineAt(from);
      const word = /^[^\s:,\]}]+/.exec(line.text.slice(from - line.from));
      const to = word ? from + word[0].length : line.to;
      return {
        from, to: Math.max(to, from), severity: p.severity || "error", message: p.message,
        renderMessage: () => {
          const box = document.createElement("div");
          box.append(p.message);
          if (p.remedy) {
            const remedy = document.createElement("span");
            remedy.className = "remedy";
            remedy.textContent = p.remedy;
            box.append(remedy);
          }
          return box;
        },
      };
    });
  }

  // report fills the list outside the editor, so that problems are reachable without hovering. null means that the
  // check itself could not be done.
  report(problems) {
    this.dispatchEvent(new CustomEvent("yaml-problems", { bubbles: true, detail: { problems } }));
    const place = document.getElementById(this.getAttribute("problems") ?? "");
    if (!place) return;
    place.replaceChildren();
    const say = (text, state) => {
      const p = document.createElement("p");
      p.className = "problems-status";
      p.dataset.state = state;
      p.setAttribute("role", "status");
      p.textContent = text;
      place.append(p);
    };
    if (problems === null) return say("The document could not be checked just now. It is checked again on the next edit and before anything is applied.", "unknown");
    const errors = problems.filter((p) => (p.severity || "error") === "error").length;
    const other = problems.length - errors;
    if (!problems.length) return say("No problems found.", "ok");
    say([errors && `${errors} ${errors === 1 ? "error" : "errors"}`, other && `${other} ${other === 1 ? "notice" : "notices"}`].filter(Boolean).join(", "), errors ? "error" : "warning");
    const list = document.createElement("ol");
    list.className = "problems-list";
    for (const p of problems) {
      const item = document.createElement("li");
      item.dataset.severity = p.severity || "error";
      const go = document.createElement("button");
      go.type = "button";
      go.addEventListener("click", () => this.goto(p.line, p.column));
      const where = document.createElement("span");
      where.className = "problems-place";
      where.textContent = `${p.line}:${p.column}`;
      const text = document.createElement("span");
      text.className = "problems-text";
      const kind = document.createElement("b");
      kind.textContent = { error: "Error", warning: "Warning", info: "Notice", hint: "Hint" }[p.severity || "error"] + ". ";
      text.append(kind, p.message);
      if (p.remedy) {
        const remedy = document.createElement("span");
        remedy.className = "problems-remedy";
        remedy.textContent = p.remedy;
        text.append(remedy);
      }
      go.append(where, text);
      item.append(go);
      list.append(item);
    }
    place.append(list);
  }

  async suggest(at, url) {
    const word = at.matchBefore(/[\w.$-]*/);
    const line = at.state.doc.lineAt(at.pos);
    if (!at.explicit && word.from === word.to && !/[:\-[,]\s$/.test(line.text.slice(0, at.pos - line.from))) return null;
    try {
      const options = await post(url, JSON.stringify({ document: at.state.doc.toString(), line: line.number, column: at.pos - line.from + 1 }), "application/json");
      if (at.aborted || !options.length) return null;
      return {
        from: word.from, validFor: /^[\w.$-]*$/,
        options: options.map((o) => ({ label: o.label, detail: o.detail, info: o.info || undefined, apply: o.apply || undefined, type: o.type })),
      };
    } catch {
      return null;
    }
  }
}

class YamlDiff extends HTMLElement {
  connectedCallback() {
    if (this.root) return;
    this.root = shadowOf(this);
    for (const side of this.querySelectorAll("textarea")) side.hidden = true;
    this.watch = new ResizeObserver(() => {
      const wide = this.clientWidth >= 760;
      if (this.clientWidth && wide !== this.wide) { this.wide = wide; this.draw(); }
    });
    this.watch.observe(this);
    this.redraw = (event) => { if (event.target.id === this.getAttribute("follow")) this.draw(); };
    document.addEventListener("yaml-change", this.redraw);
    document.addEventListener("yaml-ready", this.onReady = () => { if (this.wide !== undefined) this.draw(); });
  }

  disconnectedCallback() {
    this.watch?.disconnect();
    document.removeEventListener("yaml-change", this.redraw);
    document.removeEventListener("yaml-ready", this.onReady);
    this.shown?.destroy();
    this.shown = this.root = undefined;
  }

  side(name) {
    const follow = name === "after" && document.getElementById(this.getAttribute("follow") ?? "");
    if (follow) return follow.value;
    return this.querySelector(`textarea[data-side="${name}"]`)?.value ?? "";
  }

  draw() {
    this.shown?.destroy();
    this.root.replaceChildren();
    const names = document.createElement("div");
    names.className = this.wide ? "names" : "names one";
    const labels = { before: this.getAttribute("before-label") ?? "Before", after: this.getAttribute("after-label") ?? "After" };
    for (const [side, sign] of [["before", "−"], ["after", "+"]]) {
      const span = document.createElement("span");
      const mark = document.createElement("b");
      mark.textContent = `${sign} `;
      span.append(mark, labels[side]);
      names.append(span);
    }
    this.root.append(names);
    const fixed = (label) => [
      reading(), EditorState.readOnly.of(true), EditorView.editable.of(false),
      EditorView.contentAttributes.of({ tabindex: "0", "aria-label": label, "aria-readonly": "true" }),
    ];
    const fold = { margin: 3, minSize: 4 };
    if (this.wide) {
      this.shown = new MergeView({
        parent: this.root, root: this.root, collapseUnchanged: fold, gutter: true,
        a: { doc: this.side("before"), extensions: fixed(labels.before) },
        b: { doc: this.side("after"), extensions: fixed(labels.after) },
      });
      return;
    }
    this.shown = new EditorView({
      parent: this.root, root: this.root, doc: this.side("after"),
      extensions: [fixed(`${labels.before} and ${labels.after}`), unifiedMergeView({ original: this.side("before"), mergeControls: false, collapseUnchanged: fold, gutter: true })],
    });
  }
}

customElements.define("yaml-editor", YamlEditor);
customElements.define("yaml-diff", YamlDiff);
