// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/syncline-dev/syncline/internal/fault"
)

// Bounds on what anybody may send.
const (
	maxSource  = 256 << 10
	maxTokens  = 40_000
	maxFields  = 5_000
	maxDepth   = 24
	maxAnchors = 50
)

// Parse reads a manifest. The fault manifest.invalid names each problem with line, column and remedy.
func Parse(source []byte) (m *Manifest, err error) { return parse(source, false) }

func parse(source []byte, own bool) (m *Manifest, err error) {
	m = &Manifest{}
	c, problems := decode(source, m, "the manifest", "Begin with `manifest: 1`.")
	if len(problems) > 0 {
		return nil, invalid(problems...)
	}
	m.complete()
	c.meaning(m)
	if own {
		c.own(m)
	}
	if len(c.problems) > 0 {
		return nil, invalid(c.sorted()...)
	}
	return m, nil
}

// Decode reads what is part of a connection's settings as manifests are read: into is a pointer to a structure with the same tags,
// or to a map of such, and what names it in the problems. Each problem has line, column and remedy.
func Decode(source []byte, into any, what string) []fault.Field {
	_, problems := decode(source, into, what, "Write names and values, one a line.")
	return problems
}

func decode(source []byte, into any, what, remedy string) (c *checker, problems []fault.Field) {
	// The parser is third-party code that reads what anybody sends; a panic in it is a document it cannot read.
	defer func() {
		if p := recover(); p != nil {
			problems = []fault.Field{{Line: 1, Column: 1, Code: "manifest.syntax", Message: upperFirst(what) + " cannot be read.", Remedy: "Simplify it; use plain YAML without tags."}}
		}
	}()
	if len(source) > maxSource {
		return nil, []fault.Field{{Line: 1, Column: 1, Code: "manifest.too_large", Message: upperFirst(what) + " is larger than 256 KiB.", Remedy: "Describe fewer objects, or discover fields instead of listing them."}}
	}
	tokens := lexer.Tokenize(string(source))
	if p := checkTokens(tokens); p != nil {
		return nil, []fault.Field{*p}
	}
	file, err := parser.Parse(tokens, 0)
	if err != nil {
		return nil, []fault.Field{syntaxProblem(err)}
	}
	if len(file.Docs) != 1 || file.Docs[0].Body == nil {
		return nil, []fault.Field{{Line: 1, Column: 1, Code: "manifest.syntax", Message: "The source does not hold one YAML document.", Remedy: remedy}}
	}
	c = &checker{file: file, what: what}
	c.shape(file.Docs[0].Body, reflect.TypeOf(into).Elem(), "")
	if len(c.problems) > 0 {
		return nil, c.sorted()
	}
	if err := yaml.NodeToValue(file.Docs[0].Body, into); err != nil {
		return nil, []fault.Field{syntaxProblem(err)}
	}
	return c, nil
}

func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func invalid(fields ...fault.Field) error {
	f := fields[0]
	return fault.New(fault.Invalid, "manifest.invalid", "The manifest cannot be used: line %d, column %d: %s", f.Line, f.Column, f.Message).At(fields...)
}

func checkTokens(tokens token.Tokens) *fault.Field {
	var fields, flow, anchors int
	for _, tk := range tokens {
		switch tk.Type {
		case token.MappingValueType:
			fields++
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow--
		case token.AnchorType, token.AliasType, token.TagType:
			anchors++
		}
		if fields > maxFields || flow > maxDepth || anchors > maxAnchors || len(tokens) > maxTokens {
			return &fault.Field{Line: tk.Position.Line, Column: max(tk.Position.Column, 1), Code: "manifest.too_large", Message: "The manifest is too large, too deep, or has too many anchors.",
				Remedy: "Write it flatter; no system needs 5,000 fields or 24 levels."}
		}
	}
	return nil
}

func syntaxProblem(err error) fault.Field {
	f := fault.Field{Line: 1, Column: 1, Code: "manifest.syntax", Message: "This is not YAML.", Remedy: "Check the indentation, quotes and colons here and on the line before. Texts with { or : need quotes."}
	var ye yaml.Error
	if errors.As(err, &ye) {
		f.Message = "This is not YAML: " + ye.GetMessage() + "."
		if tk := ye.GetToken(); tk != nil && tk.Position != nil {
			f.Line, f.Column = tk.Position.Line, max(tk.Position.Column, 1)
		}
	}
	return f
}

// checker collects problems with their places.
type checker struct {
	file     *ast.File
	what     string // what the whole is called
	objects  map[string]Object
	regional map[string]string // what {region.x} can name
	problems []fault.Field
}

func (c *checker) sorted() []fault.Field {
	sort.SliceStable(c.problems, func(i, j int) bool {
		a, b := c.problems[i], c.problems[j]
		return a.Line < b.Line || a.Line == b.Line && a.Column < b.Column
	})
	return c.problems[:min(len(c.problems), 50)]
}

func (c *checker) at(n ast.Node, pointer, code, message, remedy string) {
	f := fault.Field{Pointer: pointer, Code: code, Message: message, Remedy: remedy, Line: 1, Column: 1}
	if n != nil {
		if tk := n.GetToken(); tk != nil && tk.Position != nil {
			f.Line, f.Column = tk.Position.Line, max(tk.Position.Column, 1)
		}
	}
	c.problems = append(c.problems, f)
}

// shape compares a node with the type it is to become: unknown and missing names, wrong kinds, words that are not in a list.
func (c *checker) shape(n ast.Node, t reflect.Type, pointer string) {
	for {
		switch v := n.(type) {
		case *ast.AnchorNode:
			n = v.Value
			continue
		case *ast.TagNode:
			n = v.Value
			continue
		case *ast.AliasNode:
			return // checked where it is written out
		}
		break
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if _, null := n.(*ast.NullNode); null || n == nil {
		return
	}
	switch t.Kind() {
	case reflect.Struct:
		entries, ok := mapping(n)
		if !ok {
			c.at(n, pointer, "manifest.wrong_kind", fmt.Sprintf("%s must be a map of names and values.", c.called(pointer)), "Its names are: "+strings.Join(names(t), ", ")+".")
			return
		}
		seen := map[string]bool{}
		for _, e := range entries {
			name := e.Key.String()
			if s, ok := e.Key.(*ast.StringNode); ok {
				name = s.Value
			}
			f, known := fieldOf(t, name)
			if !known {
				c.at(e.Key, pointer+"/"+name, "manifest.unknown_name", fmt.Sprintf("There is no %s in %s.", name, c.called(pointer)), suggestion(name, names(t)))
				continue
			}
			if seen[name] {
				c.at(e.Key, pointer+"/"+name, "manifest.unknown_name", fmt.Sprintf("%s is there twice.", name), "Keep one.")
			}
			seen[name] = true
			if words := f.Tag.Get("enum"); words != "" {
				if s, ok := scalar(e.Value); ok && !slices.Contains(strings.Split(words, ","), s) {
					c.at(e.Value, pointer+"/"+name, "manifest.unknown_word", fmt.Sprintf("%s cannot be %q.", name, s), "It is one of: "+strings.ReplaceAll(words, ",", ", ")+".")
				}
			}
			c.shape(e.Value, f.Type, pointer+"/"+name)
		}
		for i := range t.NumField() {
			f := t.Field(i)
			if f.Tag.Get("must") != "" && !seen[f.Tag.Get("yaml")] {
				c.at(n, pointer, "manifest.missing", fmt.Sprintf("%s has no %s.", c.called(pointer), f.Tag.Get("yaml")), f.Tag.Get("doc"))
			}
		}
	case reflect.Map:
		entries, ok := mapping(n)
		if !ok {
			c.at(n, pointer, "manifest.wrong_kind", fmt.Sprintf("%s must be a map of names and values.", c.called(pointer)), "Indent `name: value` lines below it.")
			return
		}
		for _, e := range entries {
			c.shape(e.Value, t.Elem(), pointer+"/"+strings.Trim(e.Key.String(), `"'`))
		}
	case reflect.Slice:
		list, ok := n.(*ast.SequenceNode)
		if !ok {
			c.at(n, pointer, "manifest.wrong_kind", fmt.Sprintf("%s must be a list.", c.called(pointer)), "Begin its lines with a dash, or use [ ].")
			return
		}
		for i, v := range list.Values {
			c.shape(v, t.Elem(), fmt.Sprintf("%s/%d", pointer, i))
		}
	case reflect.Interface:
	case reflect.String:
		if _, ok := scalar(n); !ok {
			c.at(n, pointer, "manifest.wrong_kind", fmt.Sprintf("%s must be a text.", c.called(pointer)), "Put it in quotes when it has a colon or a brace.")
		}
	case reflect.Bool:
		if _, ok := n.(*ast.BoolNode); !ok {
			c.at(n, pointer, "manifest.wrong_kind", fmt.Sprintf("%s must be true or false.", c.called(pointer)), "Write true or false, without quotes.")
		}
	default: // numbers
		switch n.(type) {
		case *ast.IntegerNode, *ast.FloatNode:
		default:
			c.at(n, pointer, "manifest.wrong_kind", fmt.Sprintf("%s must be a number.", c.called(pointer)), "Write digits, without quotes.")
		}
	}
}

func mapping(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch v := n.(type) {
	case *ast.MappingNode:
		return v.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{v}, true
	}
	return nil, false
}

func scalar(n ast.Node) (string, bool) {
	switch v := n.(type) {
	case *ast.StringNode:
		return v.Value, true
	case *ast.LiteralNode:
		return v.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode:
		return v.String(), true
	}
	return "", false
}

func (c *checker) called(pointer string) string {
	if pointer == "" {
		return c.what
	}
	return strings.ReplaceAll(strings.TrimPrefix(pointer, "/"), "/", ".")
}

func fieldOf(t reflect.Type, name string) (reflect.StructField, bool) {
	for i := range t.NumField() {
		if f := t.Field(i); f.Tag.Get("yaml") == name {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

func names(t reflect.Type) []string {
	out := make([]string, t.NumField())
	for i := range t.NumField() {
		out[i] = t.Field(i).Tag.Get("yaml")
	}
	return out
}

// suggestion names what is nearest.
func suggestion(word string, words []string) string {
	best, least := "", 3
	for _, w := range words {
		if d := distance(strings.ToLower(word), strings.ToLower(w)); d < least {
			best, least = w, d
		}
	}
	if best != "" {
		return fmt.Sprintf("Did you mean %s?", best)
	}
	return "Its names are: " + strings.Join(words, ", ") + "."
}

func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		prev := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			prev, row[j] = row[j], min(row[j]+1, row[j-1]+1, prev+cost)
		}
	}
	return row[len(b)]
}

// node finds the node at a pointer, or the nearest above it.
func (c *checker) node(pointer string) ast.Node {
	n := c.file.Docs[0].Body
	for _, step := range strings.Split(strings.TrimPrefix(pointer, "/"), "/") {
		var next ast.Node
		if entries, ok := mapping(n); ok {
			for _, e := range entries {
				if strings.Trim(e.Key.String(), `"'`) == step {
					next = e.Value
				}
			}
		} else if list, ok := n.(*ast.SequenceNode); ok {
			for i, v := range list.Values {
				if fmt.Sprint(i) == step {
					next = v
				}
			}
		}
		if next == nil {
			break
		}
		n = next
	}
	return n
}

func (c *checker) say(pointer, code, remedy, format string, args ...any) {
	c.at(c.node(pointer), pointer, code, fmt.Sprintf(format, args...), remedy)
}

var typeName = regexp.MustCompile(`^[a-z][a-z0-9-]{1,40}$`)

// meaning checks what the shape cannot say.
func (c *checker) meaning(m *Manifest) {
	if m.Version != 1 {
		c.say("/manifest", "manifest.bad_value", "Write manifest: 1.", "The format %d is not known.", m.Version)
	}
	if !typeName.MatchString(m.Type) {
		c.say("/type", "manifest.bad_value", "Use lower case letters, digits and dashes, beginning with a letter.", "%q cannot be a type.", m.Type)
	}
	known := map[string]bool{}
	for i, s := range m.Settings {
		at := fmt.Sprintf("/settings/%d", i)
		if known[s.Name] {
			c.say(at, "manifest.bad_value", "Give each setting a name of its own.", "The setting %s is declared twice.", s.Name)
		}
		known[s.Name] = true
		if s.Name == regionSetting && len(m.Regions) > 0 {
			c.say(at, "manifest.bad_value", "Leave it out.", "The setting region is made of the regions.")
		}
		if (s.Kind == "choice") != (len(s.Choices) > 0) {
			c.say(at, "manifest.bad_value", "Give kind: choice and choices together.", "The setting %s has choices without being one, or is one without.", s.Name)
		}
		if s.Default != "" && (s.Required || s.Secret) {
			c.say(at, "manifest.bad_value", "Leave the default out.", "The setting %s is required or secret and has a default.", s.Name)
		}
		if _, err := regexp.Compile(s.Pattern); err != nil {
			c.say(at+"/pattern", "manifest.bad_value", "Check the regular expression.", "The pattern of %s cannot be read: %v.", s.Name, err)
		}
	}
	c.regions(m, known)
	c.strings(reflect.ValueOf(m).Elem(), "", known)
	if !strings.HasPrefix(m.BaseURL, "https://") && !strings.HasPrefix(m.BaseURL, "http://") && !strings.HasPrefix(m.BaseURL, "{") {
		c.say("/baseUrl", "manifest.bad_value", "Begin with https://.", "baseUrl is not a URL.")
	}
	if u := m.SecondURL; u != "" && !strings.HasPrefix(u, "https://") && !strings.HasPrefix(u, "http://") && !strings.HasPrefix(u, "{") {
		c.say("/secondUrl", "manifest.bad_value", "Begin with https://.", "secondUrl is not a URL.")
	}
	if len(m.Objects) == 0 {
		c.say("/objects", "manifest.missing", "Describe at least one object.", "There are no objects.")
	}
	for i, l := range m.Limits {
		c.duration(fmt.Sprintf("/limits/%d/per", i), l.Per)
		at := fmt.Sprintf("/limits/%d", i)
		switch {
		case l.Calls < 0 || l.AtOnce < 0 || l.Calls == 0 && l.AtOnce == 0:
			c.say(at, "manifest.bad_value", "Give the number of calls that are allowed in the time, or atOnce.", "A limit of %v calls lets nothing through.", l.Calls)
		case l.Calls > 0 && l.Per == "":
			c.say(at, "manifest.missing", "Say under per in which time: 10s, 1m.", "A limit of %v calls has no time.", l.Calls)
		case l.Calls == 0 && (l.Per != "" || l.Burst != 0 || l.Records):
			c.say(at, "manifest.missing", "Give calls, or leave per, burst and records out.", "It is not said how many calls the limit allows in the time.")
		}
		if d, err := time.ParseDuration(l.Per); err == nil && d == 0 {
			c.say(at+"/per", "manifest.bad_value", "Write it as 500ms, 30s or 5m.", "A limit for no time lets nothing through.")
		}
	}
	for i := range m.Auth {
		c.auth(fmt.Sprintf("/auth/%d", i), &m.Auth[i])
	}
	for i, t := range m.Tokens {
		at := fmt.Sprintf("/tokens/%d", i)
		if (t.Request == nil) == (len(t.Scopes) == 0) {
			c.say(at, "manifest.missing", "Give request, or scopes.", "It is not said how the token is had.")
		}
		if !slices.ContainsFunc(m.Auth, func(a Auth) bool { return a.tokens() }) {
			c.say(at, "manifest.bad_value", "Give a way under auth that buys tokens.", "No way of this manifest buys tokens, so calls carry none.")
		}
		for _, name := range t.Objects {
			if _, ok := m.Objects[name]; !ok {
				c.say(at+"/objects", "manifest.missing", "Name an object of this manifest.", "%s is not an object here.", name)
			}
		}
	}
	for i, q := range m.Quota {
		if _, err := regexp.Compile(q.Pattern); err != nil {
			c.say(fmt.Sprintf("/quota/%d/pattern", i), "manifest.bad_value", "Check the regular expression.", "The pattern cannot be read: %v.", err)
		}
	}
	for i, q := range m.Quota {
		if q.Body && (q.Remaining == "" || q.Of == "") {
			c.say(fmt.Sprintf("/quota/%d", i), "manifest.missing", "Say under remaining and of where the answer has them.", "It is not said where an answer's body has what is left.")
		}
	}
	for i, r := range m.Errors.Rules {
		at := fmt.Sprintf("/errors/rules/%d", i)
		for name, text := range map[string]string{"text": r.Body, "afterMatch": r.AfterMatch} {
			e, err := regexp.Compile(text)
			if err != nil {
				c.say(at+"/"+name, "manifest.bad_value", "Check the regular expression.", "The pattern cannot be read: %v.", err)
			} else if name == "afterMatch" && text != "" && e.NumSubexp() < 1 {
				c.say(at+"/"+name, "manifest.bad_value", `Put the time in parentheses: retry in ([0-9]+) seconds.`, "The pattern has no group for the time.")
			}
		}
		if (r.AfterFrom != "" || r.AfterMatch != "") && r.Class != "slow_down" {
			c.say(at, "manifest.bad_value", "Use them with class: slow_down.", "Only an answer that asks to slow down says for how long.")
		}
		c.duration(fmt.Sprintf("/errors/rules/%d/after", i), r.After)
		if _, err := regexp.Compile(r.Match); err != nil {
			c.say(fmt.Sprintf("/errors/rules/%d/match", i), "manifest.bad_value", "Check the regular expression.", "The pattern cannot be read: %v.", err)
		}
	}
	c.duration("/pace/min", m.Pace.Min)
	c.duration("/pace/max", m.Pace.Max)
	c.objects = m.Objects
	c.found(m, known)
	for name, o := range m.Objects {
		c.object("/objects/"+name, name, o)
	}
	if m.Webhook != nil {
		c.webhook(m.Webhook)
		leads := func(at string, objects map[string]string) {
			for t, name := range objects {
				if _, ok := m.Objects[name]; !ok {
					c.say(at, "manifest.missing", "Name an object of this manifest.", "The event type %s leads to %s, which is not an object here.", t, name)
				}
			}
		}
		leads("/webhook/objects", m.Webhook.Objects)
		for i, b := range m.Webhook.Bodies {
			leads(fmt.Sprintf("/webhook/bodies/%d/objects", i), b.Objects)
		}
	}
}

// regions checks that each says what the others say.
func (c *checker) regions(m *Manifest, settings map[string]bool) {
	for i, r := range m.Regions {
		at := fmt.Sprintf("/regions/%d", i)
		settings[regionSetting] = true
		if !typeName.MatchString(r.Name) {
			c.say(at+"/name", "manifest.bad_value", "Use lower case letters, digits and dashes, beginning with a letter.", "%q cannot be the name of a region.", r.Name)
		}
		if slices.ContainsFunc(m.Regions[:i], func(o Region) bool { return o.Name == r.Name }) {
			c.say(at, "manifest.bad_value", "Give each region a name of its own.", "The region %s is declared twice.", r.Name)
		}
		for name := range m.Regions[0].Values {
			if _, ok := r.Values[name]; !ok {
				c.say(at, "manifest.missing", "Give it in each region.", "The region %s has no %s, which %s has.", r.Name, name, m.Regions[0].Name)
			}
		}
		for name := range r.Values {
			if _, ok := m.Regions[0].Values[name]; !ok {
				c.say(at+"/values/"+name, "manifest.missing", "Give it in each region.", "Only the region %s has %s.", r.Name, name)
			}
		}
	}
	if len(m.Regions) > 0 {
		c.regional = m.Regions[0].Values
	}
}

// auth checks a way to prove who is calling.
func (c *checker) auth(at string, a *Auth) {
	if a.ClientAuth == "privateKeyJwt" && a.Key == "" {
		c.say(at, "manifest.missing", "Give key, usually {settings.privateKey}.", "The client proves itself with a signed token, and it is not said with which key.")
	}
	if a.ClientAuth == "none" && a.NoPKCE && a.Certificate == "" {
		c.say(at, "manifest.bad_value", "Give clientAuth: body or basic with a secret, or a certificate.", "The client proves itself with nothing at all.")
	}
	if (a.Certificate == "") != (a.CertificateKey == "" && (a.Kind != "mtls" || a.Key == "")) {
		c.say(at, "manifest.missing", "Give certificate and certificateKey together.", "A certificate needs its key, and a key its certificate.")
	}
}

// webhook checks the recipes of messages.
func (c *checker) webhook(w *Webhook) {
	c.duration("/webhook/sweep", w.Sweep)
	for i, v := range w.Verify {
		at := fmt.Sprintf("/webhook/verify/%d", i)
		c.duration(at+"/tolerance", v.Tolerance)
		if len(v.Claims) > 0 && v.Kind != "jwt" {
			c.say(at+"/claims", "manifest.bad_value", "Leave claims out, or write kind: jwt.", "Only a signed token has claims.")
		}
		if (v.Kind == "sns") != (v.Topic != "") {
			c.say(at+"/topic", "manifest.missing", "Give kind: sns and topic together.", "It is not said which topic is meant.")
		}
		if v.Kind == "sns" { // the message has all of it
			if v.Header != "" || v.Query != "" || v.Body != "" || v.Secret != "" || v.Keys != nil {
				c.say(at, "manifest.bad_value", "Give kind, topic and tolerance alone.", "A message of SNS says itself how it is signed.")
			}
			continue
		}
		places := 0
		for _, p := range []string{v.Header, v.Query, v.Body} {
			if p != "" {
				places++
			}
		}
		if places != 1 {
			c.say(at, "manifest.missing", "Give header, or query, or for a secret body.", "It is not said where a message has its signature.")
		}
		if v.Body != "" && v.Kind != "secret" {
			c.say(at+"/body", "manifest.bad_value", "Use header or query.", "Only a secret can be in the body: a signature is over it.")
		}
		if (v.Secret == "") == (v.Keys == nil) {
			c.say(at, "manifest.missing", "Give secret, or for ecdsa and jwt keys.", "It is not said what a message is verified with.")
		}
		if v.Keys != nil {
			c.duration(at+"/keys/lasts", v.Keys.Lasts)
			if v.Kind != "ecdsa" && v.Kind != "jwt" {
				c.say(at+"/keys", "manifest.bad_value", "Use kind: ecdsa or jwt.", "What is fetched is a public key, and a message of the kind %s has none.", v.Kind)
			}
			if v.Kind == "ecdsa" && v.KeyID == "" {
				c.say(at+"/keyId", "manifest.missing", "Name the header with the key's id, or with wrapped its name.", "It is not said where a message names its key.")
			}
		}
		if v.Wrapped && v.Field == "" {
			c.say(at+"/field", "manifest.missing", "Give the signature's name in the JSON.", "It is not said where the header has the signature.")
		}
		if v.Tolerance != "" && v.Kind != "jwt" && v.Timestamp == "" && (v.Field == "" || v.Wrapped) {
			c.say(at+"/tolerance", "manifest.missing", "Name the header with the time under timestampHeader.", "It is not said where a message has its time.")
		}
		if v.Tolerance != "" && v.Kind != "jwt" && !strings.Contains(v.Message, "{timestamp}") {
			c.say(at+"/message", "manifest.bad_value", "Write {timestamp} where the vendor signs it.", "The time is not part of what is signed, so anybody could change it.")
		}
	}
	if h := w.Handshake; h != nil && h.Kind != "probe" && h.Name == "" {
		c.say("/webhook/handshake", "manifest.missing", "Name the header, parameter or field.", "The handshake has no name.")
	}
	status := func(at string, n int) {
		if n != 0 && (n < 200 || n > 299) {
			c.say(at, "manifest.bad_value", "Give one from 200 to 299.", "%d is no status of success.", n)
		}
	}
	if w.Handshake != nil {
		status("/webhook/handshake/status", w.Handshake.Status)
	}
	if w.Reply != nil {
		status("/webhook/reply/status", w.Reply.Status)
		if w.Reply.Body != "" && w.Reply.Type == "" {
			c.say("/webhook/reply", "manifest.missing", "Give type: text/xml, application/json or another.", "It is not said what the reply's body is.")
		}
	}
	if (w.Account == "") != (w.AccountIs == "") {
		c.say("/webhook/account", "manifest.missing", "Give account and accountIs together.", "It is not said whose events are meant.")
	}
	if s := w.Subscribe; s != nil {
		c.duration("/webhook/subscribe/lasts", s.Lasts)
		if s.Renew != nil && s.Lasts == "" {
			c.say("/webhook/subscribe/renew", "manifest.missing", "Say under lasts how long a subscription lasts.", "It is not said when a subscription is to be renewed.")
		}
		if s.Reveal != nil && s.Reveal.Record == "" {
			c.say("/webhook/subscribe/reveal", "manifest.missing", "Say under record where the answer has the secret.", "It is not said where the answer has the secret.")
		}
	}
}

// own checks what only a tenant's own manifest may not say.
func (c *checker) own(m *Manifest) {
	if len(m.Aliases) > 0 {
		c.say("/aliases", "manifest.not_yours", "Leave aliases out; documents use the type.", "Only connectors of the program have other names.")
	}
	if m.Class == "premium" {
		c.say("/class", "manifest.not_yours", "Leave class out.", "The price class of your own connectors is standard.")
	}
	requests(reflect.ValueOf(m), "", func(at string, r *Request) {
		if r.BodyHook != "" || r.AnswerHook != "" {
			c.say(at, "manifest.not_yours", "Leave bodyHook and answerHook out.", "There is no code beside your own manifest.")
		}
	})
}

func (c *checker) duration(pointer, s string) {
	if s == "" {
		return
	}
	if d, err := time.ParseDuration(s); err != nil || d < 0 {
		c.say(pointer, "manifest.bad_value", "Write it as 500ms, 30s or 5m.", "%q is not a length of time.", s)
	}
}

func (c *checker) object(at, name string, o Object) {
	field := func(n string) bool {
		return o.Describe != nil || slices.ContainsFunc(o.Fields, func(f Field) bool { return f.Name == n })
	}
	for _, k := range o.Key {
		if !field(k) {
			c.say(at+"/key", "manifest.missing", "Declare it under fields.", "The key field %s of %s is not declared.", k, name)
		}
	}
	if len(o.Key) == 0 {
		c.say(at+"/key", "manifest.missing", "Name the fields that identify a record.", "%s has no key.", name)
	}
	for i, f := range o.Fields {
		c.field(fmt.Sprintf("%s/fields/%d", at, i), f)
	}
	if o.Version != "" && !field(o.Version) {
		c.say(at+"/version", "manifest.missing", "Declare it under fields.", "The version field %s of %s is not declared.", o.Version, name)
	}
	if o.Lookup && (o.Find == nil || o.List != nil || o.Changes != nil || o.Create != nil || o.Upsert != nil || o.Update != nil || o.Delete != nil) {
		c.say(at, "manifest.missing", "Give find, and leave list, changes and writes out.", "%s is for lookups only, and those are made by find.", name)
	}
	if f := o.Find; f != nil && f.Record != "" && !f.One {
		c.say(at+"/find/record", "manifest.bad_value", "Write one: true beside it.", "An answer with one record is the answer to one question.")
	}
	if f := o.Find; f != nil && f.One && f.Many != 0 || f != nil && f.Many < 0 {
		c.say(at+"/find/many", "manifest.bad_value", "Leave one of the two out.", "A query takes one value, or at most so many as many says.")
	}
	c.parent(at, o, field)
	c.reading(at, name, o)
	if !o.Lookup && o.List == nil && (o.Changes == nil || !o.Changes.Snapshot) {
		c.say(at, "manifest.missing", "Give list, or changes with snapshot: true.", "%s cannot be read: it has neither a list nor changes that begin at the beginning.", name)
	}
	if ch := o.Changes; ch != nil {
		c.duration(at+"/changes/overlap", ch.Overlap)
		if (ch.Style == "since" || ch.Style == "keyset") && o.Version == "" {
			c.say(at+"/changes", "manifest.missing", "Name the modified time of a record under version.", "Changes of style %s need the time of each record.", ch.Style)
		}
		if ch.Style == "full" && o.List == nil {
			c.say(at+"/changes", "manifest.missing", "Give list.", "Changes of style full read the list, which is missing.")
		}
		if ch.Style != "full" && ch.Request.Path == "" {
			c.say(at+"/changes", "manifest.missing", "Give the request that asks for changes.", "Changes of style %s have no request.", ch.Style)
		}
	}
	d := o.Deletes
	c.duration(at+"/deletes/every", d.Every)
	switch {
	case d.Mode == "tombstone" && d.When == nil:
		c.say(at+"/deletes", "manifest.missing", "Say under when what marks a deleted record.", "Deletes of mode tombstone have no mark.")
	case d.Mode == "archived" && (d.Archived == nil || d.At == ""):
		c.say(at+"/deletes", "manifest.missing", "Give archived, the list of the deleted, and at, the time of deletion.", "Deletes of mode archived have no list.")
	case d.Mode == "diff" && o.List == nil:
		c.say(at+"/deletes", "manifest.missing", "Give list.", "Deletes are found by comparing with the list, which is missing.")
	}
	if o.Get == nil && o.GetMany == nil && !o.Lookup {
		c.say(at, "manifest.missing", "Give get, or getMany.", "Records of %s cannot be read by key, so writes could not be checked.", name)
	}
	for what, w := range map[string]*Write{"create": o.Create, "upsert": o.Upsert, "update": o.Update, "delete": o.Delete} {
		if w == nil {
			continue
		}
		c.write(at+"/"+what, what, o, w, field)
		if _, err := regexp.Compile(w.Exists); err != nil {
			c.say(at+"/"+what+"/exists", "manifest.bad_value", "Check the regular expression.", "The pattern cannot be read: %v.", err)
		}
		for i, also := range w.Also {
			if !field(also.Field) {
				c.say(fmt.Sprintf("%s/%s/also/%d", at, what, i), "manifest.missing", "Declare it under fields.", "The field %s is not declared.", also.Field)
			}
		}
		if b := w.Batch; b != nil {
			if b.Size < 1 {
				c.say(at+"/"+what+"/batch", "manifest.bad_value", "Give the most records of a request as size.", "A batch of %d records is none.", b.Size)
			}
			if b.Job != nil {
				c.duration(at+"/"+what+"/batch/job/every", b.Job.Every)
			}
		}
	}
	for i, f := range o.Identity {
		if !field(f) {
			c.say(fmt.Sprintf("%s/identity/%d", at, i), "manifest.missing", "Declare it under fields.", "The identity field %s is not declared.", f)
		}
	}
}

// write checks what a write says beside its request.
func (c *checker) write(at, what string, o Object, w *Write, field func(string) bool) {
	if e, err := regexp.Compile(w.KeyMatch); err != nil {
		c.say(at+"/keyMatch", "manifest.bad_value", "Check the regular expression.", "The pattern cannot be read: %v.", err)
	} else if w.KeyMatch != "" && (e.NumSubexp() < 1 || w.Key == "") {
		c.say(at+"/keyMatch", "manifest.bad_value", "Put the key in parentheses, /contacts/([0-9]+)$, and say under key where it is found.", "The pattern has no group for the key, or nothing that it is found in.")
	}
	switch {
	case what == "upsert" && len(w.By) == 0:
		c.say(at, "manifest.missing", "Name under by the fields by which the vendor knows a record.", "It is not said by what a record is known.")
	case what != "upsert" && len(w.By) > 0:
		c.say(at+"/by", "manifest.bad_value", "Write it under upsert.", "Only upsert knows records by fields.")
	}
	for i, f := range w.By {
		if !field(f) {
			c.say(fmt.Sprintf("%s/by/%d", at, i), "manifest.missing", "Declare it under fields.", "The field %s is not declared.", f)
		}
	}
	if w.Means != "" && what != "delete" {
		c.say(at+"/means", "manifest.bad_value", "Write it under delete.", "Only delete can mean different things.")
	}
	if len(w.Before) > 0 && w.Batch != nil {
		c.say(at+"/before", "manifest.bad_value", "Leave batch out, or before.", "Steps are made for single records, and batch writes several.")
	}
	if l := w.Lock; l != nil {
		switch {
		case l.Header != "" && l.Value == "":
			c.say(at+"/lock", "manifest.missing", "Write value: \"{version}\", or \"{lock}\" with from.", "It is not said what the header %s has.", l.Header)
		case strings.HasPrefix(l.From, "header:") && o.Get == nil:
			c.say(at+"/lock/from", "manifest.missing", "Give get.", "Headers are read when one record is read, and it is not said how.")
		case l.Header == "" && l.From == "":
			c.say(at+"/lock", "manifest.missing", "Give header and value, or from.", "The lock has neither a header nor a place that it is read from.")
		}
	}
	if w.Job != nil {
		c.duration(at+"/job/every", w.Job.Every)
		if w.Job.ID == "" || len(w.Job.Parts) > 0 {
			c.say(at+"/job", "manifest.bad_value", "Give id, and leave parts out.", "The job of one record has no parts, and its id says that it is one.")
		}
	}
	b := w.Batch
	if b == nil || b.Job == nil {
		return
	}
	j := b.Job
	takes := func(s JobStep) bool { return s.Take["job"] != "" }
	if j.ID == "" && j.Take["job"] == "" && !slices.ContainsFunc(j.Steps, takes) {
		c.say(at+"/batch/job", "manifest.missing", "Give id, or take: {job: ...} in the step whose answer has it.", "It is not said where an answer has the job's id.")
	}
	if len(j.Parts) > 0 && b.By == "" {
		c.say(at+"/batch/by", "manifest.missing", "Write by: key, trace, index or fields.", "Results that come in parts are not in the order of the records, and it is not said which belongs to which.")
	}
	for i, p := range j.Parts {
		c.duration(fmt.Sprintf("%s/batch/job/parts/%d/paging/lasts", at, i), p.Paging.Lasts)
	}
}

// parent checks that the records above can be gone through.
func (c *checker) parent(at string, o Object, field func(string) bool) {
	p := o.Parent
	if p == nil {
		return
	}
	if (p.Object == "") == (len(p.Values) == 0) {
		c.say(at+"/parent", "manifest.missing", "Give object, or values.", "It is not said what the records are listed for, or it is said twice.")
		return
	}
	if p.Field != "" && !field(p.Field) {
		c.say(at+"/parent/field", "manifest.missing", "Declare it under fields.", "The field %s is not declared.", p.Field)
	}
	for name := range p.Fields {
		if !field(name) {
			c.say(at+"/parent/fields/"+name, "manifest.missing", "Declare it under fields.", "The field %s is not declared.", name)
		}
	}
	if ch := o.Changes; ch != nil && ch.Style == "queue" {
		c.say(at+"/changes/style", "manifest.bad_value", "Use since, keyset, feed or full.", "Changes of style %s cannot be read parent by parent.", ch.Style)
	} else if ch != nil && (ch.Whole || ch.Style == "feed" && ch.Paging.Lasts != "") {
		c.say(at+"/changes", "manifest.bad_value", "Leave whole and lasts out.", "A feed whose pages count only together cannot be read parent by parent.")
	} else if ch != nil && ch.Paging.Cap > 0 {
		c.say(at+"/changes/paging/cap", "manifest.bad_value", "Leave cap out; each parent has a list of its own.", "A list with a cap cannot be read parent by parent.")
	}
	if p.Object == "" {
		if p.Changed || len(p.Fields) > 0 {
			c.say(at+"/parent", "manifest.bad_value", "Leave changed and fields out; use field.", "Values have no changes and no fields.")
		}
		return
	}
	above, there := c.objects[p.Object]
	for depth, next := 0, above; there && next.Parent != nil; depth++ {
		if depth > 3 {
			c.say(at+"/parent/object", "manifest.bad_value", "Name one that does not lead back here.", "The parents of %s have no end.", p.Object)
			return
		}
		next = c.objects[next.Parent.Object]
	}
	switch {
	case !there:
		c.say(at+"/parent/object", "manifest.missing", "Name an object of this manifest.", "%s is not an object here.", p.Object)
		return
	case above.List == nil || above.Template:
		c.say(at+"/parent/object", "manifest.bad_value", "Name one that has a list.", "The records of %s cannot be gone through one after the other.", p.Object)
	case p.Changed && (above.Changes == nil || above.Changes.Style != "since" || above.Changes.Paging.Cap > 0):
		c.say(at+"/parent/changed", "manifest.bad_value", "Give it changes of style since without a cap, or leave changed out.", "It cannot be asked which records of %s changed.", p.Object)
	}
	for name, of := range p.Fields {
		if !slices.Contains(above.Key, of) {
			c.say(at+"/parent/fields/"+name, "manifest.bad_value", "Its key is: "+strings.Join(above.Key, ", ")+".", "%s is not in the key of %s.", of, p.Object)
		}
	}
}

// reading checks how lists, changes and fields are asked for.
func (c *checker) reading(at, name string, o Object) {
	pages := map[string]Paging{}
	if o.List != nil {
		pages["/list"] = o.List.Paging
	}
	if o.Changes != nil {
		pages["/changes"] = o.Changes.Paging
	}
	for where, p := range pages {
		c.duration(at+where+"/paging/lasts", p.Lasts)
		if a := o.AskFor; a != nil && p.addressed() {
			c.say(at+where+"/paging/style", "manifest.bad_value", "Use cursor, with {token} in the query.", "The fields cannot be asked for in parts: the next page's address has those of the first part only.")
		}
	}
	if a := o.AskFor; a != nil && (a.Fields < 1 && a.URL < 1 || a.Fields < 0 || a.URL < 0) {
		c.say(at+"/askFor", "manifest.missing", "Give fields, the most of one request, or url, the most characters of an address.", "It is not said how much one request may ask for.")
	}
	if d := o.Describe; d != nil {
		switch {
		case d.Sample == 0 && d.Name == "":
			c.say(at+"/describe", "manifest.missing", "Give name, where a field has its name, or sample.", "It is not said where the answer has the names of fields.")
		case d.Sample == 0 && d.Request.Path == "" && !o.Template:
			c.say(at+"/describe", "manifest.missing", "Give request.", "It is not said how %s is asked for its fields.", name)
		case d.Sample > 0 && (o.List == nil || o.Parent != nil):
			c.say(at+"/describe/sample", "manifest.bad_value", "Give list, and no parent, or list the fields.", "Fields are learnt from the list, which is missing or has a parent.")
		}
	}
	ch := o.Changes
	if ch == nil {
		return
	}
	c.duration(at+"/changes/lag", ch.Lag)
	c.duration(at+"/changes/keeps", ch.Keeps)
	if _, err := patternOf(ch.Format); ch.Format != "" && err != nil {
		c.say(at+"/changes/format", "manifest.bad_value", "Write it like yyyy-MM-dd HH:mm; other letters stand in single quotes.", "%s.", upperFirst(err.Error()))
	}
	if _, err := zone(ch.Zone); err != nil && !strings.Contains(ch.Zone, "{") {
		c.say(at+"/changes/zone", "manifest.bad_value", "Zones are called like Europe/Berlin.", "There is no time zone %q.", ch.Zone)
	}
	if ch.Lag != "" && ch.Style != "since" && ch.Style != "keyset" {
		c.say(at+"/changes/lag", "manifest.bad_value", "Leave lag out.", "Changes of style %s have no time to stay behind with.", ch.Style)
	}
	if (ch.Whole || ch.Final != "") && ch.Style != "feed" {
		c.say(at+"/changes", "manifest.bad_value", "Leave whole and final out.", "Changes of style %s are no feed.", ch.Style)
	}
	switch {
	case ch.Style == "queue" && (ch.Ack == nil || (ch.Ack.From == "") == (ch.Ack.Each == "")):
		c.say(at+"/changes/ack", "manifest.missing", "Give ack, with its request and from, or each, where a message has its handle.", "It is not said how messages are taken away.")
	case ch.Style != "queue" && ch.Ack != nil:
		c.say(at+"/changes/ack", "manifest.bad_value", "Leave ack out.", "Changes of style %s are not taken away.", ch.Style)
	}
}

// found checks how a system is asked for its objects and for settings.
func (c *checker) found(m *Manifest, settings map[string]bool) {
	if d := m.Discover; d != nil {
		if o, there := m.Objects[d.Like]; !there || !o.Template {
			c.say("/discover/like", "manifest.missing", "Describe it under objects, with template: true.", "%s is no template.", d.Like)
		}
		c.duration("/discover/paging/lasts", d.Paging.Lasts)
	}
	for name, o := range m.Objects {
		if o.Template && (m.Discover == nil || m.Discover.Like != name) {
			c.say("/objects/"+name+"/template", "manifest.bad_value", "Name it under discover.like, or leave template out.", "Nothing is like %s.", name)
		}
	}
	for i, l := range m.Learn {
		for name := range l.Settings {
			if !settings[name] {
				c.say(fmt.Sprintf("/learn/%d/settings/%s", i, name), "manifest.missing", "Declare it under settings.", "The setting %s is not declared.", name)
			}
		}
	}
}

// field checks how a field is written.
func (c *checker) field(at string, f Field) {
	typ := f.Type
	if typ == "" {
		typ = "text"
	}
	isTime := typ == "timestamp" || typ == "datetime" || typ == "date"
	if _, err := patternOf(f.Format); f.Format != "" && err != nil {
		c.say(at+"/format", "manifest.bad_value", "Write it like yyyy-MM-dd HH:mm; other letters stand in single quotes.", "%s.", upperFirst(err.Error()))
	}
	if !strings.Contains(f.Zone, "{") {
		if _, err := zone(f.Zone); err != nil {
			c.say(at+"/zone", "manifest.bad_value", "Zones are called like Europe/Berlin.", "There is no time zone %q.", f.Zone)
		}
	}
	if !isTime && (f.Format != "" || f.Zone != "" || f.TimeAt != "") {
		c.say(at, "manifest.bad_value", "Give type: timestamp, datetime or date, or leave format, zone and timeAt out.", "The field %s is no time.", f.Name)
	}
	if f.TimeAt != "" && typ != "timestamp" {
		c.say(at+"/timeAt", "manifest.bad_value", "Write type: timestamp.", "A date with a time of day is a timestamp.")
	}
	if f.Format != "" && f.Codec != "" {
		c.say(at+"/format", "manifest.bad_value", "Keep one of them.", "The field %s has a codec and a form.", f.Name)
	}
	switch f.Codec {
	case "epoch", "epochMillis", "msDate", "serialDate", "offsetTime":
		if !isTime {
			c.say(at+"/codec", "manifest.bad_value", "Give type: timestamp, datetime or date.", "The codec %s is for times.", f.Codec)
		}
	case "cents", "numberText":
		if typ != "integer" && typ != "number" && typ != "float" {
			c.say(at+"/codec", "manifest.bad_value", "Give type: number.", "The codec %s is for numbers.", f.Codec)
		}
	case "document":
		if typ != "text" {
			c.say(at+"/codec", "manifest.bad_value", "Leave type out.", "A document is read as text.")
		}
	}
}

// strings looks at every placeholder.
func (c *checker) strings(v reflect.Value, pointer string, settings map[string]bool) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			c.strings(v.Elem(), pointer, settings)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[Reply]() { // sent as it is
			return
		}
		for i := range v.NumField() {
			name := v.Type().Field(i).Tag.Get("yaml")
			switch name {
			case "pattern", "match", "exists", "doc", "summary", "title", "guarantee", "remedy", "afterMatch", "text", "format", "clear", "keyMatch":
				continue // not templates
			}
			c.strings(v.Field(i), pointer+"/"+name, settings)
		}
	case reflect.Slice:
		for i := range v.Len() {
			c.strings(v.Index(i), fmt.Sprintf("%s/%d", pointer, i), settings)
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			c.strings(v.MapIndex(k), pointer+"/"+k.String(), settings)
		}
	case reflect.String:
		t, err := parseTemplate(v.String())
		if err != nil {
			c.say(pointer, "manifest.placeholder", "Placeholders are {name} or {name|filter}; write {{ for a brace.", "%v.", err)
			return
		}
		for _, p := range t.parts {
			if p.path == nil {
				continue
			}
			if !slices.Contains(roots, p.path[0]) {
				c.say(pointer, "manifest.placeholder", "There are: "+strings.Join(roots, ", ")+".", "The placeholder {%s} is not known.", strings.Join(p.path, "."))
			} else if _, ok := c.regional[strings.Join(p.path[1:], ".")]; p.path[0] == "region" && !ok {
				c.say(pointer, "manifest.missing", "Declare it under values of each region.", "The placeholder {%s} names nothing that regions have.", strings.Join(p.path, "."))
			} else if p.path[0] == "settings" && (len(p.path) != 2 || !settings[p.path[1]]) {
				c.say(pointer, "manifest.missing", "Declare it under settings.", "The placeholder {%s} names no setting.", strings.Join(p.path, "."))
			}
		}
	}
}

// complete fills in what is usual.
func (m *Manifest) complete() {
	if m.Class == "" {
		m.Class = "standard"
	}
	if m.RootURL == "" {
		m.RootURL = m.BaseURL
	}
	if m.Guarantee == "" {
		m.Guarantee = "effectively once where the system has a key to look by: each record is read and compared before it is written, so that repeating a write changes nothing."
	}
	for i := range m.Settings {
		s := &m.Settings[i]
		if s.Kind == "" {
			s.Kind = "text"
		}
		if s.Title == "" {
			s.Title = s.Name
		}
		if s.Doc == "" {
			s.Doc = s.Title + "."
		}
	}
	for name, o := range m.Objects {
		if o.Native == "" {
			o.Native = name
		}
		if o.Title == "" {
			o.Title = name
		}
		for i := range o.Fields {
			f := &o.Fields[i]
			if f.Split != "" {
				f.Type = "json"
			}
			if f.Type == "" {
				f.Type = "text"
			}
			if f.Path == "" {
				f.Path = f.Name
			}
			if f.Values != nil {
				f.ReadOnly = true
			}
		}
		m.Objects[name] = o
	}
}
