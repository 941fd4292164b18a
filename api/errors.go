// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/telemetry"
)

// problem is an RFC 9457 document. It is written here and nowhere else, so the generated type is not used.
type problem struct {
	Type      string         `json:"type"`
	Title     string         `json:"title"`
	Status    int            `json:"status"`
	Detail    string         `json:"detail"`
	Instance  string         `json:"instance"`
	Code      string         `json:"code"`
	RequestID string         `json:"requestId"`
	Errors    []problemField `json:"errors,omitempty"`
}

// problemField is one faulty place: in the body (a pointer, or line and column), or a parameter.
type problemField struct {
	fault.Field
	Parameter string `json:"parameter,omitempty"`
}

// httpError is a fault with what only HTTP knows of it.
type httpError struct {
	cause      *fault.Error
	status     int // 0: what the kind says
	retryAfter int // seconds; 0: not said
	parameters []problemField
}

func (e *httpError) Error() string { return e.cause.Error() }
func (e *httpError) Unwrap() error { return e.cause }

// statuses is the only place that knows which kind of fault has which status.
var statuses = map[fault.Kind]int{
	fault.Invalid:         http.StatusUnprocessableEntity,
	fault.Malformed:       http.StatusBadRequest,
	fault.Unauthenticated: http.StatusUnauthorized,
	fault.Forbidden:       http.StatusForbidden,
	fault.NotFound:        http.StatusNotFound,
	fault.Conflict:        http.StatusConflict,
	fault.Stale:           http.StatusPreconditionFailed,
	fault.Required:        http.StatusPreconditionRequired,
	fault.TooMany:         http.StatusTooManyRequests,
	fault.Unavailable:     http.StatusServiceUnavailable,
}

// titles say the kind of a problem for people.
var titles = map[int]string{
	http.StatusBadRequest:            "The request cannot be read",
	http.StatusUnauthorized:          "Not signed in",
	http.StatusForbidden:             "Not allowed",
	http.StatusNotFound:              "Not found",
	http.StatusMethodNotAllowed:      "Wrong method",
	http.StatusConflict:              "Not possible now",
	http.StatusPreconditionFailed:    "Changed meanwhile",
	http.StatusRequestEntityTooLarge: "Too large",
	http.StatusUnsupportedMediaType:  "Wrong media type",
	http.StatusUnprocessableEntity:   "Not valid",
	http.StatusPreconditionRequired:  "Precondition missing",
	http.StatusTooManyRequests:       "Too many requests",
	http.StatusInternalServerError:   "A fault of ours",
	http.StatusServiceUnavailable:    "Not available",
}

// fail answers with the error as a problem document.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	ctx := r.Context()
	req := of(ctx)
	telemetry.Add(ctx, slog.Any("error", err))
	if out, ok := w.(interface{ started() bool }); ok && out.started() {
		return // the answer is on its way already; there is nothing to be said any more
	}

	var h *httpError
	f := known(ctx, err)
	p := problem{Instance: r.URL.EscapedPath(), RequestID: req.id, Status: statuses[f.Kind], Code: f.Code, Detail: f.Message}
	for _, field := range f.Fields {
		p.Errors = append(p.Errors, problemField{Field: field})
	}
	if errors.As(err, &h) {
		if h.status != 0 {
			p.Status = h.status
		}
		p.Errors = append(p.Errors, h.parameters...)
		if h.retryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(h.retryAfter))
		}
	}
	if p.Status == 0 {
		p.Status = http.StatusInternalServerError
	}
	if p.Status == http.StatusServiceUnavailable && w.Header().Get("Retry-After") == "" {
		w.Header().Set("Retry-After", "1")
	}
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="syncline"`)
	}
	p.Type, p.Title = s.page(p.Code), titles[p.Status]
	telemetry.Add(ctx, slog.String("code", p.Code))
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Del("ETag")
	w.WriteHeader(p.Status)
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // texts and numbers
	}
	_, _ = w.Write(append(body, '\n')) // whoever asked may be gone
}

// known is what a caller is told of an error: the fault in it, else that it is ours.
func known(ctx context.Context, err error) *fault.Error {
	f := fault.As(err)
	switch {
	case f != nil:
		return f
	case errors.Is(err, context.DeadlineExceeded):
		return fault.Wrap(err, fault.Unavailable, "request.timeout", "The request took too long and was given up. Try again.")
	case ctx.Err() != nil:
		return fault.Wrap(err, fault.Unavailable, "request.cancelled", "The connection was closed before the request was done.")
	}
	// No kind: fail makes it a 500.
	return fault.Wrap(err, 0, "request.failed", "Something went wrong on our side. Try again; if it goes on, ask for help and name the request id.")
}

// page is where the code is explained.
func (s *server) page(code string) string {
	return strings.TrimSuffix(s.PublicURL, "/") + "/docs/errors/" + code
}

// unreadable answers what the generated code could not decode although it passed the check: a fault of ours, but one that
// the caller may get round.
func (s *server) unreadable(w http.ResponseWriter, r *http.Request, err error) {
	s.fail(w, r, fault.Wrap(err, fault.Malformed, "request.malformed", "The request cannot be read: %v.", err))
}

func addressUnknown(r *http.Request) error {
	return fault.New(fault.NotFound, "request.address_unknown", "There is nothing at %s. All addresses are listed in /v1/openapi.json.", r.URL.Path)
}

// methodNotAllowed names the methods that the address has.
func methodNotAllowed(root chi.Router, w http.ResponseWriter, r *http.Request) error {
	path := r.URL.RawPath
	if path == "" {
		path = r.URL.Path
	}
	var allowed []string
	for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		if root.Match(chi.NewRouteContext(), m, path) {
			allowed = append(allowed, m)
		}
	}
	list := strings.Join(allowed, ", ")
	w.Header().Set("Allow", list)
	return &httpError{status: http.StatusMethodNotAllowed, cause: fault.New(fault.Malformed, "request.method_not_allowed", "%s cannot be done here; %s can.", r.Method, list)}
}

func tooLargeOrBroken(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return &httpError{status: http.StatusRequestEntityTooLarge, cause: fault.Wrap(err, fault.Malformed, "request.too_large", "The body has more than %d bytes.", large.Limit)}
	}
	return fault.Wrap(err, fault.Malformed, "request.malformed", "The body could not be read to its end.")
}
