// SPDX-License-Identifier: Apache-2.0

// Package internal_test checks the house as a whole: who may import whom, that every error has its page, and that the
// documentation names only what is there.
package internal_test

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// A band is a layer of the house. Imports go down: from a band to those listed before it.
type band struct {
	name     string
	packages []string
	up       string // why nothing here imports a band listed later
}

var bands = []band{
	{"words", []string{"docs", "internal/fault", "internal/tenant", "internal/record", "internal/ident", "internal/idempotency", "internal/telemetry"},
		"words are what everything else is said in; a word that knows its speakers cannot be shared by them"},
	{"rules", []string{"internal/mapping", "internal/match", "internal/conflict", "internal/expression", "internal/quality", "internal/connector", "internal/audit", "internal/auth", "billing", "billing/rating", "billing/paper"},
		"a rule is given what it needs and answers; who asks, and what is done with the answer, is not its matter"},
	{"subjects", []string{"internal/vault", "internal/catalog", "internal/connection", "internal/service"},
		"a subject causes work by writing a job's arguments through its transaction, and asks its neighbours through the database; it never calls them"},
	{"work", []string{"internal/scheduler", "internal/engine", "internal/delivery", "internal/safety", "internal/reconcile", "internal/duplicate", "internal/notify", "billing/invoicing", "billing/plans"},
		"work declares the transaction it needs and is handed the store's; it knows no SQL, no HTTP, no queue and no vendor"},
	{"kits", []string{"internal/connector/transport", "internal/connector/oauth", "internal/connector/manifest", "internal/connector/sandbox", "internal/connector/webapi", "internal/connector/push", "internal/connector/failover", "internal/connector/written"},
		"what connectors are made of knows no vendor and nobody who uses a connector"},
	{"edges", []string{"internal/store/...", "internal/live", "internal/webhook", "internal/worker", "api/...", "web/...", "internal/connector/postgres", "internal/connector/mysql", "internal/connector/filestore", "internal/connector/files", "internal/connector/s3", "internal/connector/azureblob", "internal/connector/kafka",
		"internal/connector/queue", "internal/connector/rabbitmq", "internal/connector/sqs",
		"internal/connector/sheet", "internal/connector/googlesheets", "internal/connector/excel", "internal/connector/airtable", "internal/connector/gcs", "internal/connector/dropbox", "internal/connector/gdrive", "internal/connector/sftp", "internal/connector/mongodb", "internal/connector/dynamodb",
		"internal/connector/graphql", "internal/connector/sse", "internal/connector/websocket",
		"internal/connector/salesforce", "internal/connector/hubspot", "internal/connector/zendesk", "internal/connector/clearbit", "billing/stripe"},
		"an edge is joined to the others by cmd alone, so that each can be exchanged"},
	{"program", []string{"cmd/syncline", "internal/localdb", "internal/demo", "migrations"},
		"nothing is above the program"},
	{"testing", []string{"internal", "docs/docstest", "internal/killtest", "internal/bench", "internal/simulation", "internal/connector/connectortest/...", "internal/connector/sandbox/sandboxtest", "internal/connector/filestore/filestoretest", "internal/connector/sheet/sheettest", "internal/store/storetest", "billing/stripe/stripetest", "internal/localdb/testdb", "internal/localdb/cmd/testservers", "web/webtest", "web/gallery/..."},
		"helps tests and is not part of the program"},
}

// allowed are the imports inside a band, each with its reason. Packages of one folder listed with /... are one place.
var allowed = map[[2]string]string{
	{"internal/ident", "internal/fault"}:                            "a malformed id is an error that the caller can act on",
	{"internal/idempotency", "internal/fault"}:                      "so is a malformed key",
	{"internal/mapping", "internal/connector"}:                      "mapping turns the types that connectors declare into each other",
	{"internal/auth", "internal/audit"}:                             "a principal writes its own entry: who.Did(...)",
	{"billing/rating", "billing"}:                                   "rating is in the words of money",
	{"billing/paper", "billing"}:                                    "so are documents",
	{"internal/connection", "internal/catalog"}:                     "a connection is of a connector that the tenant can use",
	{"internal/connection", "internal/vault"}:                       "credentials are sealed",
	{"internal/service", "internal/connection"}:                     "a document's systems are connections",
	{"internal/connector/manifest", "internal/connector/transport"}: "a manifest's requests are made there",
	{"internal/connector/manifest", "internal/connector/oauth"}:     "tokens are had in one way by all connectors",
	{"internal/connector/webapi", "internal/connector/oauth"}:       "so they are",
	{"internal/connector/oauth", "internal/connector/transport"}:    "token endpoints are asked there",
	{"internal/safety", "internal/engine"}:                          "what people decide beforehand or take back is in the engine's words and decided by its functions",
	{"internal/store", "internal/live"}:                             "events are read back in the hub's words",
	{"api", "internal/live"}:                                        "open event streams hear from the hub that there is something to read",
	{"web", "internal/live"}:                                        "so do open pages",
	{"cmd/syncline", "internal/localdb"}:                            "`syncline dev` brings its own servers",
	{"cmd/syncline", "internal/demo"}:                               "`syncline dev` brings its own demo",
	{"cmd/syncline", "migrations"}:                                  "`syncline migrate`",
	{"internal/store/storetest", "internal/localdb/testdb"}:         "a test's database is on a private server",
	{"internal/simulation", "internal/connector/connectortest"}:     "the systems between which it simulates are the suite's own",
	{"internal/localdb/cmd/testservers", "internal/localdb/testdb"}: "it hands the servers' addresses to the tests",

	{"internal/connector/azureblob", "internal/connector/filestore"}:                   "see files",
	{"internal/connector/s3", "internal/connector/filestore"}:                          "see files",
	{"internal/connector/files", "internal/connector/filestore"}:                       "a place of files reads and writes them as all places do",
	{"internal/connector/rabbitmq", "internal/connector/queue"}:                        "messages become records in the same way everywhere",
	{"internal/connector/sqs", "internal/connector/queue"}:                             "see rabbitmq",
	{"internal/connector/sse", "internal/connector/queue"}:                             "see rabbitmq",
	{"internal/connector/websocket", "internal/connector/queue"}:                       "see rabbitmq",
	{"internal/connector/webapi", "internal/connector/transport"}:                      "its requests are made there",
	{"internal/connector/push", "internal/connector/transport"}:                        "Retry-After is read in one place",
	{"internal/connector/googlesheets", "internal/connector/sheet"}:                    "tables that people keep become records in the same way everywhere",
	{"internal/connector/excel", "internal/connector/sheet"}:                           "see googlesheets",
	{"internal/connector/airtable", "internal/connector/sheet"}:                        "see googlesheets",
	{"internal/connector/gcs", "internal/connector/filestore"}:                         "see files",
	{"internal/connector/dropbox", "internal/connector/filestore"}:                     "see files",
	{"internal/connector/gdrive", "internal/connector/filestore"}:                      "see files",
	{"internal/connector/sftp", "internal/connector/filestore"}:                        "see files",
	{"internal/connector/dynamodb", "internal/connector/sheet"}:                        "see mongodb",
	{"internal/connector/mongodb", "internal/connector/sheet"}:                         "what can only be read whole is compared in the same way everywhere",
	{"internal/connector/sheet/sheettest", "internal/connector/connectortest"}:         "it runs the suite",
	{"internal/connector/filestore/filestoretest", "internal/connector/connectortest"}: "it runs the suite",

	{"internal/connector/sandbox/sandboxtest", "internal/connector/connectortest/card"}:     "so does the judge",
	{"internal/connector/sheet/sheettest", "internal/connector/connectortest/card"}:         "it says which lines of the suite it shows",
	{"internal/connector/filestore/filestoretest", "internal/connector/connectortest/card"}: "it says which lines of the suite it shows",
}

// A door is a package that only some may enter, or that may enter only some.
type door struct {
	pkg  []string
	from []string // who alone may import it; nil for anybody above
	to   []string // what of ours alone it may import; nil for anything below
	why  string
}

var doors = []door{
	{pkg: []string{"internal/record", "internal/fault", "internal/audit", "internal/tenant", "internal/telemetry", "docs", "migrations"}, to: []string{},
		why: "it can be read, and moved elsewhere, without anything else of the house"},
	{pkg: []string{"internal/connector/filestore"}, to: []string{"internal/connector", "internal/connector/written", "internal/record", "internal/fault"}, from: []string{"internal/connector/files", "internal/connector/s3", "internal/connector/azureblob", "internal/connector/gcs", "internal/connector/dropbox", "internal/connector/gdrive", "internal/connector/sftp"},
		why: "it is the common part of the connectors of files"},
	{pkg: []string{"internal/connector/files", "internal/connector/s3", "internal/connector/azureblob"}, to: []string{"internal/connector", "internal/connector/filestore", "internal/record", "internal/fault"}, from: []string{"cmd/syncline"},
		why: "see postgres"},
	{pkg: []string{"internal/connector/postgres", "internal/connector/mysql", "internal/connector/kafka"}, to: []string{"internal/connector", "internal/connector/failover", "internal/record", "internal/fault"}, from: []string{"cmd/syncline"},
		why: "a connector serves any tenant and any service; what it needs comes in its settings and Env, and cmd registers it"},
	{pkg: []string{"internal/connector/written"}, to: []string{"internal/connector", "internal/record"}, from: []string{"internal/connector/filestore", "internal/connector/sheet"},
		why: "it is for what is read whole and compared"},
	{pkg: []string{"internal/connector/queue"}, to: []string{"internal/connector", "internal/record", "internal/fault"}, from: []string{"internal/connector/rabbitmq", "internal/connector/sqs", "internal/connector/sse", "internal/connector/websocket"},
		why: "it is the common part of the connectors of queues"},
	{pkg: []string{"internal/connector/sheet"}, to: []string{"internal/connector", "internal/connector/written", "internal/record", "internal/fault"}, from: []string{"internal/connector/googlesheets", "internal/connector/excel", "internal/connector/airtable", "internal/connector/mongodb", "internal/connector/dynamodb"},
		why: "it is the common part of the connectors of what can only be read whole"},
	{pkg: []string{"internal/connector/googlesheets", "internal/connector/excel", "internal/connector/airtable"}, from: []string{"cmd/syncline"},
		to:  []string{"internal/connector", "internal/connector/sheet", "internal/connector/webapi", "internal/connector/transport", "internal/connector/sandbox", "internal/record", "internal/fault"},
		why: "see postgres"},
	{pkg: []string{"internal/connector/dynamodb"}, to: []string{"internal/connector", "internal/connector/sheet", "internal/connector/sandbox", "internal/record", "internal/fault"}, from: []string{"cmd/syncline"},
		why: "see postgres"},
	{pkg: []string{"internal/connector/mongodb"}, to: []string{"internal/connector", "internal/connector/sheet", "internal/record", "internal/fault"}, from: []string{"cmd/syncline"},
		why: "see postgres"},
	{pkg: []string{"internal/connector/gcs", "internal/connector/dropbox", "internal/connector/gdrive", "internal/connector/sftp"}, from: []string{"cmd/syncline"},
		to:  []string{"internal/connector", "internal/connector/filestore", "internal/connector/webapi", "internal/connector/transport", "internal/connector/sandbox", "internal/record", "internal/fault"},
		why: "see postgres"},
	{pkg: []string{"internal/connector/sqs"}, to: []string{"internal/connector", "internal/connector/queue", "internal/connector/sandbox", "internal/record", "internal/fault"}, from: []string{"cmd/syncline"},
		why: "see postgres"},
	{pkg: []string{"internal/connector/rabbitmq"}, to: []string{"internal/connector", "internal/connector/queue", "internal/record", "internal/fault"}, from: []string{"cmd/syncline"},
		why: "see postgres"},
	{pkg: []string{"internal/connector/salesforce", "internal/connector/hubspot", "internal/connector/zendesk", "internal/connector/clearbit"}, from: []string{"cmd/syncline"},
		to:  []string{"internal/connector", "internal/connector/manifest", "internal/connector/transport", "internal/connector/sandbox", "internal/record", "internal/fault"},
		why: "a connector serves any tenant and any service; what it needs comes in its settings and Env, and cmd registers it"},
	{pkg: []string{"internal/connector/transport", "internal/connector/oauth", "internal/connector/manifest", "internal/connector/sandbox"}, to: []string{"internal/connector", "internal/connector/transport", "internal/connector/oauth", "internal/record", "internal/fault"},
		why: "what all connectors are made of can be used by any of them"},
	{pkg: []string{"internal/connector/graphql"}, from: []string{"cmd/syncline"},
		to:  []string{"internal/connector", "internal/connector/manifest", "internal/connector/transport", "internal/connector/push", "internal/record", "internal/fault"},
		why: "see postgres"},
	{pkg: []string{"internal/connector/sse", "internal/connector/websocket"}, from: []string{"cmd/syncline"},
		to:  []string{"internal/connector", "internal/connector/queue", "internal/connector/push", "internal/record", "internal/fault"},
		why: "see postgres"},
	{pkg: []string{"internal/connector/push"}, to: []string{"internal/connector", "internal/connector/transport", "internal/record"}, from: []string{"internal/connector/graphql", "internal/connector/sse", "internal/connector/websocket"},
		why: "it is how connectors listen, and knows nobody who does"},
	{pkg: []string{"internal/store"}, from: []string{"cmd/syncline"}, why: "packages declare the few transaction methods they use; only cmd knows that one store has them all"},
	{pkg: []string{"internal/webhook"}, from: []string{"cmd/syncline"}, why: "what is sent, and when again, is decided by notify; cmd hands it the client"},
	{pkg: []string{"internal/worker"}, from: []string{"cmd/syncline"}, why: "jobs come in there and nowhere else"},
	{pkg: []string{"internal/live"}, from: []string{"cmd/syncline", "api/...", "web/...", "internal/store"}, why: "a notification is a nudge to people and programs that look; no rule may depend on what can be lost"},
	{pkg: []string{"api/..."}, from: []string{"cmd/syncline", "api/..."}, why: "the dashboard calls the same operations, it does not call the API"},
	{pkg: []string{"web/..."}, from: []string{"cmd/syncline", "web/..."}, why: "pages are for people; nothing else is made of them"},
	{pkg: []string{"billing/rating"}, from: []string{"billing/invoicing", "billing/plans"}, why: "there is one place where usage becomes money"},
	{pkg: []string{"billing/stripe"}, from: []string{"cmd/syncline"}, why: "money does not depend on who collects it; cmd hands the gateway over"},
	{pkg: []string{"internal/demo"}, to: []string{}, from: []string{"cmd/syncline"}, why: "the demo edits its databases as people do, from outside, or it would prove nothing"},
	{pkg: []string{"internal/localdb"}, to: []string{"internal/fault"}, from: []string{"cmd/syncline", "internal/localdb/..."}, why: "private servers are for development and tests; the program runs on the database it is given"},
}

// A home is where alone an outside library may be imported. Tests may use any, except where it says so.
type home struct {
	library string
	in      []string
	tests   bool // holds for tests, too
	why     string
}

var homes = []home{
	{"github.com/jackc/pgx", []string{"internal/store/...", "internal/connector/postgres", "migrations", "cmd/syncline", "internal/localdb/...", "internal/demo"}, false, "SQL is in the store, beside the concept it serves"},
	{"database/sql", []string{"internal/store/internal/db", "internal/connector/mysql", "internal/connector/connectortest", "cmd/syncline", "internal/localdb/...", "internal/demo"}, false, "SQL is in the store, beside the concept it serves"},
	{"github.com/go-sql-driver/mysql", []string{"internal/connector/mysql", "cmd/syncline", "internal/localdb/...", "internal/demo"}, false, "a vendor is spoken to in its connector"},
	{"github.com/go-mysql-org/go-mysql", []string{"internal/connector/mysql"}, false, "a vendor is spoken to in its connector"},
	{"github.com/xuri/excelize", []string{"internal/connector/filestore"}, false, "workbooks are a format of files"},
	{"github.com/parquet-go/parquet-go", []string{"internal/connector/filestore/..."}, false, "so is Parquet"},
	{"github.com/twmb/franz-go", []string{"internal/connector/kafka"}, false, "a vendor is spoken to in its connector"},
	{"go.mongodb.org/mongo-driver", []string{"internal/connector/mongodb"}, false, "a vendor is spoken to in its connector"},
	{"github.com/coder/websocket", []string{"internal/connector/push"}, false, "WebSockets are opened in one place, with its bounds"},
	{"github.com/rabbitmq/amqp091-go", []string{"internal/connector/rabbitmq"}, false, "a vendor is spoken to in its connector"},
	{"github.com/riverqueue/river", []string{"internal/store", "internal/worker", "cmd/syncline"}, false, "jobs go in through the store's transaction and come out at the worker; packages declare arguments without knowing the queue"},
	{"github.com/golang-migrate/migrate", []string{"migrations"}, false, "one tool owns the schema"},
	{"github.com/a-h/templ", []string{"web/..."}, false, "markup is made by pages"},
	{"github.com/go-chi/chi", []string{"api/...", "web/...", "cmd/syncline"}, false, "HTTP ends at the edges"},
	{"github.com/oapi-codegen", []string{"api/..."}, false, "the API's wire types do not leave it"},
	{"github.com/getkin/kin-openapi", []string{"api/...", "internal/connector/sandbox/sandboxtest"}, false, "the API's wire types do not leave it"},
	{"github.com/tink-crypto/tink-go", []string{"internal/vault"}, false, "one place seals and opens"},
	{"github.com/alexedwards/argon2id", []string{"internal/auth"}, false, "one place checks passwords"},
	{"code.dny.dev/ssrf", []string{"internal/connection"}, false, "one guard opens every connection to a customer's system"},
	{"github.com/expr-lang/expr", []string{"internal/expression"}, false, "one place parses the customers' expressions, and evaluates them within a budget"},
	{"github.com/nyaruka/phonenumbers", []string{"internal/quality"}, false, "telephone numbers are checked where values are"},
	{"github.com/goccy/go-yaml", []string{"internal/service", "internal/connector/manifest", "api"}, false, "documents are parsed in one place, with positions; the API only writes them"},
	{"github.com/adhocore/gronx", []string{"internal/service"}, false, "schedules are part of the document"},
	{"codeberg.org/go-pdf/fpdf", []string{"billing/paper"}, false, "documents are written in one place"},
	{"golang.org/x/image", []string{"billing/paper"}, false, "the fonts of documents"},
	{"github.com/stripe/stripe-go", []string{"billing/stripe"}, true, "money does not depend on who collects it"},
	{"github.com/spf13/cobra", []string{"cmd/syncline"}, false, "the command line is the program's"},
	{"github.com/caarlos0/env", []string{"cmd/syncline"}, false, "the environment is read once, in cmd"},
	{"github.com/chromedp", []string{"web/webtest"}, false, "browsers are for tests"},
	{"github.com/aws/aws-sdk-go-v2", nil, true, "a cloud is a system like any other: its SDK stays in its connector, and nothing else, tests included, needs an account"},
	{"github.com/aws/aws-sdk-go", nil, true, "see aws-sdk-go-v2"},
	{"cloud.google.com/go", nil, true, "see aws-sdk-go-v2"},
	{"google.golang.org/api", nil, true, "see aws-sdk-go-v2"},
	{"github.com/Azure/azure-sdk-for-go", nil, true, "see aws-sdk-go-v2"},
}

// pure are packages, and files of others, that are functions of their arguments: what a change means can then be tried out
// with any input at any time, and a simulation of the whole engine can be repeated from its seed.
var pure = []string{"internal/mapping", "internal/match", "internal/conflict", "internal/expression", "internal/quality", "billing/rating", "internal/engine/apply.go", "internal/engine/send.go", "internal/engine/filter.go", "internal/engine/quality.go", "internal/engine/routes.go", "internal/engine/brake.go"}

var impure = []string{"context", "database/sql", "github.com/jackc/pgx", "net", "os", "io", "log", "sync", "math/rand", "crypto/rand", "unsafe"}

// clock is what of package time looks at or waits for a clock.
var clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

// A use is a function that may be called in some places only, outside of tests.
type use struct {
	pkg   string
	names []string
	in    []string
	why   string
}

var uses = []use{
	{"net/http", []string{"Server", "ListenAndServe", "ListenAndServeTLS", "Serve", "ServeTLS", "NewServeMux"}, []string{"api/...", "web/...", "cmd/syncline"},
		"what comes in over HTTP comes in at the edges"},
	{"os", []string{"Getenv", "LookupEnv", "Environ"}, []string{"cmd/syncline", "internal/localdb/...", "web/webtest", "internal/connector/sandbox/sandboxtest", "internal/connector/connectortest/card"},
		"the environment is read once, in cmd, and handed on (localdb and webtest look for installed programs, sandboxtest for CI, card for where to leave the table)"},
}

// importFaults are the broken rules of a tree, each a sentence with its reason.
func importFaults(sources []*source) []string {
	var faults []string
	seen := make(map[string]bool)
	report := func(format string, args ...any) {
		if f := fmt.Sprintf(format, args...); !seen[f] {
			seen[f] = true
			faults = append(faults, f)
		}
	}
	used := make(map[[2]string]bool)
	for _, s := range sources {
		if !s.test && bandOf(s.dir) < 0 {
			report("%s belongs to no band; give it a place in internal/imports_test.go and in ARCHITECTURE.md", s.dir)
			continue
		}
		isPure := under(s.dir, pure...) || slices.Contains(pure, s.path)
		for name, p := range s.imports {
			if ours, ok := strings.CutPrefix(p, module+"/"); ok {
				if !s.test {
					ownImport(s.dir, ours, used, report)
				}
				continue
			}
			for _, h := range homes {
				if library(p, h.library) && (!s.test || h.tests) && !under(s.dir, h.in...) && !cloudConnector(h, s.dir) {
					report("%s imports %s, whose home is %s: %s", s.path, p, orConnector(h.in), h.why)
				}
			}
			if isPure && !s.test && slices.ContainsFunc(impure, func(l string) bool { return library(p, l) }) {
				report("%s imports %s, but it is pure: a function of its arguments", s.path, strings.TrimPrefix(name, "_ "))
			}
		}
		if s.test {
			continue
		}
		s.uses(func(_ ast.Node, pkg, name string) {
			if isPure && pkg == "time" && slices.Contains(clock, name) {
				report("%s calls time.%s, but it is pure: times are given to it", s.path, name)
			}
			for _, u := range uses {
				if pkg == u.pkg && slices.Contains(u.names, name) && !under(s.dir, u.in...) {
					report("%s uses %s.%s, which belongs to %s: %s", s.path, u.pkg, name, strings.Join(u.in, ", "), u.why)
				}
			}
		})
	}
	for pair := range allowed {
		if !used[pair] {
			report("the table allows %s to import %s, which it does not: take the line out", pair[0], pair[1])
		}
	}
	slices.Sort(faults)
	return faults
}

// ownImport checks an import of one package of ours by another.
func ownImport(from, to string, used map[[2]string]bool, report func(string, ...any)) {
	f, t := bandOf(from), bandOf(to)
	if t < 0 {
		return // reported where its own files are looked at
	}
	for _, d := range doors {
		if under(to, d.pkg...) && d.from != nil && !under(from, d.from...) && !sameRoom(from, to) && bands[f].name != "testing" {
			report("%s imports %s, which only %s may: %s", from, to, strings.Join(d.from, ", "), d.why)
		}
		if under(from, d.pkg...) && d.to != nil && !under(to, d.to...) {
			report("%s imports %s, but of ours it may import only %s: %s", from, to, orNothing(d.to), d.why)
		}
	}
	pair := [2]string{from, to}
	switch {
	case bands[t].name == "testing" && bands[f].name != "testing":
		report("%s imports %s: %s", from, to, bands[t].up)
	case f < t:
		report("%s (%s) imports %s (%s), which is above it: %s", from, bands[f].name, to, bands[t].name, bands[f].up)
	case f == t && !sameRoom(from, to):
		used[pair] = true
		if allowed[pair] == "" {
			report("%s imports %s, both %s: neighbours do not call each other unless the table says why; ask the transaction, or declare the interface you need", from, to, bands[f].name)
		}
	}
}

// bandOf is the place of the package's band, the most exact entry counting; -1 without one.
func bandOf(pkg string) int {
	best, length := -1, -1
	for i, b := range bands {
		for _, p := range b.packages {
			if under(pkg, p) && len(p) > length {
				best, length = i, len(p)
			}
		}
	}
	return best
}

// sameRoom says whether two packages are parts of one: api and api/spec, web and web/ui, store and what only it can import.
func sameRoom(a, b string) bool {
	for _, b0 := range bands {
		for _, p := range b0.packages {
			if strings.HasSuffix(p, "/...") && under(a, p) && under(b, p) {
				return true
			}
		}
	}
	return false
}

func library(path, of string) bool {
	return path == of || strings.HasPrefix(path, of+"/")
}

// cloudConnector says whether the folder is a connector, where the SDKs without another home belong.
func cloudConnector(h home, dir string) bool {
	name, ok := strings.CutPrefix(dir, "internal/connector/")
	return h.in == nil && ok && name != "connectortest"
}

func orConnector(in []string) string {
	if in == nil {
		return "the system's connector"
	}
	return strings.Join(in, ", ")
}

func orNothing(in []string) string {
	if len(in) == 0 {
		return "nothing"
	}
	return strings.Join(in, ", ")
}

// TestImports holds the directions of ARCHITECTURE.md.
func TestImports(t *testing.T) {
	for _, f := range importFaults(readSources(t, repository())) {
		t.Error(f)
	}
}

// TestImportFaultsAreSeen breaks each kind of rule once.
func TestImportFaultsAreSeen(t *testing.T) {
	tests := []struct {
		name string
		path string
		text string // after the package clause
		want string // part of the report; "" for none
	}{
		{"downward", "internal/engine/a.go", `import _ "` + module + `/internal/record"`, ""},
		{"upward", "internal/service/a.go", `import _ "` + module + `/internal/engine"`, "a subject causes work by writing"},
		{"a rule that wants the store", "internal/conflict/a.go", `import _ "` + module + `/internal/store"`, "which is above it: a rule is given"},
		{"a neighbour", "internal/engine/a.go", `import _ "` + module + `/internal/scheduler"`, "neighbours do not call each other"},
		{"a neighbour with a reason", "internal/service/a.go", `import _ "` + module + `/internal/connection"`, ""},
		{"past a door", "internal/worker/a.go", `import _ "` + module + `/internal/live"`, "a nudge"},
		{"out of a door", "internal/connector/postgres/a.go", `import _ "` + module + `/internal/tenant"`, "a connector serves any tenant"},
		{"the dashboard calling the API", "web/a.go", `import _ "` + module + `/api/spec"`, "the same operations"},
		{"one room", "web/a.go", `import _ "` + module + `/web/ui"`, ""},
		{"a package without a place", "internal/util/a.go", ``, "internal/util belongs to no band"},
		{"test helpers in the program", "internal/engine/a.go", `import _ "` + module + `/internal/connector/connectortest"`, "not part of the program"},
		{"test helpers in tests", "internal/engine/a_test.go", `import _ "` + module + `/internal/store/storetest"`, ""},
		{"SQL outside the store", "internal/service/a.go", `import _ "github.com/jackc/pgx/v5"`, "whose home is internal/store/..."},
		{"SQL in a test", "internal/service/a_test.go", `import _ "github.com/jackc/pgx/v5"`, ""},
		{"a library whose name begins alike", "internal/service/a.go", `import _ "github.com/jackc/pgxother"`, ""},
		{"River below the worker", "internal/engine/a.go", `import _ "github.com/riverqueue/river/rivertype"`, "without knowing the queue"},
		{"a cloud in a test of the core", "internal/engine/a_test.go", `import _ "github.com/aws/aws-sdk-go-v2/config"`, "the system's connector"},
		{"a cloud in its connector", "internal/connector/s3/a_test.go", `import _ "github.com/aws/aws-sdk-go-v2/config"`, ""},
		{"a context in a rule", "internal/match/a.go", `import _ "context"`, "it is pure"},
		{"a clock in a rule", "billing/rating/a.go", "import \"time\"\nvar t = time.Now()", "calls time.Now"},
		{"a clock under another name", "internal/mapping/a.go", "import when \"time\"\nvar t = when.Since", "calls time.Since"},
		{"a clock in a pure file", "internal/engine/apply.go", "import \"time\"\nvar t = time.Now()", "calls time.Now"},
		{"a clock elsewhere", "internal/engine/pull.go", "import \"time\"\nvar t = time.Now()", ""},
		{"times in a rule", "internal/conflict/a.go", "import \"time\"\nvar t time.Time", ""},
		{"a server in the engine", "internal/engine/a.go", "import \"net/http\"\nvar s http.Server", "comes in at the edges"},
		{"a client in a connector", "internal/connector/mysql/a.go", "import \"net/http\"\nvar c http.Client", ""},
		{"the environment below cmd", "internal/auth/a.go", "import \"os\"\nvar v = os.Getenv(\"X\")", "the environment is read once"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tree := fstest.MapFS{test.path: {Data: []byte("package a\n" + test.text + "\n")}}
			var got []string
			for _, f := range importFaults(readSources(t, tree)) {
				if !strings.HasPrefix(f, "the table allows ") { // the fake tree uses none of them
					got = append(got, f)
				}
			}
			switch {
			case test.want == "" && len(got) > 0:
				t.Errorf("reported without need: %q", got)
			case test.want != "" && !slices.ContainsFunc(got, func(f string) bool { return strings.Contains(f, test.want) }):
				t.Errorf("reported %q, want something with %q", got, test.want)
			}
		})
	}
	t.Run("a line of the table that is not needed", func(t *testing.T) {
		got := importFaults(readSources(t, fstest.MapFS{"internal/ident/a.go": {Data: []byte("package a\n")}}))
		if !slices.ContainsFunc(got, func(f string) bool { return strings.Contains(f, "allows internal/ident to import internal/fault") }) {
			t.Errorf("not reported: %q", got)
		}
	})
}
