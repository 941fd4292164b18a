// SPDX-License-Identifier: Apache-2.0

package notify_test

import (
	"bufio"
	"net/http"
	"net/textproto"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/syncline-dev/syncline/docs/docstest"
	"github.com/syncline-dev/syncline/internal/notify"
)

// The vector that the implementations of Standard Webhooks test themselves with.
func TestSignatureVector(t *testing.T) {
	got := notify.Sign([]notify.Secret{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("signed %s, want %s", got, want)
	}
}

// The worked example of docs/webhooks.md, by which others try out their own code.
func TestDocsWebhooks(t *testing.T) {
	page, err := os.ReadFile("../../docs/webhooks.md")
	if err != nil {
		t.Fatal(err)
	}
	secret := regexp.MustCompile("With the secret `(whsec_[^`]+)`").FindSubmatch(page)
	head, body, _ := strings.Cut(docstest.Blocks(page, "http")[0], "\n\n")
	r, err := textproto.NewReader(bufio.NewReader(strings.NewReader(head + "\n\n"))).ReadMIMEHeader()
	if err != nil || secret == nil {
		t.Fatalf("the page has no example: %v", err)
	}
	at, err := strconv.ParseInt(r.Get("webhook-timestamp"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	if got := notify.Sign([]notify.Secret{notify.Secret(secret[1])}, r.Get("webhook-id"), time.Unix(at, 0), []byte(strings.TrimSpace(body))); got != r.Get("webhook-signature") {
		t.Errorf("signed %s, the page says %s", got, r.Get("webhook-signature"))
	}
}

// The reference library verifies what we sign with either of two secrets, and nothing that was changed by a bit.
func TestSignaturesAreVerified(t *testing.T) {
	fresh, old, other := notify.NewSecret(), notify.NewSecret(), notify.NewSecret()
	body, now := []byte(`{"specversion":"1.0"}`), time.Now()
	header := func(id string, at time.Time) http.Header {
		h := http.Header{}
		h.Set("webhook-id", id)
		h.Set("webhook-timestamp", strconv.FormatInt(at.Unix(), 10))
		h.Set("webhook-signature", notify.Sign([]notify.Secret{fresh, old}, "7-1", now, body))
		return h
	}
	verify := func(s notify.Secret, h http.Header, body []byte) error {
		w, err := standard.NewWebhook(s.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		return w.Verify(body, h)
	}
	for _, s := range []notify.Secret{fresh, old} {
		if err := verify(s, header("7-1", now), body); err != nil {
			t.Errorf("with a secret that signed: %v", err)
		}
	}
	if verify(other, header("7-1", now), body) == nil {
		t.Error("another secret verifies it")
	}
	for i := range body {
		changed := append([]byte(nil), body...)
		changed[i] ^= 1
		if verify(fresh, header("7-1", now), changed) == nil {
			t.Errorf("byte %d may be changed", i)
		}
	}
	if verify(fresh, header("7-2", now), body) == nil || verify(fresh, header("7-1", now.Add(time.Second)), body) == nil {
		t.Error("id or time may be changed")
	}
	if strings.Contains(fresh.String(), fresh.Reveal()[10:]) {
		t.Error("the secret shows itself in logs")
	}
}

// docs/events.md has each type with its permission, and no other.
func TestEventsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(line, "|")
		if len(cells) != 6 {
			continue
		}
		for _, name := range regexp.MustCompile("`([a-z_.]+)`").FindAllStringSubmatch(cells[1], -1) {
			documented[name[1]] = strings.TrimSpace(cells[4])
		}
	}
	for _, typ := range notify.Types {
		if documented[typ.Name] != string(typ.Needs) {
			t.Errorf("%s takes %s, documented is %q", typ.Name, typ.Needs, documented[typ.Name])
		}
		delete(documented, typ.Name)
	}
	for name := range documented {
		t.Errorf("%s is documented and no type", name)
	}
}
