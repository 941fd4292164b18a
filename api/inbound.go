// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// InboundPath is where systems tell of changes: /hooks/{tenant}/{connection}.
const InboundPath = "/hooks/ten_"

// Inbound takes the messages by which systems tell of changes. They are verified on the bytes as they came; what they tell of is
// kept in one commit, which wakes whoever reads, so the answer is quick. publicURL is the address by which systems know this
// installation: some sign it.
func Inbound(receive func(ctx context.Context, id tenant.ID, ref string, in connector.Inbound) (connector.Verdict, error), publicURL string, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
		if len(parts) != 3 {
			http.NotFound(w, r)
			return
		}
		id, err := ident.Parse(ident.Tenant, parts[1])
		if _, bad := ident.Parse(ident.Connection, parts[2]); err != nil || bad != nil {
			http.NotFound(w, r)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxMessage))
		if err != nil {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		base := strings.TrimRight(publicURL, "/")
		if base == "" {
			base = "http://" + r.Host
		}
		verdict, err := receive(r.Context(), tenant.ID(id), parts[2], connector.Inbound{Method: r.Method, URL: base + r.URL.RequestURI(), Header: r.Header, Body: body, Now: time.Now()})
		switch kind := fault.KindOf(err); {
		case err == nil:
		case kind == fault.NotFound:
			http.NotFound(w, r)
			return
		case kind == fault.Unauthenticated:
			w.WriteHeader(http.StatusUnauthorized)
			return
		case kind == fault.Malformed:
			w.WriteHeader(http.StatusBadRequest)
			return
		default: // it comes again
			log.ErrorContext(r.Context(), "a system's message could not be taken", "connection", parts[2], "error", err)
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		for name, value := range verdict.Header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(verdict.Status)
		_, _ = io.WriteString(w, verdict.Body)
	})
}
