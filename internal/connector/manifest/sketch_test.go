// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func shopSketch() Sketch {
	return Sketch{Title: "Our shop", BaseURL: "https://shop.example.com/api/", Auth: "bearer", Objects: []SketchObject{{
		Name: "articles", Key: "id", Version: "updated_at", Since: "updated_since", ReadOnly: "url",
		Example: `{"articles": [{"id": 7, "title": "Tea", "price": 4.50, "sold": true, "updated_at": "2026-11-23T09:00:00Z", "since": "2026-11-23", "tags": [], "maker": {"name": "x"}, "note": null, "url": "u"}]}`,
		Fields:  "price number\nnote text\n", List: "articles", Records: "articles", Paging: "offset", Limit: "limit", Place: "offset",
		Get: "/articles/{id}", Record: "article", Create: "/articles", Update: "/articles/:id", Delete: "articles/{article_id}", Wrap: "article", Answers: true,
	}}}
}

// A form that is filled in is a manifest without faults, and says what was meant.
func TestSketch(t *testing.T) {
	t.Parallel()
	source, problems := shopSketch().Source()
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	m, err := parse([]byte(source), true)
	if err != nil {
		t.Fatalf("%v\n%s", err, source)
	}
	o := m.Objects["articles"]
	if m.Type != "our-shop" || m.Settings[0].Default != "https://shop.example.com/api" || m.Auth[0].Kind != "bearer" || o.Changes.Style != "since" || o.Get.Request.Path != "/articles/{key}" ||
		o.Update.Request.Path != "/articles/{key}" || o.Delete.Request.Path != "/articles/{key}" || o.List.Request.Path != "/articles" || o.Create.Key != "article.id" || o.Update.Record != "article" {
		t.Errorf("it became %+v, %+v", m, o)
	}
	var got []string
	for _, f := range o.Fields {
		got = append(got, fmt.Sprintf("%s:%s:%v", f.Name, f.Type, f.ReadOnly))
	}
	want := []string{"price:number:false", "note:text:false", "id:integer:true", "maker:json:false", "since:date:false", "sold:boolean:false", "tags:array:false", "title:text:false", "updated_at:timestamp:true", "url:text:true"}
	if !slices.Equal(got, want) {
		t.Errorf("the fields are %v, want %v", got, want)
	}
}

// Every choice of the form makes a manifest that is accepted.
func TestSketchChoices(t *testing.T) {
	t.Parallel()
	for _, auth := range []string{"none", "bearer", "header", "query", "basic", "clientCredentials"} {
		for _, paging := range []string{"", "none", "offset", "page", "cursor", "nextUrl", "link"} {
			for _, since := range []string{"", "since"} {
				s := shopSketch()
				s.Auth, s.AuthName, s.TokenURL = auth, "X-Key", "https://shop.example.com/token"
				o := &s.Objects[0]
				o.Paging, o.Next, o.Since, o.Replaces, o.Answers, o.Wrap, o.Record = paging, "meta.next", since, since == "", since != "", "", ""
				source, problems := s.Source()
				if len(problems) > 0 {
					t.Fatal(problems)
				}
				if _, err := parse([]byte(source), true); err != nil {
					t.Errorf("%s, %s, %q: %v\n%s", auth, paging, since, err, source)
				}
			}
		}
	}
}

// What is missing is named by the field of the form.
func TestSketchProblems(t *testing.T) {
	t.Parallel()
	for pointer, spoil := range map[string]func(*Sketch){
		"/title":             func(s *Sketch) { s.Title = "" },
		"/type":              func(s *Sketch) { s.Type = "Our shop" },
		"/baseUrl":           func(s *Sketch) { s.BaseURL = "shop.example.com" },
		"/authName":          func(s *Sketch) { s.Auth = "header" },
		"/tokenUrl":          func(s *Sketch) { s.Auth = "clientCredentials" },
		"/objects":           func(s *Sketch) { s.Objects = nil },
		"/objects/0/name":    func(s *Sketch) { s.Objects[0].Name = "two words" },
		"/objects/0/key":     func(s *Sketch) { s.Objects[0].Key = "number" },
		"/objects/0/fields":  func(s *Sketch) { s.Objects[0].Fields = "price money" },
		"/objects/0/list":    func(s *Sketch) { s.Objects[0].List = "" },
		"/objects/0/get":     func(s *Sketch) { s.Objects[0].Get = "/articles/one" },
		"/objects/0/update":  func(s *Sketch) { s.Objects[0].Update = "/articles" },
		"/objects/0/next":    func(s *Sketch) { s.Objects[0].Paging = "cursor" },
		"/objects/0/place":   func(s *Sketch) { s.Objects[0].Place = "" },
		"/objects/0/version": func(s *Sketch) { s.Objects[0].Version = "" },
	} {
		s := shopSketch()
		spoil(&s)
		source, problems := s.Source()
		if source != "" || len(problems) == 0 || problems[0].Pointer != pointer || problems[0].Remedy == "" {
			t.Errorf("%s gave %+v", pointer, problems)
		}
	}
	s := shopSketch()
	s.Objects[0].Example = strings.Repeat("[", 3)
	if _, problems := s.Source(); len(problems) == 0 || problems[0].Message != "The example is not JSON." {
		t.Errorf("a broken example gave %+v", problems)
	}
}
