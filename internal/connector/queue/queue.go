// SPDX-License-Identifier: Apache-2.0

// Package queue makes records of messages: it reads and writes the queues of any broker that hands each message out until it is
// acknowledged.
//
// A connector implements Broker and hands it to New, which returns the whole connector.System. A message is acknowledged when
// the batch that it came with is committed, never before; what the broker hands out a second time is recognised.
package queue

import (
	"context"
	"fmt"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// Message is a message as the broker hands it out.
type Message struct {
	ID      string // the same when it is handed out again; "" lets its content stand for it
	Key     string // the record's key as the sender wrote it beside the content; "" when it is in the content
	Body    []byte
	Deleted bool   // it says that the record is deleted
	By      string // the consumer that sent it; "" for others
	At      time.Time
	Handle  any // what Done needs
	// Place is where a Resumer goes on to hand out what comes behind this message; "" when it cannot be told.
	Place string
}

// Outgoing is a message to send.
type Outgoing struct {
	ID      string // unique for the write that it carries out, so that a broker can drop a second one
	Key     record.Key
	Body    []byte
	Deleted bool
	By      string
	Attempt string
	Entity  string
}

// Broker is where queues are. Errors are classified.
type Broker interface {
	// Check says whether the broker answers and the credentials are good.
	Check(ctx context.Context) error
	// Objects lists the queues that can be listed.
	Objects(ctx context.Context) ([]record.Object, error)
	// Exists says whether the queue is there: an error of class Reject when not.
	Exists(ctx context.Context, object record.Object) error
	// Consume hands messages to sink until ctx ends (nil) or it fails. sink blocks while enough are under way. What was handed out
	// and is not done counts as not delivered when Consume returns.
	Consume(ctx context.Context, object record.Object, sink func(Message)) error
	// Done acknowledges messages, so that they are gone from the queue.
	Done(ctx context.Context, object record.Object, handles []any) error
	// Send sends messages in order. An entry of the answer is set for a message that will never be taken (class Reject); the error
	// is for what became of the batch being unknown.
	Send(ctx context.Context, object record.Object, messages []Outgoing) ([]error, error)
	Close() error
}

// Returner is a Broker that has to be told that messages are no longer under way.
type Returner interface {
	// Return makes messages that were handed out be handed out to others at once.
	Return(ctx context.Context, object record.Object, handles []any) error
}

// Resumer is a Broker that does not keep what it hands out, but can be asked to go on behind a place: a stream. The place is part of
// the cursor, so it moves with the batch that it covers.
type Resumer interface {
	// ConsumeFrom is Consume from behind the place; "" is from wherever the stream begins.
	ConsumeFrom(ctx context.Context, object record.Object, place string, sink func(Message)) error
}

// The headers that our messages carry, and by which messages of others are understood.
const (
	HeaderKey      = "syncline-key"
	HeaderOp       = "syncline-op" // upsert or delete
	HeaderConsumer = "syncline-consumer"
	HeaderAttempt  = "syncline-attempt"
	HeaderEntity   = "syncline-entity"
)

// ByStream is the detection: messages are taken as they come.
const ByStream = "stream"

// Deletes and Guarantee are what a connector of queues says of itself in its Spec.
const (
	Deletes   = "message (one whose header syncline-op is delete, or whose field named by the setting deletedField is true)"
	Guarantee = "at least once: a message is acknowledged when its batch is committed, and one that was cut off on its way out is sent again; a queue cannot be asked what it holds, so writes are not compared with what is there"
)

// Settings are those of each connector of queues.
func Settings() []connector.Setting {
	return []connector.Setting{
		{Name: "key", Title: "Key fields", Kind: connector.Text, Default: "id",
			Doc: "The fields by which records are told apart: id, or country,number, or by queue, where * stands for anything: orders=number; stock-*=country,shelf."},
		{Name: "deletedField", Title: "Deleted field", Kind: connector.Text, Doc: "A field whose value true says that the record is deleted, for senders that do not set the header syncline-op."},
	}
}

// Options are those settings, parsed.
type Options struct {
	keys    []keyRule
	deleted string
	// Remedy is what to do about a message that does not say which record it is of.
	Remedy string
}

type keyRule struct {
	queues string // a pattern; "" for all others
	fields []string
}

// ReadOptions parses the settings.
func ReadOptions(settings connector.Settings) (o Options, err error) {
	o.deleted, o.Remedy = settings["deletedField"], "Name other key fields, or take the message out of the queue."
	for _, part := range strings.Split(settings["key"], ";") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		r := keyRule{}
		queues, fields, named := strings.Cut(part, "=")
		if !named {
			queues, fields = "", part
		}
		r.queues = strings.TrimSpace(queues)
		for _, f := range strings.Split(fields, ",") {
			if f = strings.TrimSpace(f); f != "" {
				r.fields = append(r.fields, f)
			}
		}
		if _, bad := path.Match(r.queues, ""); bad != nil || len(r.fields) == 0 {
			return o, &connector.Error{Class: connector.Reconnect, Code: "queue.key_malformed", Message: fmt.Sprintf("The setting key cannot be understood at %q. Write id, or orders=number; stock-*=country,shelf.", part)}
		}
		o.keys = append(o.keys, r)
	}
	return o, nil
}

// key are the fields that records in the queue are told apart by.
func (o Options) key(object record.Object) []string {
	rest := []string{"id"}
	for _, r := range o.keys {
		if r.queues == "" {
			rest = r.fields
		} else if ok, _ := path.Match(r.queues, string(object)); ok {
			return r.fields
		}
	}
	return rest
}

// System is an open broker.
type System struct {
	broker   Broker
	options  Options
	env      connector.Env
	maxBytes int // of a message

	mu     sync.Mutex
	feeds  map[record.Object]*feed
	closed bool
	ctx    context.Context // of the feeds
	stop   context.CancelFunc
	wait   sync.WaitGroup
}

// New makes a system of a broker whose messages have at most maxBytes. It starts nothing.
func New(b Broker, o Options, env connector.Env, maxBytes int) (*System, error) {
	if d := env.Detection; d != "" && d != "auto" && d != ByStream {
		return nil, &connector.Error{Class: connector.Reject, Code: "queue.detection_unknown", Message: fmt.Sprintf("Changes in queues cannot be detected by %q; use auto or %s.", d, ByStream)}
	}
	s := &System{broker: b, options: o, env: env, maxBytes: maxBytes, feeds: map[record.Object]*feed{}}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s, nil
}

// Check implements connector.System.
func (s *System) Check(ctx context.Context) error { return s.broker.Check(ctx) }

// Close implements connector.System: what was handed out and not acknowledged is in the queue again.
func (s *System) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.wait.Wait()
	return s.broker.Close()
}

// Pace implements connector.Pacer: a queue is watched, so this is for acknowledging and for a watcher that failed.
func (s *System) Pace() connector.Pace {
	return connector.Pace{Min: 200 * time.Millisecond, Max: 2 * time.Second}
}

// Objects implements connector.Discoverer.
func (s *System) Objects(ctx context.Context) ([]record.Object, error) { return s.broker.Objects(ctx) }

// Describe implements connector.Discoverer: the fields are those of messages seen since the system was opened.
func (s *System) Describe(ctx context.Context, objects ...record.Object) ([]connector.ObjectInfo, error) {
	var out []connector.ObjectInfo
	for _, o := range objects {
		if err := s.broker.Exists(ctx, o); err != nil {
			return nil, err
		}
		info := connector.ObjectInfo{Name: o, Key: s.options.key(o), Rows: -1, Open: true}
		seen := map[string]connector.Type{}
		s.mu.Lock()
		f := s.feeds[o]
		s.mu.Unlock()
		if f != nil {
			seen = f.columns()
		}
		for _, k := range info.Key {
			if _, there := seen[k]; !there {
				seen[k] = connector.TypeJSON
			}
		}
		info.Fields = fieldsOf(seen, info.Key)
		out = append(out, info)
	}
	return out, nil
}

// Detection implements connector.Chooser.
func (s *System) Detection(context.Context, record.Object) (detection, why string, err error) {
	return ByStream, "Messages are taken as they come.", nil
}

// Appends implements connector.Appender.
func (s *System) Appends() {}

var (
	_ connector.Discoverer   = (*System)(nil)
	_ connector.Reader       = (*System)(nil)
	_ connector.Appender     = (*System)(nil)
	_ connector.Watcher      = (*System)(nil)
	_ connector.Acknowledger = (*System)(nil)
	_ connector.Chooser      = (*System)(nil)
	_ connector.Pacer        = (*System)(nil)
)
