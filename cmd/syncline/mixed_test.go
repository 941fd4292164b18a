// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/kafka"
	"github.com/syncline-dev/syncline/internal/localdb/testdb"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/store/storetest"
	"github.com/syncline-dev/syncline/internal/vault"
)

// mixed keeps contacts equal in a database, a file, a bucket and a topic.
const mixed = `service: spread
direction: multi-directional
systems:
  - {id: crm, type: postgresql, primary: true, connection: {host: "%s", port: "%s", database: "%s", user: "%s", password: "${DB_PASSWORD}"}, objects: [{name: contacts, mapping: contacts}]}
  - {id: sheet, type: files, connection: {folder: exchange, settleSeconds: "0"}, objects: [{name: contacts.csv, mapping: contacts}]}
  - {id: bucket, type: s3, connection: {bucket: exchange, accessKeyId: any, secretAccessKey: "${DB_PASSWORD}", endpoint: "%s"}, objects: [{name: contacts.jsonl, mapping: contacts}]}
  - {id: log, type: kafka, connection: {brokers: "%s"}, objects: [{name: contacts, mapping: contacts}]}
fieldMapping: {id: id, name: name, email: email}
syncConfig:
  frequency: realtime
  matchFields: [id]
  conflictResolution: lastWriteWins
  deletes: propagate
`

// places are the four systems as people see them.
type places struct {
	*testing.T
	db      *pgx.Conn
	csv     string
	s3      *s3mem.Backend
	backend string
	topic   connector.KeyReader
	kafka   *kgo.Client
}

// holds are the names by id that each system holds now.
func (p *places) holds(ids []string) (out [4]map[string]string) {
	p.Helper()
	for i := range out {
		out[i] = map[string]string{}
	}
	rows, err := p.db.Query(context.Background(), "SELECT id, name FROM contacts")
	if err != nil {
		p.Fatal(err)
	}
	var id, name string
	if _, err := pgx.ForEachRow(rows, []any{&id, &name}, func() error { out[0][id] = name; return nil }); err != nil {
		p.Fatal(err)
	}
	text, err := os.ReadFile(p.csv)
	if err != nil {
		p.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n")[1:] {
		cells := strings.Split(line, ",")
		out[1][cells[0]] = cells[1]
	}
	answer, err := http.Get(p.backend + "/exchange/contacts.jsonl")
	if err != nil {
		p.Fatal(err)
	}
	text, err = io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil {
		p.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		v, err := record.ParseJSON([]byte(line))
		if m, ok := v.(map[string]any); ok && err == nil {
			out[2][record.Text(m["id"])] = record.Text(m["name"])
		}
	}
	keys := make([]record.Key, len(ids))
	for i, id := range ids {
		keys[i] = record.Key(id)
	}
	changes, err := p.topic.ReadKeys(context.Background(), "contacts", nil, keys)
	if err != nil {
		p.Fatal(err)
	}
	for _, c := range changes {
		if c.Op == record.Upsert {
			out[3][string(c.Key)] = record.Text(c.Fields["name"])
		}
	}
	return out
}

// agree waits until all four hold exactly these.
func (p *places) agree(what string, want map[string]string) {
	p.Helper()
	ids := []string{"c1", "c2", "c3", "c4", "c5"}
	text := fmt.Sprint(want)
	var got [4]map[string]string
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) { // four systems of others: nothing tells when they have changed
		got = p.holds(ids)
		if fmt.Sprint(got[0]) == text && fmt.Sprint(got[1]) == text && fmt.Sprint(got[2]) == text && fmt.Sprint(got[3]) == text {
			return
		}
	}
	p.Fatalf("%s: the systems hold %v, want %s in each", what, got, text)
}

// A database, a folder, a bucket and a topic in one service: what people do in any of them arrives in all.
func TestMixedService(t *testing.T) {
	base := testdb.Postgres(t)
	at, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	p := &places{T: t, s3: s3mem.New()}
	if p.db, err = pgx.Connect(t.Context(), base); err != nil {
		t.Fatal(err)
	}
	defer p.db.Close(context.Background())
	if _, err := p.db.Exec(t.Context(), `CREATE TABLE contacts (id text PRIMARY KEY, name text, email text); INSERT INTO contacts VALUES ('c1', 'Ada', 'ada@example.com')`); err != nil {
		t.Fatal(err)
	}
	store := httptest.NewServer(gofakes3.New(p.s3, gofakes3.WithLogger(gofakes3.DiscardLog())).Server())
	defer store.Close()
	p.backend = store.URL
	if err := p.s3.CreateBucket("exchange"); err != nil {
		t.Fatal(err)
	}
	p.put(`{"id": "c1", "name": "Ada", "email": "ada@example.com"}` + "\n" + `{"id": "c2", "name": "Bob", "email": null}` + "\n")
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "contacts"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	brokers := strings.Join(cluster.ListenAddrs(), ",")
	if p.kafka, err = kgo.NewClient(kgo.SeedBrokers(brokers)); err != nil {
		t.Fatal(err)
	}
	defer p.kafka.Close()
	if _, err := kadm.NewClient(p.kafka).ListTopics(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.produce("c3", `{"id": "c3", "name": "Cy"}`)
	reader, err := kafka.New().Open(t.Context(), connector.Settings{"brokers": brokers, "key": "id"}, connector.Env{Consumer: "watcher"})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	p.topic = reader.(connector.KeyReader)

	master, err := vault.ParseMaster(storetest.MasterKey)
	if err != nil {
		t.Fatal(err)
	}
	c, err := readConfig()
	if err != nil {
		t.Fatal(err)
	}
	c.DatabaseURL, c.FilesDir, c.StopWithin = storetest.URL(t), t.TempDir(), time.Second
	a, err := newApp(t.Context(), c, master, connection.GuardOptions{AllowLoopback: true}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	_, session, err := a.auth.SignUp(t.Context(), auth.NewAccount{Email: "ada@example.com", Name: "Ada", Password: "correct horse battery", TenantName: "Ada Ltd"}, auth.Caller{})
	if err != nil {
		t.Fatal(err)
	}
	who := session.Principal(auth.Caller{})
	password, _ := at.User.Password()
	if _, err := a.secrets.Set(t.Context(), who, "DB_PASSWORD", password, 0); err != nil {
		t.Fatal(err)
	}
	key, _, err := a.auth.CreateKey(t.Context(), who, "test", auth.Scopes, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(c.FilesDir, who.Tenant.String(), "exchange")
	if err := os.MkdirAll(folder, 0o750); err != nil {
		t.Fatal(err)
	}
	p.csv = filepath.Join(folder, "contacts.csv")
	p.write("id,name,email\nc4,Dan,dan@example.com\n")

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w, err := a.newWorker()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- a.serve(ctx, listener, w) }()
	defer func() {
		stop()
		if err := <-served; err != nil {
			t.Errorf("serving: %v", err)
		}
	}()
	t.Setenv("SYNCLINE_URL", "http://"+listener.Addr().String())
	t.Setenv("SYNCLINE_API_KEY", key.Reveal())
	t.Setenv("SYNCLINE_API_KEY_FILE", "")
	b := &bench{T: t, dir: t.TempDir(), key: key.Reveal()}
	document := fmt.Sprintf(mixed, at.Hostname(), at.Port(), strings.TrimPrefix(at.Path, "/"), at.User.Username(), store.URL, brokers)
	if out, talk, code := b.syncline("apply", "-f", b.file("spread.yaml", document)); code != 0 {
		t.Fatalf("applying: %d %s %s", code, out, talk)
	}
	want := map[string]string{"c1": "Ada", "c2": "Bob", "c3": "Cy", "c4": "Dan"}
	p.agree("the first sync", want)

	// Each of them changes, adds or deletes something.
	if _, err := p.db.Exec(t.Context(), `UPDATE contacts SET name = 'Ada L.' WHERE id = 'c1'`); err != nil {
		t.Fatal(err)
	}
	want["c1"] = "Ada L."
	p.agree("a change in the database", want)
	text, err := os.ReadFile(p.csv)
	if err != nil {
		t.Fatal(err)
	}
	var kept []string
	for _, line := range strings.Split(string(text), "\n") {
		if !strings.HasPrefix(line, "c4,") {
			kept = append(kept, line)
		}
	}
	p.write(strings.Join(kept, "\n"))
	delete(want, "c4")
	p.agree("a line taken out of the file", want)
	p.produce("c5", `{"id": "c5", "name": "Eve", "email": "eve@example.com"}`)
	p.produce("c3", "")
	want["c5"] = "Eve"
	delete(want, "c3")
	p.agree("messages", want)
	p.put(`{"id": "c1", "name": "Ada L.", "email": "ada@example.com"}` + "\n" + `{"id": "c2", "name": "Robert"}` + "\n" + `{"id": "c5", "name": "Eve", "email": "eve@example.com"}` + "\n")
	want["c2"] = "Robert"
	p.agree("an upload", want)
}

func (p *places) put(text string) {
	p.Helper()
	req, err := http.NewRequestWithContext(p.Context(), http.MethodPut, p.backend+"/exchange/contacts.jsonl", strings.NewReader(text))
	if err != nil {
		p.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil || answer.StatusCode != http.StatusOK {
		p.Fatalf("uploading: %v %v", answer, err)
	}
	answer.Body.Close()
}

func (p *places) write(text string) {
	p.Helper()
	if err := os.WriteFile(p.csv+".new", []byte(text), 0o600); err != nil {
		p.Fatal(err)
	}
	if err := os.Rename(p.csv+".new", p.csv); err != nil {
		p.Fatal(err)
	}
}

func (p *places) produce(key, value string) {
	p.Helper()
	m := &kgo.Record{Topic: "contacts", Key: []byte(key)}
	if value != "" {
		m.Value = []byte(value)
	}
	if err := p.kafka.ProduceSync(p.Context(), m).FirstErr(); err != nil {
		p.Fatal(err)
	}
}
