// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/notify"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/store/storetest"
	"github.com/syncline-dev/syncline/internal/webhook"
)

// An endpoint is added, tested, paused, made active, changed and removed by its pages, and a receiver hears of it.
func TestWebhookPages(t *testing.T) {
	h := newHouse(t)
	heard := make(chan string, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		heard <- string(body)
		_, _ = io.WriteString(w, "<b>heard</b>")
	}))
	t.Cleanup(receiver.Close)
	db := storetest.Open(t, h.database, nil)
	guard, err := connection.NewGuard(connection.GuardOptions{AllowLoopback: true})
	h.must(err)
	sender := notify.NewSender(store.InTx(db, func(tx *store.Tx) notify.SendTx { return tx }), db.Operator(), storetest.Vault(t), webhook.New(guard.Dial, webhook.Timeout).Post, h.deps.Log)

	c := h.signedIn(ownerEmail)
	post := func(path string, form url.Values) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.url+path, strings.NewReader(form.Encode()))
		h.must(err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res, err := c.Do(req)
		h.must(err)
		defer func() { _ = res.Body.Close() }() // it was read
		body, err := io.ReadAll(res.Body)
		h.must(err)
		return res.StatusCode, string(body)
	}
	page := func(path string) string {
		t.Helper()
		res, body := h.do(c, http.MethodGet, path)
		if res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d", path, res.StatusCode)
		}
		return body
	}
	if status, body := post("/settings/webhooks", url.Values{"name": {"Bot"}, "url": {"nowhere"}, "types": {"conflict\norder.placed"}}); status != http.StatusUnprocessableEntity || !strings.Contains(body, "This is not the address of a server.") || !strings.Contains(body, "No event is called &#34;order.placed&#34;.") {
		t.Errorf("refused: %d %s", status, body)
	}
	status, body := post("/settings/webhooks", url.Values{"name": {"Bot"}, "url": {receiver.URL}, "types": {"conflict, webhook.*"}})
	found := regexp.MustCompile(`/settings/webhooks/(whk_[0-9a-z]+):test`).FindStringSubmatch(body)
	if status != http.StatusOK || found == nil || !strings.Contains(body, "whsec_") {
		t.Fatalf("made: %d %s", status, body)
	}
	path := "/settings/webhooks/" + found[1]
	if strings.Contains(page(path), "whsec_") {
		t.Error("the secret is shown again")
	}
	post(path+":test", nil)
	h.must(sender.Drain(context.Background()))
	if got := <-heard; !strings.Contains(got, "dev.syncline.webhook.test.v1") {
		t.Errorf("the receiver heard %s", got)
	}
	shown := page(path)
	delivery := regexp.MustCompile(`delivery=(whd_[0-9a-z]+)`).FindStringSubmatch(shown)
	if delivery == nil || !strings.Contains(shown, "webhook.test") {
		t.Fatalf("the deliveries: %s", shown)
	}
	if body := page(path + "?delivery=" + delivery[1]); !strings.Contains(body, "&lt;b&gt;heard&lt;/b&gt;") {
		t.Errorf("the delivery: %s", body)
	}
	post(path+"/deliveries/"+delivery[1]+":resend", nil)
	h.must(sender.Drain(context.Background()))
	<-heard
	post(path+":pause", nil)
	if body := page("/settings/webhooks"); !strings.Contains(body, "Paused") {
		t.Errorf("the list: %s", body)
	}
	post(path+":activate", nil)
	if status, body := post(path+":rotate", nil); status != http.StatusOK || !strings.Contains(body, "whsec_") || !strings.Contains(body, "Two secrets until") {
		t.Errorf("rotated: %d %s", status, body)
	}
	post(path, url.Values{"name": {"On-call bot"}, "url": {receiver.URL}, "types": {""}})
	if body := page(path); !strings.Contains(body, "On-call bot") || !strings.Contains(body, "All but the frequent ones") {
		t.Errorf("changed: %s", body)
	}
	post(path+":resend", url.Values{"since": {"24"}})
	post(path+":delete", url.Values{"confirm": {"On-call bot"}})
	if body := page("/settings/webhooks"); !strings.Contains(body, "No endpoint yet") {
		t.Errorf("after removing it: %s", body)
	}
	h.member("fin@harbour.example", auth.Finance)
	if res, _ := h.do(h.signedIn("fin@harbour.example"), http.MethodGet, "/settings/webhooks"); res.StatusCode != http.StatusForbidden {
		t.Errorf("finance is answered %d", res.StatusCode)
	}
}
