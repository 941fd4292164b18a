// SPDX-License-Identifier: Apache-2.0

// Package sse is the connector of streams of server-sent events, as sources.
package sse

import (
	"context"
	"encoding/base64"
	"errors"
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

// Connector is the connector type sse.
type Connector struct{}

// New returns the connector.
func New() Connector { return Connector{} }

// Spec declares the connector.
func (Connector) Spec() connector.Spec {
	return connector.Spec{
		Type:    "sse",
		Title:   "Server-sent events",
		Summary: "Streams of server-sent events as sources: an event says what a record is now, and reading goes on behind the last one after any interruption.",
		Class:   "standard",
		Settings: append([]connector.Setting{
			{Name: "url", Title: "Address", Kind: connector.Text, Required: true, Doc: "The URL of the stream; {object} in it stands for the object's name: https://shop.example.com/streams/{object}."},
			{Name: "objects", Title: "Objects", Kind: connector.Text, Required: true, Doc: "Names for the records of the stream, between commas; several need {object} in the address, and each has a stream of its own."},
			{Name: "types", Title: "Event types", Kind: connector.Text, Doc: "The event types that carry records, between commas. Empty: all but those of deletions."},
			{Name: "deleteTypes", Title: "Event types of deletions", Kind: connector.Text, Doc: "The event types that say that a record is deleted; their data needs the key fields only."},
			{Name: "record", Title: "Where the record is", Kind: connector.Text, Doc: "The path of the record in an event's data, like payload.after; empty: the data is the record."},
			{Name: "accessToken", Title: "Access token", Kind: connector.Text, Secret: true, Doc: "Sent as Authorization: Bearer. One way of proving who is calling is enough."},
			{Name: "headerName", Title: "Header", Kind: connector.Text, Doc: "Instead of it: the header that carries a key, like X-Api-Key."},
			{Name: "headerValue", Title: "Header's value", Kind: connector.Text, Secret: true, Doc: "The key in that header."},
			{Name: "user", Title: "User", Kind: connector.Text, Doc: "Instead of it: the name for basic authentication."},
			{Name: "password", Title: "Password", Kind: connector.Text, Secret: true, Doc: "The password for basic authentication."},
			{Name: "idle", Title: "Longest silence", Kind: connector.Integer, Default: "120", Doc: "Seconds without an event or a comment after which the stream is taken for dead and opened anew; 0 for never."},
		}, queue.Settings()...),
		Detections: []string{queue.ByStream},
		Deletes:    "event (one of deleteTypes, or one whose field named by the setting deletedField is true)",
		Guarantee:  "at least once: each event is taken as long as the server replays what came behind Last-Event-ID; a server that gives no ids, or forgets, loses what it says while nobody listens. It is only read.",
	}
}

func misfit(format string, args ...any) error {
	return &connector.Error{Class: connector.Reconnect, Code: "sse.address", Message: fmt.Sprintf(format, args...)}
}

// Open prepares a system; the stream is opened when it is first read.
func (c Connector) Open(_ context.Context, settings connector.Settings, env connector.Env) (connector.System, error) {
	options, err := queue.ReadOptions(settings)
	if err != nil {
		return nil, err
	}
	options.Remedy = "Name other key fields, the event types that carry records, or where the record is in an event."
	b := &broker{settings: settings, types: split(settings["types"]), deletes: split(settings["deleteTypes"]), record: settings["record"], header: http.Header{}}
	for _, o := range split(settings["objects"]) {
		b.objects = append(b.objects, record.Object(o))
	}
	u, err := url.Parse(strings.ReplaceAll(settings["url"], "{object}", "x"))
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil:
		return nil, misfit("The address of the stream is not a URL that begins with https:// and has a host and no password.")
	case len(b.objects) == 0:
		return nil, misfit("The setting objects names none. Give the records of the stream a name.")
	case len(b.objects) > 1 && !strings.Contains(settings["url"], "{object}"):
		return nil, misfit("Several objects need {object} in the address, so that each has a stream of its own.")
	}
	seconds, err := strconv.Atoi(settings["idle"])
	if err != nil || seconds < 0 {
		return nil, misfit("The setting idle is not a number of seconds.")
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
	b.push = push.New(env, settings["accessToken"], settings["headerValue"], settings["password"])
	return queue.NewSource(b, options, env)
}

func split(list string) (out []string) {
	for _, s := range strings.Split(list, ",") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// broker makes messages of events.
type broker struct {
	settings connector.Settings
	objects  []record.Object
	types    []string
	deletes  []string
	record   string
	header   http.Header
	idle     time.Duration
	push     *push.Client
}

var _ queue.Resumer = (*broker)(nil)

func (b *broker) address(object record.Object) string {
	return strings.ReplaceAll(b.settings["url"], "{object}", url.PathEscape(string(object)))
}

// Check opens the stream and closes it again.
func (b *broker) Check(ctx context.Context) error {
	e, err := b.push.Events(ctx, http.MethodGet, b.address(b.objects[0]), b.header, "", "", 0)
	if errors.Is(err, push.ErrNoContent) {
		return nil
	}
	if err != nil {
		return err
	}
	e.Close()
	return nil
}

func (b *broker) Objects(context.Context) ([]record.Object, error) { return b.objects, nil }

func (b *broker) Exists(_ context.Context, object record.Object) error {
	if !slices.Contains(b.objects, object) {
		return &connector.Error{Class: connector.Reject, Code: "sse.no_object", Message: fmt.Sprintf("The connection has no object %s. Name it in its setting objects.", object)}
	}
	return nil
}

// Consume implements queue.Broker; the kit calls ConsumeFrom.
func (b *broker) Consume(ctx context.Context, object record.Object, sink func(queue.Message)) error {
	return b.ConsumeFrom(ctx, object, "", sink)
}

// tries is how often in a row a stream is opened without an event coming before that is told as an error.
const tries = 3

// ConsumeFrom listens behind the event of that id, and opens the stream again where it was cut off.
func (b *broker) ConsumeFrom(ctx context.Context, object record.Object, place string, sink func(queue.Message)) error {
	if err := b.Exists(ctx, object); err != nil {
		return err
	}
	pause := time.Second
	for failed := 0; ; {
		came, err := b.listen(ctx, object, &place, &pause, sink)
		if ctx.Err() != nil {
			return nil
		}
		if came {
			failed = 0
		}
		if failed++; connector.Classify(err).Class != connector.Retry || failed >= tries {
			return err
		}
		wait := time.NewTimer(pause << min(failed-1, 5))
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil
		case <-wait.C:
		}
	}
}

// listen hands on what one stream says until it ends.
func (b *broker) listen(ctx context.Context, object record.Object, place *string, pause *time.Duration, sink func(queue.Message)) (came bool, err error) {
	e, err := b.push.Events(ctx, http.MethodGet, b.address(object), b.header, "", *place, b.idle)
	if err != nil {
		return false, err
	}
	defer e.Close()
	for {
		ev, err := e.Next()
		if e.Retry > 0 {
			*pause = min(e.Retry, time.Minute)
		}
		if err != nil {
			return came, err
		}
		came, *place = true, ev.ID
		deleted := slices.Contains(b.deletes, ev.Type)
		if !deleted && len(b.types) > 0 && !slices.Contains(b.types, ev.Type) {
			continue
		}
		sink(queue.Message{Body: push.Inside(ev.Data, b.record), Deleted: deleted, Place: ev.ID})
	}
}

// Done implements queue.Broker: the stream keeps nothing for us.
func (b *broker) Done(context.Context, record.Object, []any) error { return nil }

// Send implements queue.Broker; a source is never sent to.
func (b *broker) Send(context.Context, record.Object, []queue.Outgoing) ([]error, error) {
	return nil, &connector.Error{Class: connector.Reject, Code: "sse.read_only", Message: "A stream of events is only read."}
}

func (b *broker) Close() error {
	b.push.Close()
	return nil
}
