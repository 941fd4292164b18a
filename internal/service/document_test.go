// SPDX-License-Identifier: Apache-2.0

package service

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/fault"
)

var update = flag.Bool("update", false, "write the generated files (schema.json, the tables of docs/service-document.md)")

// missionExamples are the six configurations of the founding text.
var missionExamples = []string{"crm-contact-sync.yaml", "inventory-sync.json", "financial-sync.yaml", "hr-data-sync.json", "project-sync.yaml", "cdp-sync.json"}

func missionExample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "mission", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func formatOf(name string) Format {
	if strings.HasSuffix(name, ".json") {
		return JSON
	}
	return YAML
}

func mustParse(t testing.TB, source string) *Document {
	t.Helper()
	doc, err := Parse([]byte(source), YAML)
	if err != nil {
		t.Fatalf("%v\nin\n%s", describe(err), source)
	}
	return doc
}

// describe shows a fault with its fields.
func describe(err error) string {
	f := fault.As(err)
	if f == nil {
		return err.Error()
	}
	b, _ := json.MarshalIndent(f.Fields, "", " ")
	return f.Error() + "\n" + string(b)
}

func specPostgres() connector.Spec {
	return connector.Spec{
		Type: "postgresql", Aliases: []string{"postgres"}, Title: "PostgreSQL", Class: "standard",
		Detections: []string{"database-trigger", "cdc", "timestamp", "hash"},
		Settings: []connector.Setting{
			{Name: "host", Title: "Host", Doc: "The server.", Kind: connector.Text, Required: true},
			{Name: "port", Title: "Port", Doc: "1 to 65535.", Kind: connector.Integer, Default: "5432"},
			{Name: "database", Title: "Database", Doc: "Its name.", Kind: connector.Text, Required: true},
			{Name: "user", Title: "User", Doc: "Who signs in.", Kind: connector.Text},
			{Name: "password", Title: "Password", Doc: "A secret.", Kind: connector.Text, Secret: true},
			{Name: "sslMode", Title: "TLS", Doc: "disable, require or verify-full.", Kind: connector.Choice, Choices: []string{"disable", "require", "verify-full"}},
		},
	}
}

func specMySQL() connector.Spec {
	s := specPostgres()
	s.Type, s.Aliases, s.Title = "mysql", []string{"mariadb"}, "MySQL"
	s.Detections = []string{"cdc", "timestamp", "hash"}
	return s
}

// databasesOnly is a build with the two database connectors and a tenant that has every secret and no connection.
func databasesOnly() Lookups {
	return Lookups{
		Connector: func(typ string) (connector.Spec, bool) {
			for _, s := range []connector.Spec{specPostgres(), specMySQL()} {
				if specIs(s, typ) {
					return s, true
				}
			}
			return connector.Spec{}, false
		},
		Secret:     func(string) bool { return true },
		Connection: func(string) (string, bool) { return "", false },
	}
}

func TestMissionExamplesAreUnchanged(t *testing.T) {
	sums := map[string]string{
		"crm-contact-sync.yaml": "92211119b3b554d71689076c82f2341dade1de9a8f8b91e2777770c493a8d75f",
		"inventory-sync.json":   "766877c8233b66dada366dc623146ef5ff6df32059d9d38da1b20d14c0850540",
		"financial-sync.yaml":   "78fb4fd84e6e8f833a1a973535f16e2ffc13c153a3d048d46770e9a38979a3cc",
		"hr-data-sync.json":     "de442d4a2eeb6d803b6608f066036c5ffde6fe94d71be2bf40d29c1463a27ac6",
		"project-sync.yaml":     "9a29d97911134b3aeeb779d253a954769740a86dde582657782fd2023c17f3d2",
		"cdp-sync.json":         "94fff36e32ca2bf49b4d0cf20a58c430958ea1d38be6687624e95ba58d186b9c",
	}
	given := filepath.Join("..", "..", "..", "shared", "mission", "examples")
	for _, name := range missionExamples {
		ours := missionExample(t, name)
		if sum := fmt.Sprintf("%x", sha256.Sum256(ours)); sum != sums[name] {
			t.Errorf("%s was edited: its hash is %s", name, sum)
		}
		theirs, err := os.ReadFile(filepath.Join(given, name))
		switch {
		case os.IsNotExist(err):
			t.Logf("%s is not here; the copy of %s is checked by its hash alone", given, name)
		case err != nil:
			t.Error(err)
		case !bytes.Equal(ours, theirs):
			t.Errorf("%s differs from the founding text's", name)
		}
	}
}

// Done when: all six parse and validate; a connector that is not there yet is reported as exactly that, and as nothing else.
func TestMissionExamplesValidate(t *testing.T) {
	unavailable := map[string][]string{ // pointers, in the order of the source
		"crm-contact-sync.yaml": {"/systems/0/type", "/systems/1/type", "/systems/2/type"},
		"inventory-sync.json":   {"/systems/1/type", "/systems/2/type", "/systems/3/type"},
		"financial-sync.yaml":   {"/systems/0/type", "/systems/1/type", "/systems/2/type"},
		"hr-data-sync.json":     {"/systems/0/type", "/systems/1/type", "/systems/2/type", "/systems/3/type"},
		"project-sync.yaml":     {"/systems/0/type", "/systems/1/type", "/systems/2/type", "/systems/3/type"},
		"cdp-sync.json": {"/systems/0/type", "/systems/1/type", "/systems/2/type", "/systems/3/type", "/systems/4/type",
			"/syncConfig/enrichment/sources/0", "/syncConfig/enrichment/sources/1"},
	}
	for _, name := range missionExamples {
		t.Run(name, func(t *testing.T) {
			doc, err := Parse(missionExample(t, name), formatOf(name))
			if err != nil {
				t.Fatal(describe(err))
			}
			found := doc.Validate(databasesOnly())
			if len(found.Notices) > 0 {
				t.Errorf("notices: %+v", found.Notices)
			}
			var got []string
			for _, e := range found.Errors {
				if e.Code != CodeConnectorUnavailable {
					t.Errorf("besides missing connectors: %+v", e)
				}
				if e.Line == 0 || e.Column == 0 || e.Remedy == "" {
					t.Errorf("incomplete: %+v", e)
				}
				got = append(got, e.Pointer)
			}
			if !reflect.DeepEqual(got, unavailable[name]) {
				t.Errorf("unavailable %v, want %v", got, unavailable[name])
			}
		})
	}
}

// With every connector there, the examples have no errors at all; what is retired is noted.
func TestMissionExamplesWithAllConnectors(t *testing.T) {
	settings := func(names ...string) (out []connector.Setting) {
		for _, n := range names {
			out = append(out, connector.Setting{Name: n, Title: n, Kind: connector.Text, Required: true})
		}
		return out
	}
	specs := map[string]connector.Spec{
		"postgresql": {Type: "postgresql", Settings: settings("host", "database"), Detections: []string{"database-trigger"}},
		"hubspot":    {Type: "hubspot", Settings: settings("accessToken")},
		"salesforce": {Type: "salesforce", Settings: settings("instanceUrl", "accessToken")}, "zendesk": {Type: "zendesk", Settings: settings("subdomain", "apiToken")},
		"shopify": {Type: "shopify", Settings: settings("shop", "accessToken")}, "amazon-mws": {Type: "amazon-sp-api", Aliases: []string{"amazon-mws"}, Settings: settings("sellerId", "authToken")},
		"ebay": {Type: "ebay", Settings: settings("userId", "token")},
	}
	notices := map[string][]string{
		"crm-contact-sync.yaml": {"service.setting_retired 15:15"},
		"inventory-sync.json":   {"service.connector_retired 27:15"},
		"cdp-sync.json":         {"service.connector_retired 40:19", "service.connector_retired 40:31"},
	}
	known := databasesOnly()
	known.Connector = func(typ string) (connector.Spec, bool) {
		if s, ok := specs[typ]; ok {
			return s, true
		}
		return connector.Spec{Type: typ, Title: typ, Settings: append(settings(), optional("clientId", "clientSecret", "realmId", "apiKey", "secret", "accessToken", "subdomain",
			"domain", "serviceAccount", "apiToken", "site", "email", "accountId", "writeKey", "space")...)}, true
	}
	known.Connection = func(name string) (string, bool) { return "", true }
	known.Model = func(_, object string) string { return "contacts" } // the connectors bind every object
	for _, name := range missionExamples {
		doc, err := Parse(missionExample(t, name), formatOf(name))
		if err != nil {
			t.Fatal(describe(err))
		}
		found := doc.Validate(known)
		if len(found.Errors) > 0 {
			t.Errorf("%s: %+v", name, found.Errors)
		}
		var got []string
		for _, n := range found.Notices {
			got = append(got, n.Code+" "+itoa(n.Line)+":"+itoa(n.Column))
		}
		if !reflect.DeepEqual(got, notices[name]) {
			t.Errorf("%s: notices %v, want %v", name, got, notices[name])
		}
	}
}

func optional(names ...string) (out []connector.Setting) {
	for _, n := range names {
		out = append(out, connector.Setting{Name: n, Kind: connector.Text})
	}
	return out
}

func itoa(i int) string { b, _ := json.Marshal(i); return string(b) }

// everything is a document with every field there is.
func everything(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "everything.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCanonicalFormIsLossless(t *testing.T) {
	sources := map[string][]byte{"everything.yaml": everything(t)}
	for _, name := range missionExamples {
		sources[name] = missionExample(t, name)
	}
	for name, source := range sources {
		doc, err := Parse(source, formatOf(name))
		if err != nil {
			t.Fatalf("%s: %s", name, describe(err))
		}
		first, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		// back from what jsonb makes of it: other order and white space, same values
		var loose any
		d := json.NewDecoder(bytes.NewReader(first))
		d.UseNumber()
		if err := d.Decode(&loose); err != nil {
			t.Fatal(err)
		}
		stored, _ := json.MarshalIndent(loose, "", "  ")
		var back Document
		if err := json.Unmarshal(stored, &back); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		doc.places = nil
		if !reflect.DeepEqual(*doc, back) {
			t.Errorf("%s: differs after a round trip:\n%+v\n%+v", name, *doc, back)
		}
		if second, _ := json.Marshal(back); !bytes.Equal(first, second) {
			t.Errorf("%s: not stable:\n%s\n%s", name, first, second)
		}
		// the canonical form is a document itself, and its own canonical form
		again, err := Parse(first, JSON)
		if err != nil {
			t.Fatalf("%s: the canonical form is refused: %s\n%s", name, describe(err), first)
		}
		if third, _ := json.Marshal(again); !bytes.Equal(first, third) {
			t.Errorf("%s: parsed again it differs:\n%s\n%s", name, first, third)
		}
	}
}

// Every field of the shapes has its place in the Go types and the other way round, so that nothing read is lost.
func TestShapesFitTheTypes(t *testing.T) {
	fits(t, "document", documentShape, reflect.TypeOf(Document{}), map[reflect.Type]bool{})
}

func fits(t *testing.T, path string, s *shape, typ reflect.Type, seen map[reflect.Type]bool) {
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	switch {
	case typ == reflect.TypeOf(Connection{}) || typ == reflect.TypeOf(Literal{}) || typ == reflect.TypeOf(FieldMapping{}):
		return // these read themselves; the round trips above cover them
	case typ == reflect.TypeOf(Validation{}):
		for _, f := range s.fields {
			if _, ok := typ.FieldByNameFunc(func(n string) bool { return strings.EqualFold(n, f.name) }); !ok {
				t.Errorf("%s.%s has no field in Validation", path, f.name)
			}
		}
		fits(t, path+".*", s.rest, reflect.TypeOf(FieldRule{}), seen)
		return
	case s.listForm() != nil && typ.Kind() == reflect.Slice:
		fits(t, path+"[]", s.listForm().item, typ.Elem(), seen)
		return
	case typ.Kind() == reflect.Map:
		if b := s.blockForm(); b == nil || b.rest == nil {
			t.Errorf("%s: a map for a block of fixed fields", path)
		} else {
			fits(t, path+".*", b.rest, typ.Elem(), seen)
		}
		return
	case typ.Kind() == reflect.Struct:
		if seen[typ] {
			return
		}
		seen[typ] = true
		b := s.blockForm()
		if b == nil {
			t.Errorf("%s: %v has no block", path, typ)
			return
		}
		fields := map[string]reflect.Type{}
		for _, f := range reflect.VisibleFields(typ) {
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
				fields[name] = f.Type
			}
		}
		for _, f := range b.fields {
			if f.home != "" {
				continue
			}
			ft, ok := fields[f.name]
			if !ok {
				t.Errorf("%s.%s has no field in %v", path, f.name, typ)
				continue
			}
			delete(fields, f.name)
			fits(t, path+"."+f.name, f.shape, ft, seen)
		}
		for name := range fields {
			t.Errorf("%v.%s has no shape", typ, name)
		}
	}
}

func TestEnabledBlocks(t *testing.T) {
	doc := mustParse(t, twoSystems+`
auditLog: disabled
syncConfig:
  deduplication: {matchFields: [email]}
  enrichment: {enabled: false}
  gdpr: {enabled: true}
`)
	c := doc.SyncConfig
	if !c.Deduplication.On() || c.Enrichment.On() || !c.GDPR.On() || c.Reconciliation.On() || doc.AuditLog.On() {
		t.Errorf("dedup %v enrichment %v gdpr %v reconciliation %v audit %v", c.Deduplication.On(), c.Enrichment.On(), c.GDPR.On(), c.Reconciliation.On(), doc.AuditLog.On())
	}
}

// twoSystems is the beginning of a small valid document.
const twoSystems = `service: demo
systems:
  - {id: warehouse, type: postgresql, connection: {host: db, database: inv, table: stock_levels}}
  - {id: shop, type: mysql, connection: shop-db, objects: [stock]}
`
