// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/telemetry"
)

// Limits of a request. The longest operation asks an outside system and gives it 20 s.
const (
	maxBody        = 1 << 20 // bytes
	requestTimeout = 30 * time.Second
)

// request is what is known of the request being served.
type request struct {
	id   string
	op   *operation
	who  auth.Principal
	body []byte // of operations that have one
	// renew finds out again who is asking; event streams do now and then.
	renew func(ctx context.Context) (auth.Principal, error)
	// scope is what a cursor is bound to beside the tenant: the address with everything but limit and cursor.
	scope string
}

type requestKey struct{}

// of returns the request being served.
func of(ctx context.Context) *request { return ctx.Value(requestKey{}).(*request) }

// who returns whoever is acting.
func who(ctx context.Context) auth.Principal { return of(ctx).who }

// observe gives every request an id, a log event and a figure, and turns panics into answers.
func (s *server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req := &request{id: ident.Format(ident.Request, uuid.Must(uuid.NewV7()))}
		ctx, event := telemetry.Begin(context.WithValue(r.Context(), requestKey{}, req), "request",
			slog.String("request", req.id), slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.String("ip", s.ClientIP(r)))
		r = r.WithContext(ctx)
		out := &watched{ResponseWriter: w}
		h := out.Header()
		h.Set("X-Request-Id", req.id)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		defer func() {
			level := slog.LevelInfo
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so too
					panic(p)
				}
				event.Add(slog.String("panic", fmt.Sprint(p)), slog.String("stack", string(debug.Stack())))
				if out.status == 0 {
					s.fail(out, r, errors.New("panic"))
				}
			}
			operation := ""
			if req.op != nil {
				operation = req.op.id
			}
			if out.status >= http.StatusInternalServerError {
				level = slog.LevelError
			}
			event.Add(slog.String("operation", operation), slog.Int("status", out.status), slog.Int64("bytes", out.bytes))
			event.End(ctx, s.Log, level)
			s.Metrics.Request(operation, out.status, event.Took())
		}()
		next.ServeHTTP(out, r)
	})
}

// operate takes a request that was brought to an operation through everything that is the same for all.
func (s *server) operate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req := of(r.Context())
		req.op = s.ops[r.Method+" "+chi.RouteContext(r.Context()).RoutePattern()]
		if err := s.prepare(w, r, req); err != nil {
			s.fail(w, r, err)
			return
		}
		if r.Method == http.MethodGet && !req.op.stream {
			// It may be kept, but is to be asked about each time; the ETag makes that cheap.
			w.Header().Set("Cache-Control", "private, no-cache")
		}
		if !req.op.stream {
			ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
			defer cancel()
			r = r.WithContext(ctx)
		}
		s.idempotent(w, r, next)
	})
}

// prepare authenticates, limits and checks a request.
func (s *server) prepare(w http.ResponseWriter, r *http.Request, req *request) error {
	switch {
	case !req.op.public:
		if err := s.authenticate(w, r, req); err != nil {
			return err
		}
	case r.Method == http.MethodPost: // anybody may ask, but not without end
		if err := s.limit(w, "anybody:"+s.ClientIP(r)); err != nil {
			return err
		}
	}
	if len(req.op.bodies) > 0 {
		b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			return tooLargeOrBroken(err)
		}
		req.body = b
		r.Body = io.NopCloser(bytes.NewReader(b))
	}
	if err := req.op.check(r, req.body); err != nil {
		return err
	}
	req.scope = scopeOf(r)
	if req.op.rawBody {
		// The handler takes the text as it was sent, so that findings name its lines; the generated decoder must not look.
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
			r.Body = io.NopCloser(strings.NewReader("null"))
		}
	}
	return nil
}

// scopeOf is the address without limit and cursor.
func scopeOf(r *http.Request) string {
	q := r.URL.Query()
	q.Del("limit")
	q.Del("cursor")
	return r.URL.EscapedPath() + "?" + q.Encode()
}

// otherEnd is the address of the connection's other end.
func otherEnd(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// watched notes status and size of an answer.
type watched struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *watched) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *watched) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// started says whether the answer has begun.
func (w *watched) started() bool { return w.status != 0 }

// Unwrap is for http.ResponseController.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }
