// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// Overview is how a service does, in figures that a list of many services can afford; it shows no contents.
type Overview struct {
	Service      service.ID
	Records      int64 // entities that live, by the ledger
	Conflicts    int64 // open
	OldestOpen   time.Time
	DeadLetters  int64 // open
	Owed         int64
	OwedSince    time.Time // of the oldest duty; zero when nothing is owed
	Reading      bool      // some object is in its first full read
	ReadAt       time.Time // when a system was last read; zero for never
	ChangedAt    time.Time // when a system last had changes; zero for never
	Failing      []Trouble // systems that cannot be read or written at the moment
	LastRun      service.RunState
	LastRunAt    time.Time // when it ended, or else began; zero without any
	RunOpen      bool      // a run is queued or under way
	Buckets      []Bucket  // the work in each span of time asked for, the oldest first
	Applied      int64     // their sum
	Rejected     int64
	LagAverage   time.Duration
	LagMax       time.Duration
	lagMs, lagOf int64
}

// Trouble is a system that fails.
type Trouble struct {
	System  record.System
	Code    string
	Message string
	Since   time.Time
}

// Bucket is the work of one span of time.
type Bucket struct {
	At                      time.Time // its start
	Applied, Rejected       int64     // record changes that systems took and refused
	LagMs, LagMax, LagCount int64     // of those taken
}

// Add counts a bucket in.
func (o *Overview) Add(b Bucket) {
	o.Buckets = append(o.Buckets, b)
	o.Applied += b.Applied
	o.Rejected += b.Rejected
	o.lagMs += b.LagMs
	o.lagOf += b.LagCount
	o.LagMax = max(o.LagMax, time.Duration(b.LagMax)*time.Millisecond)
	if o.lagOf > 0 {
		o.LagAverage = time.Duration(o.lagMs/o.lagOf) * time.Millisecond
	}
}

// Health is a word for how a service does against its own schedule.
type Health string

// The words. A service that is not active has its state instead.
const (
	OnTime         Health = "on_time"         // everything was read when it should be, nothing waits
	OnTrack        Health = "on_track"        // it is at work: a first read or a run is under way, or the last one left something over
	Delayed        Health = "delayed"         // a run is late or failed, deliveries wait, or a system does not answer
	ActionRequired Health = "action_required" // it stopped, or cannot go on, until a person does something
	PausedHealth   Health = "paused"
	NeverRun       Health = "never_run" // it has not read anything yet
)

// Healths lists the words, the most urgent first.
var Healths = []Health{ActionRequired, Delayed, OnTrack, OnTime, PausedHealth, NeverRun}

// How long things may take before they count as late.
const (
	lateDelivery = time.Minute
	lateRun      = 2 * time.Minute
	lateSystem   = 15 * time.Minute // a system failing for so long needs a person
)

// Health judges the service by these figures.
func (o Overview) Health(s service.Service, now time.Time) Health {
	if s.State != service.Active {
		return Health(s.State)
	}
	for _, t := range o.Failing {
		if now.Sub(t.Since) > lateSystem {
			return ActionRequired
		}
	}
	late := s.NextRunAt != nil && now.Sub(*s.NextRunAt) > lateRun
	switch {
	case len(o.Failing) > 0 || late || o.LastRun == service.RunFailed && !o.RunOpen:
		return Delayed
	case o.Reading && o.RunOpen, o.RunOpen && !s.Realtime:
		return OnTrack
	case o.ReadAt.IsZero():
		return NeverRun
	case o.Owed > 0 && now.Sub(o.OwedSince) > lateDelivery:
		return Delayed
	case o.Reading, o.LastRun == service.RunPartial && !s.Realtime:
		return OnTrack
	}
	return OnTime
}

// Span is the time that buckets cover: from Since in steps of Step.
type Span struct {
	Since time.Time
	Step  time.Duration
}

// Overviews returns the figures of the tenant's services, by service; of one service alone when its id is given.
func (r *Reader) Overviews(ctx context.Context, who auth.Principal, s service.ID, over Span) (m map[service.ID]Overview, err error) {
	if err := who.May(auth.ViewServices); err != nil {
		return nil, err
	}
	err = r.inTx(ctx, who.Tenant, func(tx ReadTx) (err error) {
		m, err = tx.Overviews(ctx, s, over)
		return err
	})
	return m, err
}

// Recent is an entry of the journal with the record it is about.
type Recent struct {
	record.Entry
	Service     service.ID
	ServiceName string
	MatchKey    string
	Fields      record.Fields    // of the record as it is now; nil when it is gone
	Lag         time.Duration    // of a delivery: since the change at its origin; 0 when unknown
	Standing    record.LinkState // of the record now: the state of a copy that is not as it should be, else synced
}

// Recents lists what happened lately, the newest first; of all services for the zero id. It looks back an hour at most:
// older history is a record's own.
func (r *Reader) Recents(ctx context.Context, who auth.Principal, s service.ID, before uuid.UUID, limit int) (list []Recent, err error) {
	if err := who.May(auth.ViewRecords); err != nil {
		return nil, err
	}
	err = r.inTx(ctx, who.Tenant, func(tx ReadTx) (err error) {
		list, err = tx.Recents(ctx, s, before, limit)
		return err
	})
	return list, err
}
