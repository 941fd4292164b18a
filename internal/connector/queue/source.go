// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"context"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// Source is a System that is only read.
type Source struct{ s *System }

// NewSource makes one of a broker whose Send is never called.
func NewSource(b Broker, o Options, env connector.Env) (*Source, error) {
	s, err := New(b, o, env, 0)
	if err != nil {
		return nil, err
	}
	return &Source{s}, nil
}

// Check implements connector.System.
func (o *Source) Check(ctx context.Context) error { return o.s.Check(ctx) }

// Close implements connector.System.
func (o *Source) Close() error { return o.s.Close() }

// Pace implements connector.Pacer.
func (o *Source) Pace() connector.Pace { return o.s.Pace() }

// Objects implements connector.Discoverer.
func (o *Source) Objects(ctx context.Context) ([]record.Object, error) { return o.s.Objects(ctx) }

// Describe implements connector.Discoverer.
func (o *Source) Describe(ctx context.Context, objects ...record.Object) ([]connector.ObjectInfo, error) {
	return o.s.Describe(ctx, objects...)
}

// Detection implements connector.Chooser.
func (o *Source) Detection(ctx context.Context, object record.Object) (detection, why string, err error) {
	return o.s.Detection(ctx, object)
}

// Read implements connector.Reader.
func (o *Source) Read(ctx context.Context, req connector.ReadRequest) (connector.Page, error) {
	return o.s.Read(ctx, req)
}

// Acknowledge implements connector.Acknowledger.
func (o *Source) Acknowledge(ctx context.Context, object record.Object, cursor record.Cursor) error {
	return o.s.Acknowledge(ctx, object, cursor)
}

// Watch implements connector.Watcher.
func (o *Source) Watch(ctx context.Context, objects []record.Object, wake func(record.Object)) error {
	return o.s.Watch(ctx, objects, wake)
}

var (
	_ connector.Discoverer   = (*Source)(nil)
	_ connector.Reader       = (*Source)(nil)
	_ connector.Watcher      = (*Source)(nil)
	_ connector.Acknowledger = (*Source)(nil)
	_ connector.Chooser      = (*Source)(nil)
	_ connector.Pacer        = (*Source)(nil)
)
