// SPDX-License-Identifier: Apache-2.0

package sandbox_test

import (
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector/salesforce"
	"github.com/syncline-dev/syncline/internal/connector/sandbox"
)

// A code is good once, for who asked, at the address that it was asked for, with the verifier, and for a short while.
func TestCodesAreGoodOnce(t *testing.T) {
	now := time.Now()
	world := sandbox.NewWorld(func() time.Time { return now }, 1)
	server := httptest.NewServer(sandbox.NewServer(&salesforce.Simulator{}, world, true))
	t.Cleanup(server.Close)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	const verifier = "a verifier that is long enough to be one, 43 letters"
	sum := sha256.Sum256([]byte(verifier))
	question := url.Values{"response_type": {"code"}, "client_id": {"app"}, "redirect_uri": {"https://sync.example.com/back?x=1"}, "scope": {"api refresh_token"}, "state": {"s"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}
	with := func(v url.Values, name, value string) url.Values {
		out := url.Values{}
		for k := range v {
			out[k] = v[k]
		}
		if out.Set(name, value); value == "" {
			out.Del(name)
		}
		return out
	}
	send := func(method, path string, form url.Values) (*http.Response, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res, string(body)
	}
	authorize := func(q url.Values, form url.Values) (*http.Response, string, url.Values) {
		t.Helper()
		method := http.MethodPost
		if form == nil {
			method = http.MethodGet
		}
		res, body := send(method, "/services/oauth2/authorize?"+q.Encode(), form)
		to, err := url.Parse(res.Header.Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		return res, body, to.Query()
	}
	allow := url.Values{"decision": {"allow"}}

	if res, page, _ := authorize(question, nil); res.StatusCode != http.StatusOK || !strings.Contains(page, "Allow") || !strings.Contains(page, "through the API") {
		t.Errorf("the page is %d %s", res.StatusCode, page)
	}
	// What cannot be sent back safely is said on the page.
	for _, q := range []url.Values{with(question, "client_id", ""), with(question, "redirect_uri", ""), with(question, "redirect_uri", "/back"), with(question, "redirect_uri", "https://a.example/#x")} {
		if res, page, _ := authorize(q, allow); res.StatusCode != http.StatusBadRequest || res.Header.Get("Location") != "" || !strings.Contains(page, "cannot be given access") {
			t.Errorf("%v: %d %s", q, res.StatusCode, page)
		}
	}
	for want, q := range map[string]url.Values{"invalid_scope": with(question, "scope", "everything"), "unsupported_response_type": with(question, "response_type", "token"), "invalid_request": with(question, "code_challenge", "")} {
		if _, _, back := authorize(q, allow); back.Get("error") != want || back.Get("state") != "s" || back.Get("x") != "1" {
			t.Errorf("%s: %v", want, back)
		}
	}
	if _, _, back := authorize(question, url.Values{"decision": {"deny"}}); back.Get("error") != "access_denied" || back.Get("code") != "" {
		t.Errorf("after a no: %v", back)
	}
	redeem := func(change func(url.Values)) int {
		t.Helper()
		_, _, back := authorize(question, allow)
		if back.Get("code") == "" || back.Get("state") != "s" {
			t.Fatalf("after a yes: %v", back)
		}
		form := url.Values{"grant_type": {"authorization_code"}, "code": {back.Get("code")}, "client_id": {"app"}, "client_secret": {"secret"}, "redirect_uri": question["redirect_uri"], "code_verifier": {verifier}}
		change(form)
		res, _ := send(http.MethodPost, "/services/oauth2/token", form)
		if again, _ := send(http.MethodPost, "/services/oauth2/token", form); again.StatusCode != http.StatusBadRequest {
			t.Errorf("a code is taken twice: %d", again.StatusCode)
		}
		return res.StatusCode
	}
	if status := redeem(func(url.Values) {}); status != 200 {
		t.Errorf("redeeming: %d", status)
	}
	for what, change := range map[string]func(url.Values){
		"another verifier": func(f url.Values) { f.Set("code_verifier", "another") }, "no verifier": func(f url.Values) { f.Del("code_verifier") }, "another app": func(f url.Values) { f.Set("client_id", "other") },
		"another address": func(f url.Values) { f.Set("redirect_uri", "https://sync.example.com/other") }, "no secret": func(f url.Values) { f.Del("client_secret") }, "too late": func(url.Values) { now = now.Add(2 * time.Minute) },
	} {
		if status := redeem(change); status != 400 {
			t.Errorf("%s: %d", what, status)
		}
	}
}
