// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/manifest"
	"github.com/syncline-dev/syncline/internal/fault"
)

const (
	snsTopic   = "arn:aws:sns:eu-west-1:123456789012:orders"
	snsHost    = "sns.eu-west-1.amazonaws.com"
	snsCertURL = "https://" + snsHost + "/SimpleNotificationService-0000000000000000000000.pem"
	snsWebhook = `webhook:
  verify: [{kind: sns, topic: "{settings.topicArn}"}]
  unwrap: Message
  events: Records
  type: eventName
  key: s3.object.key
  objects: {"ObjectCreated:": things, "ObjectRemoved:": things}
`
)

// snsWorld is Amazon as far as these messages need it: a certificate and who asked for what.
type snsWorld struct {
	t      *testing.T
	signer *rsa.PrivateKey
	cert   string // the signing certificate, in PEM
	env    connector.Env

	mu     sync.Mutex
	dialed []string
	asked  []string
	down   bool
}

func (w *snsWorld) certificate(key *rsa.PrivateKey, names []string, from, until time.Time) []byte {
	w.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sns.amazonaws.com"}, DNSNames: names, NotBefore: from, NotAfter: until, IsCA: true, BasicConstraintsValid: true},
		&x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sns.amazonaws.com"}}, &key.PublicKey, key)
	if err != nil {
		w.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func newSNS(t *testing.T, now time.Time) *snsWorld {
	t.Helper()
	w := &snsWorld{t: t}
	var err error
	if w.signer, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	w.cert = string(w.certificate(w.signer, nil, now.Add(-time.Hour), now.Add(time.Hour*24*365)))
	own, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	shown := w.certificate(own, []string{snsHost}, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(shown)
	block, _ := pem.Decode(shown)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.asked = append(w.asked, r.Host+r.URL.RequestURI())
		switch {
		case r.Header.Get("Authorization") != "":
			t.Error("the connection's proof went to SNS")
		case w.down:
			out.WriteHeader(http.StatusServiceUnavailable)
		case strings.HasSuffix(r.URL.Path, ".pem"):
			_, _ = out.Write([]byte(w.cert))
		}
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{block.Bytes}, PrivateKey: own}}}
	server.StartTLS()
	t.Cleanup(server.Close)
	w.env = connector.Env{Tenant: "ten_1", Consumer: "con_1", TLS: &tls.Config{RootCAs: roots}, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		w.mu.Lock()
		w.dialed = append(w.dialed, address)
		w.mu.Unlock()
		if address != snsHost+":443" {
			return nil, errors.New("not here")
		}
		return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
	}}
	return w
}

func (w *snsWorld) nowhereElse() {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if slices.ContainsFunc(w.dialed, func(a string) bool { return a != snsHost+":443" }) {
		w.t.Errorf("called were %v", w.dialed)
	}
}

// be changes what Amazon has and whether it answers.
func (w *snsWorld) be(cert string, down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cert, w.down = cert, down
}

func (w *snsWorld) seen() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := strings.Join(w.asked, " ")
	w.asked = nil
	return out
}

// message is one as SNS sends it: what is in parts replaces what it would say, and is signed; what is in forged is changed afterwards.
func (w *snsWorld) message(version string, at time.Time, parts, forged map[string]any) []byte {
	w.t.Helper()
	m := map[string]any{"Type": "Notification", "MessageId": "da41e39f-ea4d-435a-b922-c6aae3915ebe", "TopicArn": snsTopic, "Message": `{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"eu-west-1","eventTime":"2026-11-23T09:00:00.000Z","eventName":"ObjectCreated:Put","s3":{"s3SchemaVersion":"1.0","bucket":{"name":"shop","arn":"arn:aws:s3:::shop"},"object":{"key":"7","size":11,"eTag":"d41d8cd98f00b204e9800998ecf8427e","sequencer":"0055AED6DCD90281E5"}}}]}`,
		"Timestamp": at.UTC().Format("2006-01-02T15:04:05.000Z"), "SignatureVersion": version, "SigningCertURL": snsCertURL,
		"UnsubscribeURL": "https://" + snsHost + "/?Action=Unsubscribe&SubscriptionArn=arn:aws:sns:eu-west-1:123456789012:orders:2bcfbf39-05c3-41de-beaa-fcfcc21c8f55"}
	for k, v := range parts {
		m[k] = v
	}
	names := []string{"Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"}
	if m["Type"] != "Notification" {
		names = []string{"Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"}
	}
	var text strings.Builder
	for _, n := range names {
		if v, there := m[n]; there && v != nil {
			fmt.Fprintf(&text, "%s\n%s\n", n, v)
		}
	}
	hash, sum := crypto.SHA1, sha1.Sum([]byte(text.String()))
	digest := sum[:]
	if version == "2" {
		long := sha256.Sum256([]byte(text.String()))
		hash, digest = crypto.SHA256, long[:]
	}
	signature, err := rsa.SignPKCS1v15(rand.Reader, w.signer, hash, digest)
	if err != nil {
		w.t.Fatal(err)
	}
	m["Signature"] = base64.StdEncoding.EncodeToString(signature)
	for k, v := range forged {
		m[k] = v
	}
	b, err := json.Marshal(m)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

func snsConnector(t *testing.T, more string) (*manifest.Connector, connector.Settings) {
	t.Helper()
	return hooked(t, "https://api.example", "settings: [{name: topicArn}, {name: secret, secret: true}]\nauth: [{kind: bearer, token: \"{settings.secret}\"}]\n"+more), connector.Settings{"topicArn": snsTopic, "secret": "s3"}
}

// Both versions of the signature hold, with and without a subject, the certificate is fetched once, and a message that is another's, old,
// changed, or that names a certificate elsewhere proves nothing; what can be seen without the certificate makes nobody ask for it.
func TestSNSSignatures(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	w := newSNS(t, now)
	c, settings := snsConnector(t, snsWebhook)
	send := func(body []byte, at time.Time) (manifest.Verdict, error) {
		return c.Inbound(t.Context(), settings, w.env, manifest.Inbound{Method: "POST", URL: "https://sync.example/hooks/1", Header: http.Header{"X-Amz-Sns-Message-Type": {"Notification"}, "Content-Type": {"text/plain; charset=UTF-8"}}, Body: body, Now: at})
	}
	nothing := map[string]any(nil)
	for name, body := range map[string][]byte{
		"version 1": w.message("1", now, nothing, nothing), "version 2": w.message("2", now, nothing, nothing), "with a subject": w.message("2", now, map[string]any{"Subject": "Amazon S3 Notification"}, nothing),
		"a subject of null": w.message("1", now, map[string]any{"Subject": nil}, nothing), "59 minutes old": w.message("2", now.Add(-59*time.Minute), nothing, nothing),
	} {
		v, err := send(body, now)
		if err != nil || v.Status != 200 || len(v.Hints) != 1 || v.Hints[0].Object != "things" || v.Hints[0].Key != "7" {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
	if got := w.seen(); got != strings.TrimPrefix(snsCertURL, "https://") {
		t.Errorf("asked was %s", got)
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	mine := w.signer
	w.signer = other
	byOther := w.message("2", now, nothing, nothing)
	w.signer = mine
	for name, body := range map[string][]byte{
		"another message": w.message("1", now, nothing, map[string]any{"Message": "{}"}), "another time": w.message("2", now, nothing, map[string]any{"Timestamp": "2026-11-23T09:00:01.000Z"}),
		"a subject put in": w.message("2", now, nothing, map[string]any{"Subject": "x"}), "another's key": byOther, "an old one": w.message("2", now.Add(-61*time.Minute), nothing, nothing),
		"another topic, well signed": w.message("2", now, map[string]any{"TopicArn": "arn:aws:sns:eu-west-1:999999999999:orders"}, nothing), "version 2 said to be 1": w.message("2", now, nothing, map[string]any{"SignatureVersion": "1"}),
		"version 3": w.message("2", now, nothing, map[string]any{"SignatureVersion": "3"}), "no signature": w.message("2", now, nothing, map[string]any{"Signature": ""}), "no message of SNS": []byte(`{"Records":[]}`), "no JSON": []byte(`x`),
	} {
		if _, err := send(body, now); !fault.IsCode(err, "webhook.unverified") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Elsewhere: whoever sends such a message has a certificate of their own there.
	for _, address := range []string{"https://evil.example/a.pem", "http://" + snsHost + "/a.pem", "https://" + snsHost + ".evil.example/a.pem", "https://evil.example/?" + snsHost + "/a.pem", "https://user@" + snsHost + "/a.pem", "https://" + snsHost + ":8443/a.pem",
		"https://sns.us-east-1.amazonaws.com/a.pem", "https://s3.eu-west-1.amazonaws.com/bucket/a.pem", "https://" + snsHost + "@evil.example/a.pem", "https://" + snsHost + "/a.txt", "https://" + snsHost + "/?Action=Subscribe&x=.pem", "https://169.254.169.254/a.pem", "::", ""} {
		if _, err := send(w.message("2", now, nothing, map[string]any{"SigningCertURL": address}), now); !fault.IsCode(err, "webhook.unverified") {
			t.Errorf("with its certificate at %s: %v", address, err)
		}
	}
	if got := w.seen(); got != "" {
		t.Errorf("asked was %s", got)
	}
	w.nowhereElse()
	// A certificate that is none, one that has ended, and an Amazon that does not answer, of which each message comes again.
	at := func(path string) map[string]any {
		return map[string]any{"SigningCertURL": "https://" + snsHost + path}
	}
	good := w.cert
	for path, cert := range map[string]string{"/none.pem": "nonsense", "/ended.pem": string(w.certificate(mine, nil, now.Add(-48*time.Hour), now.Add(-24*time.Hour)))} {
		w.be(cert, false)
		if _, err := send(w.message("2", now, nothing, at(path)), now); !fault.IsCode(err, "webhook.unverified") {
			t.Errorf("%s: %v", path, err)
		}
	}
	w.be(good, true)
	if _, err := send(w.message("2", now, nothing, at("/later.pem")), now); err == nil || fault.As(err) != nil || connector.Classify(err).Class != connector.Retry {
		t.Errorf("while SNS is down: %v", err)
	}
	w.be(good, false)
	if _, err := send(w.message("2", now, nothing, at("/later.pem")), now); err != nil {
		t.Errorf("when it is back: %v", err)
	}
	// Past the guard against private addresses goes nothing.
	w.env.Consumer, w.env.Dial = "con_2", func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("a private address") }
	if v, err := send(w.message("2", now, nothing, nothing), now); err == nil || len(v.Hints) != 0 {
		t.Errorf("past the guard: %+v, %v", v, err)
	}
	settings["topicArn"] = ""
	if _, err := send(w.message("2", now, nothing, nothing), now); !fault.IsCode(err, "webhook.unverified") {
		t.Errorf("without a topic: %v", err)
	}
}

// A topic asks whether the subscription is wanted: what is proven and of the topic that is meant is confirmed at Amazon's own address, and nothing
// is fetched for anybody else.
func TestSNSConfirmation(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	w := newSNS(t, now)
	c, settings := snsConnector(t, snsWebhook)
	send := func(body []byte) (manifest.Verdict, error) {
		return c.Inbound(t.Context(), settings, w.env, manifest.Inbound{Method: "POST", URL: "https://sync.example/hooks/1", Header: http.Header{}, Body: body, Now: now})
	}
	const path = "/?Action=ConfirmSubscription&TopicArn=arn:aws:sns:eu-west-1:123456789012:orders&Token=2336412f37fb687f5d51e6e241d59b68"
	ask := func(more map[string]any) map[string]any {
		out := map[string]any{"Type": "SubscriptionConfirmation", "Token": "2336412f37fb687f5d51e6e241d59b68", "Message": "You have chosen to subscribe to the topic " + snsTopic + ".\nTo confirm the subscription, visit the SubscribeURL included in this message.", "SubscribeURL": "https://" + snsHost + path}
		for k, v := range more {
			out[k] = v
		}
		return out
	}
	for _, version := range []string{"1", "2"} {
		w.seen()
		if v, err := send(w.message(version, now, ask(nil), nil)); err != nil || v.Status != 200 || len(v.Hints) != 0 {
			t.Errorf("version %s: %+v, %v", version, v, err)
		}
		if got := w.seen(); !strings.HasSuffix(got, snsHost+path) {
			t.Errorf("version %s: asked was %s", version, got)
		}
	}
	for name, body := range map[string][]byte{
		"another address": w.message("2", now, ask(nil), map[string]any{"SubscribeURL": "https://" + snsHost + "/?Action=Other"}), "another topic": w.message("2", now, ask(map[string]any{"TopicArn": "arn:aws:sns:eu-west-1:999999999999:orders"}), nil),
		"another token": w.message("1", now, ask(nil), map[string]any{"Token": "x"}), "said to be a notification": w.message("1", now, ask(nil), map[string]any{"Type": "Notification"}),
	} {
		if _, err := send(body); !fault.IsCode(err, "webhook.unverified") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if v, err := send(w.message("2", now, ask(map[string]any{"SubscribeURL": "https://evil.example/"}), nil)); err == nil || len(v.Hints) != 0 {
		t.Errorf("an address elsewhere: %+v, %v", v, err)
	}
	if v, err := send(w.message("2", now, ask(map[string]any{"Type": "UnsubscribeConfirmation"}), nil)); err != nil || v.Status != 200 {
		t.Errorf("the end of a subscription: %+v, %v", v, err)
	}
	if got := w.seen(); got != "" {
		t.Errorf("asked was %s", got)
	}
	w.be(w.cert, true)
	if _, err := send(w.message("2", now, ask(nil), nil)); err == nil || fault.As(err) != nil {
		t.Errorf("while SNS is down: %v", err)
	}
	w.nowhereElse()
}

// The other recipes for Amazon: EventBridge by an API destination with a key, for S3 and for a seller's notifications, and SNS with raw delivery,
// which asks for a confirmation in its own form and then sends the vendor's message as it is.
func TestAmazonRecipes(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	w := newSNS(t, now)
	bridge, settings := snsConnector(t, `webhook:
  verify: [{kind: secret, header: x-api-key, secret: "{settings.secret}"}]
  type: detail-type
  key: detail.object.key
  id: id
  objects: {Object: things}
`)
	seller, _ := snsConnector(t, `webhook:
  verify: [{kind: secret, header: x-api-key, secret: "{settings.secret}"}]
  type: detail-type
  key: detail.Payload.OrderChangeNotification.AmazonOrderId
  id: id
  objects: {ORDER_CHANGE: things}
`)
	raw, _ := snsConnector(t, `webhook:
  verify: [{kind: sns, topic: "{settings.topicArn}"}, {kind: secret, query: token, secret: "{settings.secret}"}]
  events: Records
  type: eventName
  key: s3.object.key
  objects: {"ObjectCreated:": things}
`)
	const (
		s3Event  = `{"version":"0","id":"17793124-05d4-b198-2fde-7ededc63b103","detail-type":"Object Created","source":"aws.s3","account":"111122223333","time":"2026-11-12T00:00:00Z","region":"ca-central-1","resources":["arn:aws:s3:::amzn-s3-demo-bucket1"],"detail":{"version":"0","bucket":{"name":"amzn-s3-demo-bucket1"},"object":{"key":"a b/ü.csv","size":5,"etag":"b1946ac92492d2347c6235b4d2611184","version-id":"IYV3p45BT0ac8hjHg1houSdS1a.Mro8e","sequencer":"617f08299329d189"},"request-id":"N4N7GDK58NMKJ12R","requester":"123456789012","source-ip-address":"1.2.3.4","reason":"PutObject"}}`
		spEvent  = `{"version":"0","id":"fe8a4af5-0000-0000-0000-000000000000","detail-type":"ORDER_CHANGE","source":"aws.partner/sellingpartnerapi.amazon.com/111122223333/amzn1.sellerapps.app","account":"111122223333","time":"2026-11-12T00:00:00Z","region":"us-east-1","resources":[],"detail":{"NotificationVersion":"1.0","NotificationType":"ORDER_CHANGE","PayloadVersion":"1.0","EventTime":"2026-11-12T00:00:00Z","Payload":{"OrderChangeNotification":{"NotificationLevel":"OrderLevel","SellerId":"A3","AmazonOrderId":"333-7777777-7777777","OrderChangeType":"OrderStatusChange"}},"NotificationMetadata":{"ApplicationId":"app","SubscriptionId":"sub","PublishTime":"2026-11-12T00:00:00Z","NotificationId":"n1"}}}`
		rawEvent = `{"Records":[{"eventVersion":"2.1","eventName":"ObjectCreated:Put","s3":{"object":{"key":"9"}}}]}`
	)
	for _, test := range []struct {
		name      string
		c         *manifest.Connector
		body      string
		key, at   string
		want, ids string
	}{
		{"S3 by EventBridge", bridge, s3Event, "s3", "", "a b/ü.csv", "17793124-05d4-b198-2fde-7ededc63b103"},
		{"S3 by EventBridge with another key", bridge, s3Event, "s4", "", "", ""},
		{"S3 by EventBridge without one", bridge, s3Event, "", "", "", ""},
		{"a seller's order", seller, spEvent, "s3", "", "333-7777777-7777777", "fe8a4af5-0000-0000-0000-000000000000"},
		{"raw", raw, rawEvent, "", "?token=s3", "9", ""},
		{"raw with another token", raw, rawEvent, "", "?token=s4", "", ""},
		{"raw, confirmed", raw, string(w.message("2", now, map[string]any{"Type": "SubscriptionConfirmation", "Token": "t", "Message": "You have chosen", "SubscribeURL": "https://" + snsHost + "/?Action=ConfirmSubscription&Token=t"}, nil)), "", "?token=s3", "confirmed", ""},
	} {
		v, err := test.c.Inbound(t.Context(), settings, w.env, manifest.Inbound{Method: "POST", URL: "https://sync.example/hooks/1" + test.at, Header: http.Header{"X-Api-Key": {test.key}}, Body: []byte(test.body), Now: now})
		switch {
		case test.want == "":
			if !fault.IsCode(err, "webhook.unverified") {
				t.Errorf("%s: %v", test.name, err)
			}
		case test.want == "confirmed":
			if got := w.seen(); err != nil || len(v.Hints) != 0 || !strings.HasSuffix(got, "/?Action=ConfirmSubscription&Token=t") {
				t.Errorf("%s: %+v, %v; asked was %s", test.name, v, err, got)
			}
		case err != nil || len(v.Hints) != 1 || string(v.Hints[0].Key) != test.want || v.IDs[0] != test.ids:
			t.Errorf("%s: %+v, %v", test.name, v, err)
		}
	}
}
