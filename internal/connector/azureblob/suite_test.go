// SPDX-License-Identifier: Apache-2.0

package azureblob

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/connector/filestore/filestoretest"
)

// simulator is as much of the service as the connector uses, by the vendor's description: put, get, head, delete and list
// of block blobs with conditions, and the shared key's signature.
type simulator struct {
	key      []byte
	readOnly bool
	busy     bool

	mu    sync.Mutex
	n     int
	blobs map[string]*held
}

type held struct {
	data []byte
	tag  string
	at   time.Time
}

func fail(w http.ResponseWriter, status int, code string) {
	w.Header().Set("x-ms-error-code", code)
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>no</Message></Error>", code)
}

// signed says whether the request carries the signature of the account's key.
func (s *simulator) signed(r *http.Request) bool {
	length := r.Header.Get("Content-Length")
	if length == "" && r.ContentLength > 0 {
		length = fmt.Sprint(r.ContentLength)
	}
	h := r.Header
	text := strings.Join([]string{r.Method, h.Get("Content-Encoding"), h.Get("Content-Language"), length, h.Get("Content-MD5"), h.Get("Content-Type"), "",
		h.Get("If-Modified-Since"), h.Get("If-Match"), h.Get("If-None-Match"), h.Get("If-Unmodified-Since"), h.Get("Range")}, "\n") + "\n"
	var own []string
	for name, values := range h {
		if name = strings.ToLower(name); strings.HasPrefix(name, "x-ms-") {
			own = append(own, name+":"+strings.TrimSpace(values[0])+"\n")
		}
	}
	slices.Sort(own)
	text += strings.Join(own, "") + "/acc" + r.URL.EscapedPath()
	var query []string
	for name, values := range r.URL.Query() {
		query = append(query, "\n"+strings.ToLower(name)+":"+strings.Join(values, ","))
	}
	slices.Sort(query)
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(text + strings.Join(query, "")))
	return h.Get("Authorization") == "SharedKey acc:"+base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func (s *simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name, inside := strings.CutPrefix(r.URL.Path, "/exchange")
	name = strings.TrimPrefix(name, "/")
	b := s.blobs[name]
	switch {
	case !s.signed(r):
		fail(w, http.StatusForbidden, "AuthenticationFailed")
	case !inside:
		fail(w, http.StatusNotFound, "ContainerNotFound")
	case r.URL.Query().Get("comp") == "list":
		s.list(w, r)
	case s.busy:
		w.Header().Set("Retry-After", "1")
		fail(w, http.StatusServiceUnavailable, "ServerBusy")
	case (r.Method == http.MethodPut || r.Method == http.MethodDelete) && s.readOnly:
		fail(w, http.StatusForbidden, "AuthorizationPermissionMismatch")
	case r.Method == http.MethodPut:
		data, _ := io.ReadAll(r.Body)
		match, none := r.Header.Get("If-Match"), r.Header.Get("If-None-Match")
		switch {
		case none == "*" && b != nil:
			fail(w, http.StatusConflict, "BlobAlreadyExists")
		case match != "" && (b == nil || b.tag != match):
			fail(w, http.StatusPreconditionFailed, "ConditionNotMet")
		default:
			s.n++
			s.blobs[name] = &held{data, fmt.Sprintf(`"0x%X"`, s.n), time.Now()}
			w.Header().Set("ETag", s.blobs[name].tag)
			w.WriteHeader(http.StatusCreated)
		}
	case b == nil:
		fail(w, http.StatusNotFound, "BlobNotFound")
	case r.Method == http.MethodDelete:
		delete(s.blobs, name)
		w.WriteHeader(http.StatusAccepted)
	default:
		w.Header().Set("ETag", b.tag)
		w.Header().Set("Last-Modified", b.at.UTC().Format(http.TimeFormat))
		w.Header().Set("Content-Length", fmt.Sprint(len(b.data)))
		if r.Method == http.MethodGet {
			_, _ = w.Write(b.data)
		}
	}
}

// list answers in pages of three, so that paging is under test.
func (s *simulator) list(w http.ResponseWriter, r *http.Request) {
	type properties struct {
		Length   int    `xml:"Content-Length"`
		Tag      string `xml:"Etag"`
		Modified string `xml:"Last-Modified"`
	}
	type item struct {
		Name       string
		Properties properties
	}
	var out struct {
		XMLName    xml.Name `xml:"EnumerationResults"`
		Blobs      []item   `xml:"Blobs>Blob"`
		NextMarker string
	}
	var names []string
	for n := range s.blobs {
		if strings.HasPrefix(n, r.URL.Query().Get("prefix")) && n > r.URL.Query().Get("marker") {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	for i, n := range names {
		if i == 3 {
			out.NextMarker = names[i-1]
			break
		}
		b := s.blobs[n]
		out.Blobs = append(out.Blobs, item{n, properties{len(b.data), strings.Trim(b.tag, `"`), b.at.UTC().Format(http.TimeFormat)}})
	}
	w.Header().Set("Content-Type", "application/xml")
	_ = xml.NewEncoder(w).Encode(out)
}

func start(t *testing.T) (*simulator, connector.Settings) {
	t.Helper()
	s := &simulator{key: []byte(strings.Repeat("k", 64)), blobs: map[string]*held{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return s, connector.Settings{"account": "acc", "container": "exchange", "prefix": "some/folder", "endpoint": server.URL, "accountKey": base64.StdEncoding.EncodeToString(s.key)}
}

func with(s connector.Settings, name, value string) connector.Settings {
	out := connector.Settings{}
	for k, v := range s {
		out[k] = v
	}
	out[name] = value
	return out
}

func TestSuite(t *testing.T) {
	t.Parallel()
	p, _ := place(t)
	filestoretest.Run(t, p, "csv")
}

func TestTrouble(t *testing.T) {
	t.Parallel()
	p, s := place(t)
	filestoretest.RunTrouble(t, p, filestoretest.Trouble{Elapse: func(time.Duration) {}, Throttle: func(on bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.busy = on
	}})
}

func place(t *testing.T) (filestoretest.Place, *simulator) {
	t.Helper()
	s, good := start(t)
	checked, err := New().Spec().Check(good)
	if err != nil {
		t.Fatal(err)
	}
	files, err := open(checked, connector.Env{})
	if err != nil {
		t.Fatal(err)
	}
	return filestoretest.Place{
		Connector: New(), Settings: good, Judge: "a store in the test that checks the signatures", Not: connectortest.Signed(),
		Bad: []connector.Settings{with(good, "accountKey", base64.StdEncoding.EncodeToString([]byte("another key"))), with(good, "accountKey", "not base64!"), with(good, "accountKey", ""), with(good, "container", "elsewhere")},
		Put: func(_ testing.TB, name string, data []byte) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.n++
			s.blobs["some/folder/"+name] = &held{data, fmt.Sprintf(`"0x%X"`, s.n), time.Now()}
		},
		List: func(t testing.TB, prefix string) (names []string) {
			list, err := files.List(t.Context(), prefix, 10_000)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range list {
				names = append(names, f.Name)
			}
			return names
		},
		Remove: func(t testing.TB, name string) {
			if err := files.Remove(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		},
	}, s
}

func TestReadOnlyContainer(t *testing.T) {
	t.Parallel()
	s, good := start(t)
	checked, err := New().Spec().Check(good)
	if err != nil {
		t.Fatal(err)
	}
	put := func(data string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.n++
		s.blobs["some/folder/a.csv"] = &held{[]byte(data), fmt.Sprintf(`"0x%X"`, s.n), time.Now()}
	}
	s.readOnly = true
	put("id,name\n1,Ada\n2,Bob\n")
	filestoretest.ReadOnly(t, New(), checked, connector.Env{Consumer: "svc_1"}, "a.csv", put)
}
