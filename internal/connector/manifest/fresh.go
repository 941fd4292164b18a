// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"errors"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// Few vendors take a write only if the record is still as it was. So records are compared with what is expected right before
// they are written: once for a batch of writes, and again for those that had to wait since, for a budget, a pause that the
// system asked for, new credentials, or for others of the batch. What remains is the time from that reading until the system
// carries the write out.

// goodFor is how long a comparison counts.
const goodFor = time.Second

// errStale is what a call comes to whose records are not as they were when it was made up.
var errStale = errors.New("manifest: a record was changed before it was written")

// patience is how often a write is made up anew before its record is left to be read and merged.
const patience = 4

type checkKey struct{}

// checkOf is what a writing call is to ask right before it is made; nil for nothing.
func checkOf(ctx context.Context) func(context.Context, bool) error {
	check, _ := ctx.Value(checkKey{}).(func(context.Context, bool) error)
	return check
}

// checking makes the writing calls of the context compare the tasks' records again when they had to wait, or when the
// comparison is old.
func (s *system) checking(ctx context.Context, o *object, tasks []*task) context.Context {
	return context.WithValue(ctx, checkKey{}, func(ctx context.Context, waited bool) error {
		now := s.client.Now()
		for _, t := range tasks {
			waited = waited || now.Sub(t.seenAt) > goodFor
		}
		if !waited {
			return nil
		}
		now = s.client.Now()
		found, err := s.asTheyAre(ctx, o, tasks)
		if err != nil {
			return err
		}
		stale := false
		for _, t := range tasks {
			it := found[t]
			probe := *t
			_, send := o.decide(&probe, it)
			stale = stale || !send || probe.verb != t.verb || it != nil && t.before != nil && it.version != t.before.version
			t.seenAt = now
		}
		if stale {
			return errStale
		}
		return nil
	})
}

// asTheyAre reads the tasks' records; what a task creates is searched for.
func (s *system) asTheyAre(ctx context.Context, o *object, tasks []*task) (map[*task]*item, error) {
	var keys []record.Key
	for _, t := range tasks {
		if t.before != nil {
			keys = append(keys, t.before.key)
		} else if t.w.Key != "" {
			keys = append(keys, t.w.Key)
		}
	}
	present, err := s.items(ctx, o, nil, keys)
	if err != nil {
		return nil, err
	}
	known, err := s.look(ctx, o, tasks)
	if err != nil {
		return nil, err
	}
	out := make(map[*task]*item, len(tasks))
	for _, t := range tasks {
		key := t.w.Key
		if t.before != nil {
			key = t.before.key
		}
		if it, ok := present[key]; ok && key != "" && !it.deleted {
			out[t] = &it
		} else if it, ok := known[t.index]; ok {
			out[t] = &it
		}
	}
	return out, nil
}

// again decides about tasks whose records changed. It returns those that are still to be sent; after some tries they are left
// to be read and merged.
func (s *system) again(ctx context.Context, o *object, tasks []*task, receipts []connector.Receipt) (rest []*task, err error) {
	now := s.client.Now()
	found, err := s.asTheyAre(ctx, o, tasks)
	if err != nil {
		return nil, err
	}
	for _, t := range tasks {
		verb := t.verb
		t.tries++
		r, send := o.decide(t, found[t])
		t.seenAt = now
		switch {
		case !send:
			receipts[t.index] = r
		case t.verb != verb, t.tries > patience && found[t] != nil:
			r.Outcome = connector.Moved
			if it := found[t]; it != nil {
				r.Key, r.Stored = it.key, it.fields
			} else {
				r.Outcome = connector.Gone
			}
			receipts[t.index] = r
		default:
			rest = append(rest, t)
		}
	}
	return rest, nil
}
