// SPDX-License-Identifier: Apache-2.0

package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/telemetry"
)

// canary is a secret that must not be found in any log.
const canary = "c4nary0f7heCoalMine"

type settings struct {
	Host     string
	Password string `json:"password"`
	Nested   map[string]any
}

type shy struct{}

func (shy) LogValue() slog.Value { return slog.GroupValue(slog.String("token", canary)) }

func TestNoSecretReachesTheLog(t *testing.T) {
	tests := map[string]func(*slog.Logger){
		"attribute by name": func(l *slog.Logger) { l.Info("m", "password", canary) },
		"name in another style": func(l *slog.Logger) {
			l.Info("m", "X-Api-Key", canary, "clientSecret", canary, "refresh_token", canary)
		},
		"attribute kept by a logger": func(l *slog.Logger) { l.With("authorization", canary).Info("m") },
		"attribute in a group":       func(l *slog.Logger) { l.Info("m", slog.Group("request", slog.String("cookie", canary))) },
		"attribute in a kept group":  func(l *slog.Logger) { l.WithGroup("g").With("token", canary).Info("m") },
		"a secret of bytes":          func(l *slog.Logger) { l.Info("m", "masterKey", []byte(canary)) },
		"a secret that is a number":  func(l *slog.Logger) { l.Info("m", "token", 4711, "x", canary[:0]) },
		"value that explains itself": func(l *slog.Logger) { l.Info("m", "it", shy{}) },
		"struct":                     func(l *slog.Logger) { l.Info("m", "settings", settings{Host: "h", Password: canary}) },
		"struct nested": func(l *slog.Logger) {
			l.Info("m", "settings", &settings{Nested: map[string]any{"list": []any{map[string]any{"api_key": canary}}}})
		},
		"map":                    func(l *slog.Logger) { l.Info("m", "settings", map[string]string{"secret": canary}) },
		"JSON as text":           func(l *slog.Logger) { l.Info("m", "body", `{"user":"ada","password":"`+canary+`"}`) },
		"JSON as bytes":          func(l *slog.Logger) { l.Info("m", "body", []byte(`{"refreshToken": "`+canary+`"}`)) },
		"our key in the message": func(l *slog.Logger) { l.Info("refused sl_live_" + canary + "ABCDEFGHIJKLMNOPQ") },
		"our key in an error": func(l *slog.Logger) {
			l.Error("m", "error", fmt.Errorf("key sl_test_%s: %w", canary, errors.ErrUnsupported))
		},
		"header":               func(l *slog.Logger) { l.Info("m", "header", "Authorization: Bearer "+canary) },
		"basic authentication": func(l *slog.Logger) { l.Info("m", "header", "Basic "+canary) },
		"database address": func(l *slog.Logger) {
			l.Error("m", "error", errors.New("dial postgres://sync:"+canary+"@db/x?sslmode=off"))
		},
		"MySQL address":             func(l *slog.Logger) { l.Error("m", "error", errors.New("open sync:"+canary+"@tcp(db:3306)/x")) },
		"keyword connection string": func(l *slog.Logger) { l.Error("m", "error", errors.New("host=db password="+canary+" user=x")) },
		"query string":              func(l *slog.Logger) { l.Info("m", "url", "/x?access_token="+canary+"&limit=3") },
		"YAML":                      func(l *slog.Logger) { l.Info("m", "document", "connection:\n  password: "+canary+"\n") },
		"quoted value with spaces":  func(l *slog.Logger) { l.Info(`password="two ` + canary + `"`) },
		"JSON web token":            func(l *slog.Logger) { l.Info("m", "x", "eyJhbGciOiJIUzI1NiJ9."+canary+"."+canary) },
		"a list of addresses":       func(l *slog.Logger) { l.Info("m", "urls", []string{"https://u:" + canary + "@h/"}) },
		"an event collected by parts": func(l *slog.Logger) {
			ctx, e := telemetry.Begin(context.Background(), "request")
			telemetry.Add(ctx, slog.String("password", canary), slog.Any("error", errors.New("secret: "+canary)))
			e.End(ctx, l, slog.LevelInfo)
		},
	}
	for name, write := range tests {
		for _, format := range []string{"json", "text"} {
			t.Run(name+"/"+format, func(t *testing.T) {
				var out bytes.Buffer
				write(telemetry.NewLogger(&out, format, slog.LevelDebug))
				if out.Len() == 0 {
					t.Fatal("nothing was logged")
				}
				if strings.Contains(out.String(), canary) || strings.Contains(out.String(), "4711") {
					t.Errorf("a secret is in the log: %s", out.String())
				}
			})
		}
	}
}

func TestWhatIsNoSecretStays(t *testing.T) {
	var out bytes.Buffer
	l := telemetry.NewLogger(&out, "json", slog.LevelDebug)
	l.Info("a run ended", "run", "run_069w3jzff1r00010400000000g", "key", "SKU-1", "n", 7, "took", time.Second, "url", "https://db.example.com:5432/x", "error", errors.New("the field name is too long"))
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{"msg": "a run ended", "run": "run_069w3jzff1r00010400000000g", "key": "SKU-1", "n": 7.0, "url": "https://db.example.com:5432/x", "error": "the field name is too long"} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
}

func TestAnEventIsWrittenOnceWithTheLastValues(t *testing.T) {
	var out bytes.Buffer
	l := telemetry.NewLogger(&out, "json", slog.LevelInfo)
	ctx, e := telemetry.Begin(t.Context(), "run", slog.String("state", "queued"))
	telemetry.Add(ctx, slog.Int("read", 3), slog.String("state", "succeeded"))
	telemetry.Add(t.Context(), slog.String("lost", "no event in this context"))
	e.End(ctx, l, slog.LevelInfo)
	if n := strings.Count(out.String(), "\n"); n != 1 {
		t.Fatalf("%d lines", n)
	}
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got["msg"] != "run" || got["state"] != "succeeded" || got["read"] != 3.0 || got["ms"] == nil || got["lost"] != nil {
		t.Errorf("the event is %v", got)
	}
}

func TestMetricsAreServed(t *testing.T) {
	m := telemetry.NewMetrics()
	m.Request("getTenant", 200, 3*time.Millisecond)
	closed := m.Stream()
	m.Job("sync", "done", time.Second)
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, want := range []string{`syncline_http_request_seconds_count{operation="getTenant",status="200"} 1`, "syncline_event_streams 1", `syncline_job_seconds_count{kind="sync",outcome="done"} 1`, "go_goroutines"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s is missing", want)
		}
	}
	closed()
}
