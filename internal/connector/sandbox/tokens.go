// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Issuer is how a vendor's token endpoint gives out tokens (RFC 6749 sections 3.2 and 6).
type Issuer struct {
	Life   time.Duration // of an access token
	Next   bool          // each answer has another refresh token
	Once   bool          // as Next, and a refresh token is good once: one that was used ends everything that came of it
	Ends   time.Duration // of a refresh token, told as refresh_expires_in; 0 says nothing
	Basic  bool          // an app with a secret proves itself in Authorization and nowhere else
	Public bool          // an app may have no secret
	Others []string      // more grant types that are taken as they come
}

// Issue answers a call of the token endpoint.
func (x *Exchange) Issue(by Issuer) {
	fail := func(problem, says string) {
		status := http.StatusBadRequest
		if problem == "invalid_client" {
			status = http.StatusUnauthorized
		}
		x.Say(status, map[string]any{"error": problem, "error_description": says})
	}
	answer := map[string]any{"token_type": "Bearer", "expires_in": int(by.Life.Seconds())}
	grant, given := x.Form.Get("grant_type"), x.Form.Get("refresh_token")
	if by.Basic && (x.Form.Get("client_secret") != "" || !strings.HasPrefix(x.Header.Get("Authorization"), "Basic ") && !by.Public) {
		fail("invalid_client", "The client proves itself in the header Authorization.")
		return
	}
	switch {
	case grant == "refresh_token":
		good, known := x.W.Grants[given]
		if known && !good { // somebody uses it a second time: it may have been stolen
			clear(x.W.Grants)
		}
		if !good && !strings.HasPrefix(given, "sandbox_") {
			fail("invalid_grant", "The refresh token has ended, was taken back, or was used before.")
			return
		}
		if by.Once && good {
			x.W.Grants[given] = false
		}
		if by.Next || by.Once {
			answer["refresh_token"] = x.Refresh()
		}
	case grant == "authorization_code":
		refresh, scope, problem := x.redeem(by.Public)
		if problem != "" {
			fail(problem, "The code is not known, has ended or was used, or it is another app's.")
			return
		}
		if refresh != "" {
			answer["refresh_token"] = refresh
		}
		if scope != "" {
			answer["scope"] = scope
		}
	case slices.Contains(by.Others, grant):
	default:
		fail("unsupported_grant_type", "There is no such grant type here.")
		return
	}
	if by.Ends > 0 && answer["refresh_token"] != nil {
		answer["refresh_expires_in"] = int(by.Ends.Seconds())
	}
	answer["access_token"] = x.Grant(by.Life)
	x.Say(http.StatusOK, answer)
}

// client is the app that asks, by its form or by Authorization.
func (x *Exchange) client() (id, secret string) {
	r := http.Request{Header: x.Header}
	if user, pass, ok := r.BasicAuth(); ok {
		id, err := url.QueryUnescape(user)
		if err != nil {
			return "", ""
		}
		if secret, err = url.QueryUnescape(pass); err != nil {
			return "", ""
		}
		return id, secret
	}
	return x.Form.Get("client_id"), x.Form.Get("client_secret")
}
