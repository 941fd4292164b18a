// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"strings"

	"github.com/syncline-dev/syncline/internal/record"
)

// Rich text that is a tree of nodes is plain text for everybody else: a line for each paragraph, heading or list item. What was
// plain text comes back as it was.
//
// Source of the shape: Atlassian Document Format, version 1.

// documentText reads a tree.
func documentText(v any) string {
	var lines []string
	blocks(v, "", &lines)
	return strings.Join(lines, "\n")
}

func blocks(v any, indent string, lines *[]string) {
	content, _ := dig(v, "content").([]any)
	for i, n := range content {
		switch kind := digText(n, "type"); kind {
		case "bulletList", "orderedList":
			items, _ := dig(n, "content").([]any)
			for j, item := range items {
				mark := "- "
				if kind == "orderedList" {
					mark = record.Text(record.Int(int64(j+1))) + ". "
				}
				at := len(*lines)
				blocks(item, indent+"  ", lines)
				if at < len(*lines) {
					(*lines)[at] = indent + mark + strings.TrimPrefix((*lines)[at], indent+"  ")
				}
			}
		case "table", "tableRow", "blockquote", "panel", "expand", "nestedExpand", "layoutSection", "layoutColumn", "taskList", "decisionList", "tableCell", "tableHeader", "listItem":
			blocks(n, indent, lines)
		case "rule":
			*lines = append(*lines, indent+"---")
		case "paragraph", "heading", "codeBlock", "taskItem", "decisionItem":
			for _, line := range strings.Split(inline(n), "\n") {
				*lines = append(*lines, indent+line)
			}
		default:
			if s := inline(map[string]any{"content": content[i : i+1]}); s != "" {
				*lines = append(*lines, indent+s)
			}
		}
	}
}

func inline(v any) string {
	var b strings.Builder
	content, _ := dig(v, "content").([]any)
	for _, n := range content {
		switch digText(n, "type") {
		case "text":
			b.WriteString(digText(n, "text"))
		case "hardBreak":
			b.WriteByte('\n')
		case "mention", "status", "date":
			if s := digText(n, "attrs.text"); s != "" {
				b.WriteString(s)
			} else {
				b.WriteString(digText(n, "attrs.timestamp"))
			}
		case "emoji":
			if s := digText(n, "attrs.text"); s != "" {
				b.WriteString(s)
			} else {
				b.WriteString(digText(n, "attrs.shortName"))
			}
		case "inlineCard", "blockCard", "embedCard":
			b.WriteString(digText(n, "attrs.url"))
		default:
			b.WriteString(inline(n))
		}
	}
	return b.String()
}

// document writes a text as a tree: a paragraph for each line.
func document(text string) any {
	content := []any{}
	for _, line := range strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n") {
		p := map[string]any{"type": "paragraph"}
		if line != "" {
			p["content"] = []any{map[string]any{"type": "text", "text": line}}
		}
		content = append(content, p)
	}
	return map[string]any{"version": record.Int(1), "type": "doc", "content": content}
}
