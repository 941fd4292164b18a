// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/syncline-dev/syncline/api"
	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/internal/auth"
)

type netListener = net.Listener

func contract(t *testing.T) *api.Contract {
	t.Helper()
	c, err := api.NewContract()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTheDocumentIsValid(t *testing.T) {
	document, err := spec.GetSpec()
	if err != nil {
		t.Fatal(err)
	}
	if err := document.Validate(t.Context(), openapi3.DisableExamplesValidation()); err != nil {
		t.Error(err)
	}
	for _, err := range contract(t).CheckExamples() {
		t.Error(err)
	}
}

// Served and documented are the same, exactly.
func TestRoutesAreDocumented(t *testing.T) {
	served, err := api.Routes(api.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, o := range contract(t).Operations {
		documented = append(documented, o.Method+" "+o.Path)
	}
	slices.Sort(documented)
	for _, r := range served {
		if !slices.Contains(documented, r) {
			t.Errorf("%s is served and not documented", r)
		}
	}
	for _, r := range documented {
		if !slices.Contains(served, r) {
			t.Errorf("%s is documented and not served", r)
		}
	}
}

// The conventions that can be seen in the document.
func TestConventions(t *testing.T) {
	document, err := spec.GetSpec()
	if err != nil {
		t.Fatal(err)
	}
	for path, item := range document.Paths.Map() {
		for method, o := range item.Operations() {
			name := method + " " + path
			if len(o.Tags) != 1 || o.Summary == "" || o.OperationID == "" {
				t.Errorf("%s: tag, summary and operationId are needed", name)
			}
			public := o.Security != nil && len(*o.Security) == 0
			if permission, _ := o.Extensions["x-permission"].(string); public == slices.Contains(auth.Permissions(), auth.Permission(permission)) {
				t.Errorf("%s: x-permission is %q; every operation but the public ones names the permission it takes", name, permission)
			}
			header := func(name string) *openapi3.Parameter {
				for _, list := range []openapi3.Parameters{item.Parameters, o.Parameters} {
					if p := list.GetByInAndName("header", name); p != nil {
						return p
					}
				}
				return nil
			}
			created := o.Responses.Value("201") != nil || o.Responses.Value("202") != nil && o.Responses.Value("202").Value.Headers["Location"] != nil
			if method == "POST" && created && (header("Idempotency-Key") == nil || !header("Idempotency-Key").Required) {
				t.Errorf("%s creates something and must take an Idempotency-Key", name)
			}
			if (method == "PATCH" || method == "DELETE") && header("If-Match") == nil && o.OperationID != "revokeInvitation" {
				t.Errorf("%s must take If-Match", name)
			}
			if method == "PUT" && header("If-Match") == nil {
				t.Errorf("%s must take If-Match", name)
			}
			if method == "PUT" && created && header("If-None-Match") == nil {
				t.Errorf("%s may create something and must take If-None-Match", name)
			}
			if o.Responses.Value("default") == nil {
				t.Errorf("%s does not say what a problem looks like", name)
			}
			if strings.HasPrefix(o.OperationID, "list") {
				limit, cursor := item.Parameters.GetByInAndName("query", "limit"), o.Parameters.GetByInAndName("query", "cursor")
				if limit == nil {
					limit = o.Parameters.GetByInAndName("query", "limit")
				}
				if (limit == nil) != (cursor == nil) {
					t.Errorf("%s: limit and cursor belong together", name)
				}
			}
			if body := o.RequestBody; body != nil && o.Extensions["x-raw-body"] == nil {
				for media, content := range body.Value.Content {
					s := content.Schema.Value
					if s.AdditionalProperties.Has == nil || *s.AdditionalProperties.Has {
						t.Errorf("%s: unknown fields of %s must be refused", name, media)
					}
				}
			}
		}
	}
}
