// SPDX-License-Identifier: Apache-2.0

// The editor's looks, all through the custom properties of the page (css/tokens.css), so that light and dark follow
// the page without a script.
import { EditorView } from "@codemirror/view";
import { HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { tags as t } from "@lezer/highlight";

const chrome = EditorView.theme({
  "&": { color: "var(--text)", backgroundColor: "var(--surface)", fontSize: "var(--t-md)", height: "100%" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--font-mono)", lineHeight: "1.65", overflow: "auto" },
  ".cm-content": { padding: "10px 0", caretColor: "var(--accent-text)" },
  ".cm-line": { padding: "0 12px 0 8px" },
  ".cm-cursor, .cm-dropCursor": { borderLeftColor: "var(--accent-text)", borderLeftWidth: "2px" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground, .cm-content ::selection":
    { backgroundColor: "var(--accent-select)" },
  ".cm-activeLine": { backgroundColor: "var(--line-active)" },
  ".cm-gutters": { backgroundColor: "var(--surface)", color: "var(--text-3)", border: "none", paddingLeft: "6px" },
  ".cm-activeLineGutter": { backgroundColor: "transparent", color: "var(--text)" },
  ".cm-foldGutter .cm-gutterElement": { color: "var(--text-3)", cursor: "pointer" },
  ".cm-foldPlaceholder": { backgroundColor: "var(--sunken)", border: "1px solid var(--line)", color: "var(--text-2)", padding: "0 6px", margin: "0 2px" },
  ".cm-matchingBracket, &.cm-focused .cm-matchingBracket": { backgroundColor: "var(--accent-soft)", outline: "1px solid var(--accent-line)" },
  ".cm-nonmatchingBracket, &.cm-focused .cm-nonmatchingBracket": { backgroundColor: "var(--bad-soft)" },
  ".cm-placeholder": { color: "var(--text-3)" },
  ".cm-searchMatch": { backgroundColor: "var(--warn-soft)", outline: "1px solid var(--warn-line)" },
  ".cm-searchMatch-selected": { backgroundColor: "var(--accent-select)" },
  ".cm-panels": { backgroundColor: "var(--sunken)", color: "var(--text)", borderColor: "var(--line)" },
  ".cm-panels-bottom": { borderTop: "1px solid var(--line)" },
  ".cm-panel.cm-search": { padding: "8px 32px 8px 10px", fontFamily: "var(--font-sans)" },
  ".cm-panel.cm-search [name=close]": { color: "var(--text-2)", top: "6px", right: "6px", width: "24px", height: "24px", cursor: "pointer" },
  ".cm-textfield": { backgroundColor: "var(--surface)", color: "var(--text)", border: "1px solid var(--line-strong)", borderRadius: "6px", padding: "3px 8px", fontSize: "var(--t-sm)" },
  ".cm-button": { backgroundImage: "none", backgroundColor: "var(--surface)", color: "var(--text)", border: "1px solid var(--line-strong)", borderRadius: "6px", padding: "3px 10px", fontSize: "var(--t-sm)" },
  ".cm-tooltip": { backgroundColor: "var(--raised)", color: "var(--text)", border: "1px solid var(--line-strong)", borderRadius: "8px", boxShadow: "var(--shadow-2)", overflow: "hidden", fontFamily: "var(--font-sans)" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul": { fontFamily: "var(--font-mono)", fontSize: "var(--t-sm)", maxHeight: "16em", padding: "4px" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li": { padding: "4px 8px", borderRadius: "5px" },
  ".cm-tooltip-autocomplete ul li[aria-selected]": { backgroundColor: "var(--accent-soft)", color: "var(--text)" },
  ".cm-completionDetail": { color: "var(--text-2)", fontStyle: "normal", fontFamily: "var(--font-sans)", marginLeft: "10px" },
  ".cm-completionMatchedText": { textDecoration: "none", fontWeight: "700", color: "var(--accent-text)" },
  ".cm-completionInfo": { padding: "8px 10px", maxWidth: "320px", fontSize: "var(--t-sm)", lineHeight: "1.5" },
  ".cm-completionIcon": { display: "none" },
  ".cm-diagnostic": { padding: "8px 12px", borderLeft: "3px solid var(--bad)", fontSize: "var(--t-sm)", lineHeight: "1.5", maxWidth: "420px" },
  ".cm-diagnostic-error": { borderLeftColor: "var(--bad)" },
  ".cm-diagnostic-warning": { borderLeftColor: "var(--warn)" },
  ".cm-diagnostic-info, .cm-diagnostic-hint": { borderLeftColor: "var(--info)" },
  ".cm-diagnostic .remedy": { display: "block", color: "var(--text-2)", marginTop: "2px" },
  ".cm-lintRange-error": { backgroundImage: "none", textDecoration: "underline wavy var(--bad) 1px", textUnderlineOffset: "3px" },
  ".cm-lintRange-warning": { backgroundImage: "none", textDecoration: "underline wavy var(--warn) 1px", textUnderlineOffset: "3px" },
  ".cm-lintRange-info, .cm-lintRange-hint": { backgroundImage: "none", textDecoration: "underline dotted var(--info) 1px", textUnderlineOffset: "3px" },
  ".cm-gutter-lint": { width: "12px" },
  ".cm-gutter-lint .cm-gutterElement": { padding: "0.35em 0 0" },
  ".cm-lint-marker": { width: "8px", height: "8px", borderRadius: "50%", margin: "3px auto 0" },
  ".cm-lint-marker-error": { content: "none", backgroundColor: "var(--bad)" },
  ".cm-lint-marker-warning": { content: "none", backgroundColor: "var(--warn)", borderRadius: "2px" },
  ".cm-lint-marker-info": { content: "none", backgroundColor: "var(--info)" },
  // The merge view: green and red always come with a mark in the gutter, never colour alone.
  ".cm-mergeView &": { height: "auto" },
  "&.cm-merge-a .cm-changedLine, .cm-deletedChunk": { backgroundColor: "var(--bad-soft)" },
  "&.cm-merge-b .cm-changedLine, .cm-inlineChangedLine, .cm-insertedLine": { backgroundColor: "var(--ok-soft)" },
  "&.cm-merge-a .cm-changedText, .cm-deletedChunk .cm-deletedText": { background: "none", backgroundColor: "var(--bad-mark)", borderRadius: "2px" },
  "&.cm-merge-b .cm-changedText": { background: "none", backgroundColor: "var(--ok-mark)", borderRadius: "2px" },
  ".cm-changeGutter": { width: "3px", paddingLeft: "0" },
  "&.cm-merge-a .cm-changedLineGutter, .cm-deletedLineGutter": { background: "var(--bad)" },
  "&.cm-merge-b .cm-changedLineGutter": { background: "var(--ok)" },
  ".cm-collapsedLines": { background: "var(--sunken)", color: "var(--text-2)", padding: "4px 12px", fontFamily: "var(--font-sans)", fontSize: "var(--t-sm)", borderBlock: "1px solid var(--line)" },
  ".cm-collapsedLines:before, .cm-collapsedLines:after": { content: '"\\22ee"', marginInline: "6px" },
  "ins, del": { textDecoration: "none" },
});

const marks = HighlightStyle.define([
  { tag: [t.propertyName, t.definition(t.propertyName)], color: "var(--code-key)" },
  { tag: [t.string, t.special(t.string), t.content], color: "var(--code-string)" },
  { tag: [t.number, t.bool, t.null, t.keyword], color: "var(--code-number)" },
  { tag: [t.comment, t.lineComment], color: "var(--code-comment)", fontStyle: "italic" },
  { tag: [t.punctuation, t.separator, t.squareBracket, t.brace, t.meta], color: "var(--text-3)" },
  { tag: [t.typeName, t.labelName], color: "var(--code-tag)" },
]);

export const looks = [chrome, syntaxHighlighting(marks)];
