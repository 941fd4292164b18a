// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/live"
	"github.com/syncline-dev/syncline/internal/notify"
	"github.com/syncline-dev/syncline/internal/service"
)

// Times of an event stream.
const (
	heartbeat     = 15 * time.Second // a comment shows that the stream lives
	renewEvery    = 3 * time.Second  // whoever lost access is gone within 5 s: this, and the time that asking takes
	renewWithin   = 2 * time.Second
	writeWithin   = 10 * time.Second // a reader that takes longer is cut off; it comes back and gets what it missed
	retryAfter    = 2000             // milliseconds until a reader comes back
	lookEvery     = 10 * time.Second // while notifications do not arrive, the database is asked
	eventsAtATime = 200
)

// stream is one reader's view of the events. It is the answer of StreamEvents, which it writes until it ends.
type stream struct {
	s       *server
	ctx     context.Context
	req     *request
	types   []string
	service service.ID
	last    string
	writing *http.ResponseController
	w       http.ResponseWriter
}

func (s *server) StreamEvents(ctx context.Context, req spec.StreamEventsRequestObject) (spec.StreamEventsResponseObject, error) {
	id, err := s.serviceNamed(ctx, req.Params.FilterService, auth.ViewServices)
	if err != nil {
		return nil, err
	}
	st := &stream{s: s, ctx: ctx, req: of(ctx), service: id, last: word(req.Params.LastEventID)}
	if req.Params.FilterType != nil {
		st.types = *req.Params.FilterType
	}
	return st, nil
}

// errGone ends a stream: the reader has gone, or access was lost.
var errGone = errors.New("the stream ends")

// VisitStreamEventsResponse writes events as they happen until the reader goes, loses access, or the server's context ends.
func (st *stream) VisitStreamEventsResponse(w http.ResponseWriter) error {
	st.w, st.writing = w, http.NewResponseController(w)
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // proxies shall pass it on as it comes
	w.WriteHeader(http.StatusOK)
	closed := st.s.Metrics.Stream()
	defer closed()
	// Subscribe first and look then, or something falls between.
	news := st.s.Hub.Subscribe(st.req.who.Tenant)
	defer news.Close()
	if err := st.follow(news); err != nil && !errors.Is(err, errGone) {
		return err
	}
	return nil
}

func (st *stream) follow(news *live.Subscription) error {
	if err := st.write("retry: %d\n\n", retryAfter); err != nil {
		return err
	}
	beat, renew, look := time.NewTicker(heartbeat), time.NewTicker(renewEvery), time.NewTicker(lookEvery)
	defer beat.Stop()
	defer renew.Stop()
	defer look.Stop()
	if st.last == "" {
		// So that a reader that is cut off before the first event knows where to go on.
		if _, err := st.read(); err != nil {
			return err
		}
		if err := st.write("id: %s\n\n", st.last); err != nil {
			return err
		}
	}
	for {
		if err := st.send(); err != nil {
			return err
		}
		select {
		case <-st.ctx.Done():
			return errGone
		case <-news.News():
		case <-look.C:
			if st.s.Hub.Listening() {
				continue
			}
		case <-beat.C:
			if err := st.write(": still here\n\n"); err != nil {
				return err
			}
		case <-renew.C:
			if err := st.renew(); err != nil {
				return err
			}
		}
	}
}

// renew finds out again who is reading and what they may see.
func (st *stream) renew() error {
	ctx, cancel := context.WithTimeout(st.ctx, renewWithin)
	defer cancel()
	who, err := st.req.renew(ctx)
	if err == nil && who.Tenant != st.req.who.Tenant {
		err = errGone // the session went on in another tenant
	}
	if err == nil {
		err = who.May(auth.ViewServices)
	}
	if err != nil {
		return errGone
	}
	st.req.who = who
	return nil
}

func (st *stream) read() (events []live.Event, err error) {
	err = st.s.InTx(st.ctx, st.req.who.Tenant, func(tx Tx) error {
		events, st.last, err = tx.EventsAfter(st.ctx, st.last, eventsAtATime)
		return err
	})
	return events, err
}

// send writes all events that have happened since the last look.
func (st *stream) send() error {
	for {
		events, err := st.read()
		if err != nil {
			if st.ctx.Err() != nil {
				return errGone
			}
			return err
		}
		for _, e := range events {
			if !st.wants(e) {
				continue
			}
			if err := st.event(e); err != nil {
				return err
			}
		}
		if len(events) < eventsAtATime {
			return nil
		}
	}
}

func (st *stream) wants(e live.Event) bool {
	if !st.req.who.Can(notify.Needs(e.Type)) || st.service != (service.ID{}) && e.Service != uuid.UUID(st.service) {
		return false
	}
	if len(st.types) == 0 {
		return true
	}
	return notify.Wanted(st.types, e.Type)
}

func (st *stream) event(e live.Event) error {
	body, err := json.Marshal(notify.Envelop(e))
	if err != nil {
		return err
	}
	return st.write("id: %s\nevent: %s\ndata: %s\n\n", e.ID, e.Type, body)
}

// write sends text on its way at once. A reader that does not take it in time is gone.
func (st *stream) write(format string, args ...any) error {
	if err := st.writing.SetWriteDeadline(time.Now().Add(writeWithin)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return errGone
	}
	if _, err := fmt.Fprintf(st.w, format, args...); err != nil {
		return errGone
	}
	if err := st.writing.Flush(); err != nil {
		return errGone
	}
	return nil
}
