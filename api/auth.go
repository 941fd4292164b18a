// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"log/slog"
	"net/http"
	"strings"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/telemetry"
)

// authenticate finds out who is asking: the key in the Authorization header, else the session of the dashboard's cookie.
func (s *server) authenticate(w http.ResponseWriter, r *http.Request, req *request) error {
	from := auth.Caller{IP: s.ClientIP(r), UserAgent: r.UserAgent(), RequestID: req.id}
	var err error
	if req.renew, err = s.credential(r, from); err == nil {
		req.who, err = req.renew(r.Context())
	}
	if err != nil {
		// Who has a good key is not shut out by others at the same address who have none.
		if fault.KindOf(err) == fault.Unauthenticated {
			if _, _, ok := s.limits.take("ip:"+from.IP, wrongGuesses); !ok {
				return tooMany()
			}
		}
		return err
	}
	telemetry.Add(r.Context(), slog.String("tenant", req.who.Tenant.String()), slog.String("actor", req.who.ID))
	return s.limit(w, req.who.ID)
}

// credential returns the way to find out who is asking.
func (s *server) credential(r *http.Request, from auth.Caller) (func(context.Context) (auth.Principal, error), error) {
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, key, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return nil, fault.New(fault.Unauthenticated, "auth.credentials_missing", "The Authorization header must be: Bearer, a space, and an API key.")
		}
		return func(ctx context.Context) (auth.Principal, error) {
			return s.Auth.ByKey(ctx, strings.TrimSpace(key), from)
		}, nil
	}
	cookie, err := r.Cookie(s.SessionCookie)
	if err != nil || cookie.Value == "" {
		return nil, fault.New(fault.Unauthenticated, "auth.credentials_missing", "Send an API key in the header Authorization: Bearer sl_live_...; make one under Settings, API keys.")
	}
	// A browser sends the cookie along whoever's page makes the request; only our own may change something with it.
	if err := s.origins.Check(r); err != nil {
		return nil, fault.Wrap(err, fault.Forbidden, "auth.cross_origin", "With a session, changes are taken from the dashboard's own pages only. Programs use an API key.")
	}
	return func(ctx context.Context) (auth.Principal, error) {
		session, err := s.Auth.BySession(ctx, auth.Token(cookie.Value))
		if err != nil {
			return auth.Principal{}, err
		}
		return session.Principal(from), nil
	}, nil
}
