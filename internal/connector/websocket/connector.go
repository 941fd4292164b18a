// SPDX-License-Identifier: Apache-2.0

// Package websocket is the connector of WebSockets that send and take messages about records, as sources and as targets.
package websocket

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/push"
	"github.com/syncline-dev/syncline/internal/connector/queue"
	"github.com/syncline-dev/syncline/internal/record"
)

// Connector is the connector type websocket.
type Connector struct{}

// New returns the connector.
func New() Connector { return Connector{} }

// usual is what is sent for a record unless the settings say otherwise.
const usual = `{"op": "{op}", "object": "{object}", "id": "{id}", "key": "{key}", "record": "{record}"}`

// Spec declares the connector.
func (Connector) Spec() connector.Spec {
	return connector.Spec{
		Type:    "websocket",
		Title:   "WebSocket",
		Summary: "WebSockets as sources and targets: a message says what a record is now. It subscribes, resumes, keeps alive and waits for acknowledgements as your server wants it.",
		Class:   "standard",
		Settings: append([]connector.Setting{
			{Name: "url", Title: "Address", Kind: connector.Text, Required: true, Doc: "wss://shop.example.com/feed; {object} in it stands for the object's name."},
			{Name: "objects", Title: "Objects", Kind: connector.Text, Required: true, Doc: "Names for the records, between commas; each has a connection of its own. Several need {object} in the address or in the subscription."},
			{Name: "subscribe", Title: "Subscription", Kind: connector.Text, Lines: 3, Doc: `The JSON message to begin with, if the server wants one: {"type": "subscribe", "channel": "{object}"}.`},
			{Name: "resume", Title: "Resumption", Kind: connector.Text, Lines: 3, Doc: `The same when there is a place to go on from: {"type": "subscribe", "channel": "{object}", "after": "{token}"}. Without it, what is said while nobody listens is lost.`},
			{Name: "token", Title: "Where the place is", Kind: connector.Text, Doc: "The path of the resume token in a message, like seq."},
			{Name: "type", Title: "Where the type is", Kind: connector.Text, Doc: "The path of a message's type, like type."},
			{Name: "types", Title: "Types of records", Kind: connector.Text, Doc: "The types that carry records, between commas. Empty: every message that has a record."},
			{Name: "deleteTypes", Title: "Types of deletions", Kind: connector.Text, Doc: "The types that say that a record is deleted."},
			{Name: "errorTypes", Title: "Types of errors", Kind: connector.Text, Doc: "The types that say that the subscription is refused."},
			{Name: "record", Title: "Where the record is", Kind: connector.Text, Doc: "The path of the record in a message, or of a list of them; empty: the message is the record."},
			{Name: "pingType", Title: "Type of pings", Kind: connector.Text, Doc: "The type of messages by which the server asks whether somebody is there, if it does so in messages."},
			{Name: "pong", Title: "Answer to pings", Kind: connector.Text, Doc: `The JSON message that answers them: {"type": "pong"}.`},
			{Name: "heartbeat", Title: "Heartbeat", Kind: connector.Text, Doc: `A JSON message to send every 30 seconds, if the server wants one: {"type": "ping"}. Pings of the protocol are sent anyway.`},
			{Name: "send", Title: "Message of a write", Kind: connector.Text, Default: usual, Lines: 3, Doc: "The JSON message for a record that is written: {op} is upsert or delete, {record} the whole record (null when it is deleted), {key}, {object}, {id} (the same when it is sent again)."},
			{Name: "ack", Title: "Where the acknowledgement is", Kind: connector.Text, Doc: "The path in the server's messages that has the {id} of what it took, like ack. Without it, a message counts as delivered when it was sent: one that was on its way when the connection broke is lost."},
			{Name: "ackError", Title: "Where a refusal is", Kind: connector.Text, Doc: "The path, in a message that has the {id}, of why it was not taken, like error.message."},
			{Name: "accessToken", Title: "Access token", Kind: connector.Text, Secret: true, Doc: "Sent as Authorization: Bearer when the connection is opened; {accessToken} in the messages above stands for it."},
			{Name: "headerName", Title: "Header", Kind: connector.Text, Doc: "Instead of it: the header that carries a key, like X-Api-Key."},
			{Name: "headerValue", Title: "Header's value", Kind: connector.Text, Secret: true, Doc: "The key in that header."},
			{Name: "user", Title: "User", Kind: connector.Text, Doc: "Instead of it: the name for basic authentication."},
			{Name: "password", Title: "Password", Kind: connector.Text, Secret: true, Doc: "The password for basic authentication."},
			{Name: "subprotocol", Title: "Subprotocol", Kind: connector.Text, Doc: "The subprotocol to ask for, if the server wants one."},
			{Name: "idle", Title: "Longest silence", Kind: connector.Integer, Default: "0", Doc: "Seconds without a message after which the connection is opened anew; 0 for never. A peer that answers no ping is noticed anyway."},
		}, queue.Settings()...),
		Detections: []string{queue.ByStream},
		Deletes:    "message (one of deleteTypes, or one whose field named by the setting deletedField is true)",
		Guarantee:  "at least once with token and resume for reading, and with ack for writing: without the first, what is said while nobody listens is lost. Without the second, a message that was on its way when the connection broke is lost. What the other side holds cannot be asked, so writes are not compared.",
	}
}

func misfit(format string, args ...any) error {
	return &connector.Error{Class: connector.Reconnect, Code: "websocket.setting", Message: fmt.Sprintf(format, args...)}
}

// Open prepares a system; connections are opened when they are first needed.
func (c Connector) Open(_ context.Context, settings connector.Settings, env connector.Env) (connector.System, error) {
	options, err := queue.ReadOptions(settings)
	if err != nil {
		return nil, err
	}
	options.Remedy = "Name other key fields, the types that carry records, or where the record is in a message."
	b := &broker{settings: settings, types: split(settings["types"]), deletes: split(settings["deleteTypes"]), errors: split(settings["errorTypes"]), header: http.Header{}, outs: map[record.Object]*out{}}
	for _, o := range split(settings["objects"]) {
		b.objects = append(b.objects, record.Object(o))
	}
	u, err := url.Parse(strings.ReplaceAll(settings["url"], "{object}", "x"))
	switch {
	case err != nil || u.Scheme != "wss" && u.Scheme != "ws" || u.Host == "" || u.User != nil:
		return nil, misfit("The address is not a URL that begins with wss:// and has a host and no password.")
	case len(b.objects) == 0:
		return nil, misfit("The setting objects names none. Give the records a name.")
	case len(b.objects) > 1 && !strings.Contains(settings["url"]+settings["subscribe"], "{object}"):
		return nil, misfit("Several objects need {object} in the address or in the subscription, so that each has messages of its own.")
	case settings["resume"] != "" && settings["token"] == "":
		return nil, misfit("The setting resume needs the setting token: where a message has the place to go on from.")
	case settings["type"] == "" && settings["types"]+settings["deleteTypes"]+settings["errorTypes"]+settings["pingType"] != "":
		return nil, misfit("The settings with types of messages need the setting type: where a message has it.")
	}
	for name, into := range map[string]*any{"subscribe": &b.subscribe, "resume": &b.resume, "pong": &b.pong, "heartbeat": &b.heartbeat, "send": &b.send} {
		text := settings[name]
		if text == "" && name == "send" {
			text = usual
		}
		if text == "" {
			continue
		}
		if *into, err = record.ParseJSON([]byte(text)); err != nil {
			return nil, misfit("The setting %s is not JSON. Placeholders stand in quotes: {\"channel\": \"{object}\"}.", name)
		}
	}
	seconds := 0
	if settings["idle"] != "" {
		if seconds, err = strconv.Atoi(settings["idle"]); err != nil || seconds < 0 {
			return nil, misfit("The setting idle is not a number of seconds.")
		}
	}
	b.idle = time.Duration(seconds) * time.Second
	switch {
	case settings["accessToken"] != "":
		b.header.Set("Authorization", "Bearer "+settings["accessToken"])
	case settings["headerName"] != "" && settings["headerValue"] != "":
		b.header.Set(settings["headerName"], settings["headerValue"])
	case settings["user"] != "":
		b.header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(settings["user"]+":"+settings["password"])))
	}
	if p := settings["subprotocol"]; p != "" {
		b.protocols = []string{p}
	}
	b.push = push.New(env, settings["accessToken"], settings["headerValue"], settings["password"])
	return queue.New(b, options, env, push.MaxMessage)
}

func split(list string) (out []string) {
	for _, s := range strings.Split(list, ",") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// fill puts values where a structure has placeholders: a text that is one placeholder becomes the value.
func fill(x any, values map[string]any) any {
	switch x := x.(type) {
	case string:
		if name, ok := strings.CutPrefix(x, "{"); ok && strings.HasSuffix(name, "}") {
			if v, known := values[strings.TrimSuffix(name, "}")]; known {
				return v
			}
		}
		for name, v := range values {
			if strings.Contains(x, "{"+name+"}") && v != nil {
				x = strings.ReplaceAll(x, "{"+name+"}", record.Text(v))
			}
		}
		return x
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, v := range x {
			out[k] = fill(v, values)
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i := range x {
			out[i] = fill(x[i], values)
		}
		return out
	}
	return x
}

// is says whether a message's type is one of those.
func (b *broker) is(message any, types []string) bool {
	if b.settings["type"] == "" || len(types) == 0 {
		return false
	}
	t := push.Dig(message, b.settings["type"])
	return t != nil && slices.Contains(types, record.Text(t))
}
