// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/FerretDB/FerretDB/ferretdb"
	"github.com/jackc/pgx/v5"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/kafka"
	"github.com/syncline-dev/syncline/internal/live"
	"github.com/syncline-dev/syncline/internal/localdb/testdb"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/store/storetest"
	"github.com/syncline-dev/syncline/internal/vault"
	"github.com/syncline-dev/syncline/web/webtest"
)

// mixed keeps contacts equal in two databases, a file, a bucket, a topic and a spreadsheet.
const mixed = `service: spread
direction: multi-directional
systems:
  - {id: crm, type: postgresql, primary: true, connection: {host: "%s", port: "%s", database: "%s", user: "%s", password: "${DB_PASSWORD}"}, objects: [{name: contacts, mapping: contacts}]}
  - {id: sheet, type: files, connection: {folder: exchange, settleSeconds: "0"}, objects: [{name: contacts.csv, mapping: contacts}]}
  - {id: bucket, type: s3, connection: {bucket: exchange, accessKeyId: any, secretAccessKey: "${DB_PASSWORD}", endpoint: "%s"}, objects: [{name: contacts.csv, mapping: contacts}]}
  - {id: docs, type: mongodb, connection: {address: "%s", database: shop, key: id}, objects: [{name: contacts, mapping: contacts}]}
  - {id: team, type: google-sheets, connection: {spreadsheet: book, accessToken: "${SHEET_TOKEN}"}, objects: [{name: Contacts, mapping: contacts}]}
  - {id: log, type: kafka, connection: {brokers: "%s"}, objects: [{name: contacts, mapping: contacts}]}
fieldMapping: {id: id, name: name, email: email}
syncConfig:
  frequency: realtime
  matchFields: [id]
  conflictResolution: lastWriteWins
  deletes: propagate
`

// places are the six systems as people see them.
type places struct {
	*testing.T
	db      *pgx.Conn
	csv     string
	s3      *s3mem.Backend
	backend string
	topic   connector.KeyReader
	kafka   *kgo.Client
	docs    *mongo.Collection
	app     *app
	who     auth.Principal
	news    *live.Subscription
	book    string // the spreadsheet's connection
}

// holds are the names by id that each system holds now.
func (p *places) holds(ids []string) (out [6]map[string]string) {
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
	for _, line := range strings.Split(strings.TrimSpace(p.get()), "\n")[1:] {
		cells := strings.Split(line, ",")
		out[2][cells[0]] = cells[1]
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
	cursor, err := p.docs.Find(context.Background(), bson.M{})
	if err != nil {
		p.Fatal(err)
	}
	var docs []bson.M
	if err := cursor.All(context.Background(), &docs); err != nil {
		p.Fatal(err)
	}
	for _, d := range docs {
		out[4][fmt.Sprint(d["id"])] = fmt.Sprint(d["name"])
	}
	for id, row := range p.sheet() {
		out[5][id] = row.Values[1]
	}
	return out
}

// sheet are the spreadsheet's rows by id, once the service has made the connection.
func (p *places) sheet() map[string]connection.SandboxRow {
	p.Helper()
	out := map[string]connection.SandboxRow{}
	list, err := p.app.connections.List(context.Background(), p.who, connection.Filter{Limit: 100})
	if err != nil {
		p.Fatal(err)
	}
	for _, c := range list {
		if c.Connector != "google-sheets" {
			continue
		}
		_, account, err := p.app.connections.LookIntoSandbox(context.Background(), p.who, c.ID.Public())
		if err != nil {
			p.Fatal(err)
		}
		for _, r := range account.Tables[0].Rows {
			out[r.Values[0]] = r
		}
		p.book = c.ID.Public()
	}
	return out
}

// agree waits until all six hold exactly these. Each commit of the service is told of, so it is looked when there may be something
// new, and never in between.
func (p *places) agree(what string, want map[string]string) {
	p.Helper()
	ids := []string{"c1", "c2", "c3", "c4", "c5", "c6", "c-1", "c-2", "c-3"}
	text := fmt.Sprint(want)
	var got [6]map[string]string
	deadline := time.After(3 * time.Minute)
	for waiting := true; waiting; {
		got = p.holds(ids)
		equal := true
		for _, g := range got {
			equal = equal && fmt.Sprint(g) == text
		}
		if equal {
			return
		}
		select {
		case <-p.news.News():
		case <-deadline:
			waiting = false
		}
	}
	p.Fatalf("%s: the systems hold %v, want %s in each", what, got, text)
}

// Two databases, a folder, a bucket, a topic and a spreadsheet in one service: what people do in any of them arrives in all, in quiet and in
// trouble; what they do in the spreadsheet they do in the playground.
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
	// While there is trouble the bucket's store has no time for one call in ten, by a seed.
	var trouble atomic.Bool
	var chance sync.Mutex
	dice := rand.New(rand.NewPCG(4, 2026))
	unlucky := func() bool {
		chance.Lock()
		defer chance.Unlock()
		return trouble.Load() && dice.IntN(10) == 0
	}
	emulator := gofakes3.New(p.s3, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if unlucky() {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, `<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>`)
			return
		}
		emulator.ServeHTTP(w, r)
	}))
	defer store.Close()
	people := httptest.NewServer(emulator) // they have no trouble: a look of theirs that fails would be the last
	defer people.Close()
	p.backend = people.URL
	if err := p.s3.CreateBucket("exchange"); err != nil {
		t.Fatal(err)
	}
	p.put("id,name,email\nc1,Ada,ada@example.com\nc2,Bob,\n")
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

	ferret, err := ferretdb.New(&ferretdb.Config{Listener: ferretdb.ListenerConfig{TCP: "127.0.0.1:0"}, Handler: "sqlite", SQLiteURL: "file:" + t.TempDir() + "/", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	running, halt := context.WithCancel(context.Background())
	halted := make(chan error, 1)
	go func() { halted <- ferret.Run(running) }()
	defer func() {
		halt()
		<-halted
	}()
	client, err := mongo.Connect(options.Client().ApplyURI(ferret.MongoDBURI()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Disconnect(context.Background()) }()
	p.docs = client.Database("shop").Collection("contacts")
	if _, err := p.docs.InsertOne(t.Context(), bson.M{"id": "c6", "name": "Flo", "email": "flo@example.com"}); err != nil {
		t.Fatal(err)
	}

	master, err := vault.ParseMaster(storetest.MasterKey)
	if err != nil {
		t.Fatal(err)
	}
	c, err := readConfig()
	if err != nil {
		t.Fatal(err)
	}
	c.DatabaseURL, c.FilesDir = storetest.URL(t), t.TempDir()
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
	if _, err := a.secrets.Set(t.Context(), who, "SHEET_TOKEN", "sandbox_token", 0); err != nil {
		t.Fatal(err)
	}
	p.app, p.who, p.news = a, who, a.hub.Subscribe(who.Tenant)
	defer p.news.Close()
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
	document := fmt.Sprintf(mixed, at.Hostname(), at.Port(), strings.TrimPrefix(at.Path, "/"), at.User.Username(), store.URL, ferret.MongoDBURI(), brokers)
	if out, talk, code := b.syncline("apply", "-f", b.file("spread.yaml", document)); code != 0 {
		t.Fatalf("applying: %d %s %s", code, out, talk)
	}
	want := map[string]string{"c1": "Ada", "c2": "Bob", "c3": "Cy", "c4": "Dan", "c6": "Flo", "c-1": "Maria Garcia", "c-2": "Kenji Ito", "c-3": "Ada Obi"}
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
	if _, err := p.docs.UpdateOne(t.Context(), bson.M{"id": "c6"}, bson.M{"$set": bson.M{"name": "Florence"}}); err != nil {
		t.Fatal(err)
	}
	want["c6"] = "Florence"
	p.agree("a document", want)
	// A person changes and deletes rows of the spreadsheet in the playground, in a browser.
	p.sheet()
	page := webtest.Open(t, "http://"+listener.Addr().String()+"/sign-in", webtest.Options{})
	page.Fill(`input[name="email"]`, "ada@example.com")
	page.Fill(`input[name="password"]`, "correct horse battery")
	page.Click(`main button[type="submit"]`)
	page.Wait(`location.pathname !== "/sign-in" && document.readyState === "complete"`)
	sandbox := "http://" + listener.Addr().String() + "/connections/" + p.book + "/sandbox"
	row := func(id string) string { return `form:has(input[name="key"][value="` + p.sheet()[id].Key + `"]) ` }
	rename := func(id, name string) {
		page.Goto(sandbox)
		page.Fill(row(id)+`input[name="field.name"]`, name)
		page.Click(row(id) + `button:not([name])`)
		page.Wait(`document.readyState === "complete" && [...document.querySelectorAll("input")].some(i => i.defaultValue === ` + strconv.Quote(name) + `)`)
	}
	rename("c-1", "Maria G.")
	page.Click(row("c-3") + `button[name="delete"]`)
	want["c-1"] = "Maria G."
	delete(want, "c-3")
	p.agree("the spreadsheet", want)
	var lines []string
	for _, line := range strings.Split(strings.TrimSpace(p.get()), "\n") {
		lines = append(lines, strings.ReplaceAll(line, ",Bob,", ",Robert,"))
	}
	p.put(strings.Join(lines, "\n") + "\n")
	want["c2"] = "Robert"
	p.agree("an upload", want)

	// Trouble: the vendor of the spreadsheet fails, asks for fewer calls and loses answers, the bucket's store has no time, and people work on in
	// four of the systems at once, each in a record of their own. Once they rest all agree on what each of them did last.
	trouble.Store(true)
	for i, kind := range []string{"unavailable", "rate-limit", "lost-answer"} {
		page.Goto(sandbox)
		page.Eval(`document.querySelector('[name="kind"]').value = "` + kind + `"`)
		page.Fill(`[name="share"]`, "10")
		page.Fill(`[name="times"]`, "")
		page.Click(`button[aria-label="Add trouble"]`)
		page.Wait(`document.readyState === "complete" && document.querySelectorAll(".sandbox-faults li").length > ` + strconv.Itoa(i))
	}
	for round := range 8 {
		name := func(who string) string { return fmt.Sprintf("%s %d", who, round) }
		if _, err := p.db.Exec(t.Context(), `UPDATE contacts SET name = $1 WHERE id = 'c1'`, name("Ada")); err != nil {
			t.Fatal(err)
		}
		p.produce("c5", fmt.Sprintf(`{"id": "c5", "name": %q, "email": "eve@example.com"}`, name("Eve")))
		if _, err := p.docs.UpdateOne(t.Context(), bson.M{"id": "c6"}, bson.M{"$set": bson.M{"name": name("Flo")}}); err != nil {
			t.Fatal(err)
		}
		rename("c-1", name("Maria"))
		want["c1"], want["c5"], want["c6"], want["c-1"] = name("Ada"), name("Eve"), name("Flo"), name("Maria")
	}
	p.agree("after trouble", want)
}

// get reads the bucket's file.
func (p *places) get() string {
	p.Helper()
	answer, err := http.Get(p.backend + "/exchange/contacts.csv")
	if err != nil {
		p.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		p.Fatal(err)
	}
	return string(text)
}

func (p *places) put(text string) {
	p.Helper()
	req, err := http.NewRequestWithContext(p.Context(), http.MethodPut, p.backend+"/exchange/contacts.csv", strings.NewReader(text))
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
