// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/telemetry"
)

// Check is something that must work for the process to take requests.
type Check struct {
	Name string // "database"
	Ask  func(ctx context.Context) error
}

// checkTimeout is how long one check may take.
const checkTimeout = 2 * time.Second

func (s *server) Livez(context.Context, spec.LivezRequestObject) (spec.LivezResponseObject, error) {
	return spec.Livez200TextResponse("ok\n"), nil
}

func (s *server) Readyz(ctx context.Context, req spec.ReadyzRequestObject) (spec.ReadyzResponseObject, error) {
	var text strings.Builder
	ready := true
	for _, c := range s.Ready {
		asking, cancel := context.WithTimeout(ctx, checkTimeout)
		err := c.Ask(asking)
		cancel()
		switch {
		case err != nil:
			// Why is for the log: whoever asks here has not said who they are.
			telemetry.Add(ctx, slog.String("notReady", c.Name), slog.Any("error", err))
			ready = false
			text.WriteString("[-] " + c.Name + " failed\n")
		case req.Params.Verbose != nil:
			text.WriteString("[+] " + c.Name + " ok\n")
		}
	}
	if !ready {
		return spec.Readyz503TextResponse(text.String() + "not ready\n"), nil
	}
	return spec.Readyz200TextResponse(text.String() + "ok\n"), nil
}

func (s *server) GetVersion(context.Context, spec.GetVersionRequestObject) (spec.GetVersionResponseObject, error) {
	return spec.GetVersion200JSONResponse{Version: s.Version, Go: runtime.Version()}, nil
}

// written is an answer that is there as text already.
type written struct {
	contentType string
	body        []byte
}

func (a written) write(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", a.contentType)
	w.Header().Set("Cache-Control", "public, max-age=300")
	w.WriteHeader(http.StatusOK)
	_, err := w.Write(a.body)
	return err
}

func (a written) VisitGetOpenapiResponse(w http.ResponseWriter) error       { return a.write(w) }
func (a written) VisitGetServiceSchemaResponse(w http.ResponseWriter) error { return a.write(w) }

func (s *server) GetOpenapi(context.Context, spec.GetOpenapiRequestObject) (spec.GetOpenapiResponseObject, error) {
	return written{"application/json", s.openapi}, nil
}

func (s *server) GetServiceSchema(context.Context, spec.GetServiceSchemaRequestObject) (spec.GetServiceSchemaResponseObject, error) {
	return written{"application/schema+json", service.Schema()}, nil
}
