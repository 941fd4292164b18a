// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/goccy/go-yaml"
	"github.com/oapi-codegen/nullable"

	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/billing/plans"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/service"
)

// priorities are the words for the scheduler's classes.
var priorities = map[int]spec.ServicePriority{
	service.PriorityCritical: spec.ServicePriorityCritical,
	service.PriorityRealtime: spec.ServicePriorityRealtime,
	service.PriorityStandard: spec.ServicePriorityStandard,
	service.PriorityBulk:     spec.ServicePriorityBulk,
}

func showService(v service.Service) spec.Service {
	return spec.Service{
		ID: v.ID.Public(), Name: v.Name, State: spec.ServiceState(v.State), Reason: v.Reason, Revision: v.Revision, Realtime: v.Realtime,
		Pool: v.Pool, Priority: priorities[v.Priority], NextRunAt: maybeTime(v.NextRunAt),
		CreatedAt: v.CreatedAt.UTC(), UpdatedAt: v.UpdatedAt.UTC(), Version: v.Version,
	}
}

func maybeService(v *service.Service) nullable.Nullable[spec.Service] {
	if v == nil {
		return nullable.NewNullNullable[spec.Service]()
	}
	return nullable.NewNullableWithValue(showService(*v))
}

// serviceTag: the next run moves on without a new version.
func serviceTag(v service.Service) string {
	next := int64(0)
	if v.NextRunAt != nil {
		next = v.NextRunAt.UnixMicro()
	}
	return etag(v.Version, next)
}

// serviceOf finds the service that an address names, for an operation that takes a permission.
func (s *server) serviceOf(ctx context.Context, ref string, what auth.Permission) (service.Service, service.Revision, error) {
	if err := who(ctx).May(what); err != nil {
		return service.Service{}, service.Revision{}, err
	}
	return s.Services.Get(ctx, who(ctx), ref)
}

// serviceNamed is serviceOf for a filter, which may name none.
func (s *server) serviceNamed(ctx context.Context, ref *string, what auth.Permission) (service.ID, error) {
	if ref == nil {
		return service.ID{}, who(ctx).May(what)
	}
	v, _, err := s.serviceOf(ctx, *ref, what)
	return v.ID, err
}

func (s *server) ListServices(ctx context.Context, req spec.ListServicesRequestObject) (spec.ListServicesResponseObject, error) {
	limit := limitOf(req.Params.Limit)
	f := service.Filter{States: words[service.State](req.Params.FilterState), Containing: word(req.Params.Search), Limit: limit + 1}
	if err := s.cursors.read(of(ctx), req.Params.Cursor, &f.After); err != nil {
		return nil, err
	}
	list, err := s.Services.List(ctx, who(ctx), f)
	if err != nil {
		return nil, err
	}
	data, next, more := page(ctx, s, list, limit, showService, func(v service.Service) any { return v.Name })
	return spec.ListServices200JSONResponse{Data: data, NextCursor: next, HasMore: more}, nil
}

func (s *server) GetService(ctx context.Context, req spec.GetServiceRequestObject) (spec.GetServiceResponseObject, error) {
	v, r, err := s.Services.Get(ctx, who(ctx), req.Service)
	if err != nil {
		return nil, err
	}
	tag := serviceTag(v)
	if current(req.Params.IfNoneMatch, tag) {
		return spec.GetService304Response{Headers: spec.NotModifiedResponseHeaders{ETag: tag}}, nil
	}
	body := showService(v)
	if body.Document, err = json.Marshal(r.Document); err != nil {
		return nil, fmt.Errorf("writing the document of %s: %w", v.Name, err)
	}
	return spec.GetService200JSONResponse{Body: body, Headers: spec.GetService200ResponseHeaders{ETag: tag}}, nil
}

// source is the document that a request carries, as it was written.
func source(ctx context.Context, isJSON bool) ([]byte, service.Format) {
	if isJSON {
		return of(ctx).body, service.JSON
	}
	return of(ctx).body, service.YAML
}

func (s *server) ValidateService(ctx context.Context, req spec.ValidateServiceRequestObject) (spec.ValidateServiceResponseObject, error) {
	text, format := source(ctx, req.JSONBody != nil)
	_, found, err := s.Services.Validate(ctx, who(ctx), text, format)
	if err != nil {
		return nil, err
	}
	return spec.ValidateService200JSONResponse{Valid: len(found.Errors) == 0, Errors: fields(found.Errors), Notices: fields(found.Notices)}, nil
}

func (s *server) ApplyService(ctx context.Context, req spec.ApplyServiceRequestObject) (spec.ApplyServiceResponseObject, error) {
	text, format := source(ctx, req.JSONBody != nil)
	if p := req.Params.ValidateOnly; p != nil && *p {
		return s.preview(ctx, req.Service, text, format, req.Params)
	}
	a := service.Application{Name: req.Service, Source: text, Format: format, Note: word(req.Params.Note), IfNew: req.Params.IfNoneMatch != nil}
	a.Draft = req.Params.Draft != nil && *req.Params.Draft
	var err error
	planned := req.Params.Plan != nil && req.Params.IfMatch == nil && !a.IfNew // its base is the precondition
	if !planned {
		if a.IfMatch, err = precondition(req.Params.IfMatch, a.IfNew); err != nil {
			return nil, err
		}
	}
	if a.Name, err = s.nameOf(ctx, req.Service); err != nil {
		return nil, err
	}
	if req.Params.Plan != nil {
		doc, err := service.Parse(text, format)
		if err != nil {
			return nil, err
		}
		p, err := s.Planner.Confirm(ctx, who(ctx), *req.Params.Plan, doc, nil)
		if err != nil {
			return nil, err
		}
		a.Base = &p.Base
	}
	out, err := s.Services.Apply(ctx, who(ctx), a)
	if err != nil {
		return nil, err
	}
	body, tag := showApplied(out), serviceTag(out.Service)
	if out.Created {
		return spec.ApplyService201JSONResponse{Body: body, Headers: spec.ApplyService201ResponseHeaders{ETag: tag, Location: "/v1/services/" + out.Service.Name}}, nil
	}
	return spec.ApplyService200JSONResponse{Body: body, Headers: spec.ApplyService200ResponseHeaders{ETag: tag}}, nil
}

// nameOf is the name that a document must have for an address that may hold an id.
func (s *server) nameOf(ctx context.Context, ref string) (string, error) {
	if _, err := service.ParseID(ref); err != nil {
		return ref, nil
	}
	v, _, err := s.serviceOf(ctx, ref, auth.EditServices)
	return v.Name, err
}

func showApplied(out service.Applied) spec.AppliedService {
	return spec.AppliedService{
		Service: maybeService(&out.Service), Revision: out.Revision.Number, Created: out.Created, Revised: out.Revised,
		Differences: differences(out.Differences), Notices: fields(out.Notices), Run: maybeRun(out.Run),
	}
}

func differences(list []service.Difference) []spec.Difference {
	return shown(list, func(d service.Difference) spec.Difference {
		return spec.Difference{Path: d.Path, Kind: spec.DifferenceKind(d.Kind), Before: d.Before, After: d.After}
	})
}

// preview is a dry run of ApplyService: what would change, and whether it would be refused.
func (s *server) preview(ctx context.Context, ref string, text []byte, format service.Format, params spec.ApplyServiceParams) (spec.ApplyServiceResponseObject, error) {
	if err := who(ctx).May(auth.EditServices); err != nil {
		return nil, err
	}
	p, err := s.diff(ctx, ref, text, format)
	if err != nil {
		return nil, err
	}
	draft := params.Draft != nil && *params.Draft
	for _, f := range p.Findings.Errors {
		if !draft || f.Code != service.CodeConnectorUnavailable {
			return nil, p.Findings.Err()
		}
	}
	if params.IfMatch != nil {
		version, err := wanted(*params.IfMatch)
		if err != nil {
			return nil, err
		}
		if version != nil && (p.Service == nil || p.Service.Version != *version) {
			return nil, fault.New(fault.Stale, "service.version_stale", "The service %s is not at the version of If-Match. Read it again and repeat your change.", ref)
		}
	}
	if params.IfNoneMatch != nil && p.Service != nil {
		return nil, fault.New(fault.Stale, "service.exists", "There is a service %s already. Read it, and apply your document as a revision of it.", p.Service.Name)
	}
	body := spec.AppliedService{
		ValidateOnly: true, Service: maybeService(p.Service), Revision: 1, Created: p.Service == nil, Revised: p.Service == nil || len(p.Differences) > 0,
		Differences: differences(p.Differences), Notices: fields(p.Findings.Notices), Run: nullable.NewNullNullable[spec.Run](),
	}
	tag := etag(0)
	if p.Service != nil {
		tag = serviceTag(*p.Service)
		body.Revision = p.Service.Revision
		if body.Revised {
			body.Revision++
		}
	}
	return spec.ApplyService200JSONResponse{Body: body, Headers: spec.ApplyService200ResponseHeaders{ETag: tag}}, nil
}

// diff compares a document with what is live under the address's name; a document of another name is refused.
func (s *server) diff(ctx context.Context, ref string, text []byte, format service.Format) (service.Preview, error) {
	p, err := s.Services.DiffAgainst(ctx, who(ctx), text, format)
	if err != nil {
		return p, err
	}
	doc, parsed := service.Parse(text, format)
	if parsed != nil {
		return p, nil // its errors are in the findings
	}
	name := ref
	if _, err := service.ParseID(ref); err == nil {
		v, _, err := s.Services.Get(ctx, who(ctx), ref)
		if err != nil {
			return p, err
		}
		name = v.Name
	}
	if doc.Service != name {
		return p, fault.New(fault.Invalid, "service.name_mismatch", "The document describes the service %s, and the address names %s. Write the same name in both; a service is not renamed.", doc.Service, name)
	}
	return p, nil
}

func (s *server) DiffService(ctx context.Context, req spec.DiffServiceRequestObject) (spec.DiffServiceResponseObject, error) {
	text, format := source(ctx, req.JSONBody != nil)
	p, err := s.diff(ctx, req.Service, text, format)
	if err != nil {
		return nil, err
	}
	return spec.DiffService200JSONResponse{
		Service: maybeService(p.Service), Valid: len(p.Findings.Errors) == 0, Differences: differences(p.Differences),
		Errors: fields(p.Findings.Errors), Notices: fields(p.Findings.Notices),
	}, nil
}

func (s *server) GetServiceDocument(ctx context.Context, req spec.GetServiceDocumentRequestObject) (spec.GetServiceDocumentResponseObject, error) {
	v, r, err := s.Services.Get(ctx, who(ctx), req.Service)
	if err == nil && req.Params.Revision != nil && *req.Params.Revision != r.Number {
		r, err = s.Services.Revision(ctx, who(ctx), v.ID.Public(), *req.Params.Revision)
	}
	if err != nil {
		return nil, err
	}
	format := service.JSON
	if f := req.Params.Format; f != nil && *f == spec.GetServiceDocumentParamsFormatYaml {
		format = service.YAML
	}
	tag := etag(int64(r.Number), v.ID, format)
	if current(req.Params.IfNoneMatch, tag) {
		return spec.GetServiceDocument304Response{Headers: spec.NotModifiedResponseHeaders{ETag: tag}}, nil
	}
	headers := spec.GetServiceDocument200ResponseHeaders{ETag: tag}
	canonical, err := json.Marshal(r.Document)
	if err != nil {
		return nil, fmt.Errorf("writing the document of %s: %w", v.Name, err)
	}
	if format == service.JSON {
		if r.Format == service.JSON {
			canonical = []byte(r.Source)
		}
		return spec.GetServiceDocument200JSONResponse{Body: canonical, Headers: headers}, nil
	}
	text := []byte(r.Source)
	if r.Format != service.YAML {
		if text, err = yaml.JSONToYAML(canonical); err != nil {
			return nil, fmt.Errorf("writing the document of %s as YAML: %w", v.Name, err)
		}
	}
	return spec.GetServiceDocument200ApplicationYamlResponse{Body: bytes.NewReader(text), Headers: headers, ContentLength: int64(len(text))}, nil
}

// moved encodes a service that was moved to another state.
func moved(v service.Service, err error) (spec.ServiceJSONResponse, error) {
	return spec.ServiceJSONResponse{Body: showService(v), Headers: spec.ServiceResponseHeaders{ETag: serviceTag(v)}}, err
}

func (s *server) PauseService(ctx context.Context, req spec.PauseServiceRequestObject) (spec.PauseServiceResponseObject, error) {
	version, err := wantedIfSaid(req.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	out, err := moved(s.Services.Pause(ctx, who(ctx), req.Service, version))
	if err != nil {
		return nil, err
	}
	return spec.PauseService200JSONResponse{ServiceJSONResponse: out}, nil
}

func (s *server) ResumeService(ctx context.Context, req spec.ResumeServiceRequestObject) (spec.ResumeServiceResponseObject, error) {
	version, err := wantedIfSaid(req.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	out, err := moved(s.Services.Resume(ctx, who(ctx), req.Service, version))
	if err != nil {
		return nil, err
	}
	return spec.ResumeService200JSONResponse{ServiceJSONResponse: out}, nil
}

func (s *server) ArchiveService(ctx context.Context, req spec.ArchiveServiceRequestObject) (spec.ArchiveServiceResponseObject, error) {
	version, err := wantedIfSaid(req.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	out, err := moved(s.Services.Archive(ctx, who(ctx), req.Service, version))
	if err != nil {
		return nil, err
	}
	return spec.ArchiveService200JSONResponse{ServiceJSONResponse: out}, nil
}

func (s *server) RollbackService(ctx context.Context, req spec.RollbackServiceRequestObject) (spec.RollbackServiceResponseObject, error) {
	version, err := wantedIfSaid(req.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	out, err := s.Services.Rollback(ctx, who(ctx), req.Service, req.Body.Revision, word(req.Body.Note), version)
	if err != nil {
		return nil, err
	}
	return spec.RollbackService200JSONResponse{Body: showApplied(out), Headers: spec.RollbackService200ResponseHeaders{ETag: serviceTag(out.Service)}}, nil
}

// EstimateService prices the document. Secrets and connections may be missing yet; one that cannot be read is refused.
func (s *server) EstimateService(ctx context.Context, req spec.EstimateServiceRequestObject) (spec.EstimateServiceResponseObject, error) {
	text, format := source(ctx, req.JSONBody != nil)
	doc, err := service.Parse(text, format)
	if err != nil {
		return nil, err
	}
	specs, err := s.Connections.Catalog().Specs(ctx, who(ctx).Tenant)
	if err != nil {
		return nil, err
	}
	e, err := s.Plans.EstimateDocument(ctx, who(ctx), doc, connector.PremiumAmong(specs), plans.Said{Records: req.Params.Records, Changes: req.Params.Changes})
	if err != nil {
		return nil, err
	}
	return spec.EstimateService200JSONResponse{
		Service: e.Service, Plan: e.Plan.Name(), PlanTitle: e.Plan.Card.Title, First: showEstimate(e.First), Monthly: showEstimate(e.Month),
		Assumptions: shown(e.Assumed, func(a plans.Assumption) spec.EstimateAssumption {
			return spec.EstimateAssumption{Name: a.Name, Value: a.Value, Source: spec.DocumentEstimateAssumptionsSource(a.Source), Text: a.Text, Parameter: someText(a.Change)}
		}),
		Lacking: shown(e.Lacking, func(n service.Need) spec.EstimateLack {
			return spec.EstimateLack{Feature: string(n.Feature), Why: n.Why}
		}),
	}, nil
}
