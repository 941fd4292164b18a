// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/oapi-codegen/nullable"

	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/catalog"
	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/manifest"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
)

func showConnector(c connector.Spec) spec.Connector {
	return spec.Connector{
		Type: c.Type, Aliases: texts(c.Aliases), Title: c.Title, Summary: c.Summary, Class: spec.ConnectorClass(c.Class),
		Settings: shown(c.Settings, showSetting), Detections: texts(c.Detections), Deletes: c.Deletes, Guarantee: c.Guarantee, OwnVersion: optional(c.Own),
	}
}

func showSetting(d connector.Setting) spec.Setting {
	out := spec.Setting{
		Name: d.Name, Title: d.Title, Doc: d.Doc, Kind: spec.SettingKind(d.Kind), Default: optional(d.Default), Required: d.Required, Secret: d.Secret,
	}
	if len(d.Choices) > 0 {
		out.Choices = &d.Choices
	}
	return out
}

func (s *server) ListConnectors(ctx context.Context, _ spec.ListConnectorsRequestObject) (spec.ListConnectorsResponseObject, error) {
	if err := who(ctx).May(auth.ViewConnections); err != nil {
		return nil, err
	}
	specs, err := s.Connections.Catalog().Specs(ctx, who(ctx).Tenant)
	if err != nil {
		return nil, err
	}
	return spec.ListConnectors200JSONResponse{Data: shown(specs, showConnector), NextCursor: noCursor()}, nil
}

func (s *server) GetConnector(ctx context.Context, req spec.GetConnectorRequestObject) (spec.GetConnectorResponseObject, error) {
	if err := who(ctx).May(auth.ViewConnections); err != nil {
		return nil, err
	}
	c, err := s.Connections.Catalog().Get(ctx, who(ctx).Tenant, req.Connector)
	if err != nil {
		return nil, err
	}
	return spec.GetConnector200JSONResponse(showConnector(c.Spec())), nil
}

// ownConnector reads one of the tenant's own as it is to be shown.
func (s *server) ownConnector(ctx context.Context, typ string) (spec.OwnConnector, string, error) {
	o, versions, using, err := s.Connections.Catalog().Read(ctx, who(ctx), typ)
	if err != nil {
		return spec.OwnConnector{}, "", err
	}
	return spec.OwnConnector{
		Type: o.Type, Title: o.Title, Version: o.Version, Source: o.Source, UsedBy: texts(using), CreatedAt: o.CreatedAt.UTC(), UpdatedAt: o.UpdatedAt.UTC(),
		Versions: shown(versions, func(v catalog.Version) spec.ConnectorVersion {
			return spec.ConnectorVersion{Number: v.Number, Note: v.Note, Author: v.Author, CreatedAt: v.CreatedAt.UTC()}
		}),
	}, etag(int64(o.Version)), nil
}

func (s *server) CreateConnector(ctx context.Context, req spec.CreateConnectorRequestObject) (spec.CreateConnectorResponseObject, error) {
	o, _, err := s.Connections.Catalog().Save(ctx, who(ctx), catalog.Put{Source: string(of(ctx).body), Note: word(req.Params.Note), IfNew: true})
	if err != nil {
		return nil, err
	}
	body, tag, err := s.ownConnector(ctx, o.Type)
	if err != nil {
		return nil, err
	}
	return spec.CreateConnector201JSONResponse{Body: body, Headers: spec.CreateConnector201ResponseHeaders{ETag: tag, Location: "/v1/connectors/" + o.Type}}, nil
}

func (s *server) ReviseConnector(ctx context.Context, req spec.ReviseConnectorRequestObject) (spec.ReviseConnectorResponseObject, error) {
	version, err := ownVersion(req.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	if err := who(ctx).May(auth.EditConnections); err != nil {
		return nil, err
	}
	if _, _, _, err := s.Connections.Catalog().Read(ctx, who(ctx), req.Connector); err != nil {
		return nil, err // it is POST that makes one
	}
	if _, _, err := s.Connections.Catalog().Save(ctx, who(ctx), catalog.Put{Type: req.Connector, Source: string(of(ctx).body), Note: word(req.Params.Note), IfMatch: version}); err != nil {
		return nil, err
	}
	body, tag, err := s.ownConnector(ctx, req.Connector)
	if err != nil {
		return nil, err
	}
	return spec.ReviseConnector200JSONResponse{Body: body, Headers: spec.ReviseConnector200ResponseHeaders{ETag: tag}}, nil
}

func ownVersion(ifMatch *string) (*int, error) {
	v, err := wantedIfSaid(ifMatch)
	if v == nil || err != nil {
		return nil, err
	}
	n := int(*v)
	return &n, nil
}

func (s *server) DeleteConnector(ctx context.Context, req spec.DeleteConnectorRequestObject) (spec.DeleteConnectorResponseObject, error) {
	version, err := ownVersion(req.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	if err := s.Connections.Catalog().Delete(ctx, who(ctx), req.Connector, version); err != nil {
		return nil, err
	}
	return spec.DeleteConnector204Response{}, nil
}

func (s *server) GetConnectorManifest(ctx context.Context, req spec.GetConnectorManifestRequestObject) (spec.GetConnectorManifestResponseObject, error) {
	body, tag, err := s.ownConnector(ctx, req.Connector)
	if err != nil {
		return nil, err
	}
	return spec.GetConnectorManifest200JSONResponse{Body: body, Headers: spec.GetConnectorManifest200ResponseHeaders{ETag: tag}}, nil
}

// SketchConnector makes a manifest of what the dashboard's form asks for.
func (s *server) SketchConnector(ctx context.Context, req spec.SketchConnectorRequestObject) (spec.SketchConnectorResponseObject, error) {
	if err := who(ctx).May(auth.EditConnections); err != nil {
		return nil, err
	}
	b := req.Body
	sketch := manifest.Sketch{Title: b.Title, Type: word(b.Type), BaseURL: b.BaseURL, Auth: string(word(b.Auth)), AuthName: word(b.AuthName), TokenURL: word(b.TokenURL)}
	if sketch.Auth == "" {
		sketch.Auth = "bearer"
	}
	for _, o := range b.Objects {
		out := manifest.SketchObject{
			Name: o.Name, Key: word(o.Key), Example: word(o.Example), Fields: word(o.Fields), ReadOnly: word(o.ReadOnly), List: word(o.List), Records: word(o.Records), Paging: string(word(o.Paging)),
			Limit: word(o.Limit), Place: word(o.Place), Next: word(o.Next), Version: word(o.Version), Since: word(o.Since), Get: word(o.Get), Record: word(o.Record), Create: word(o.Create), Update: word(o.Update),
			Replaces: o.Replaces != nil && *o.Replaces, Delete: word(o.Delete), Wrap: word(o.Wrap), Answers: o.Answers == nil || *o.Answers,
		}
		if out.Key == "" {
			out.Key = "id"
		}
		if out.Paging == "" {
			out.Paging = "none"
		}
		sketch.Objects = append(sketch.Objects, out)
	}
	source, problems := sketch.Source()
	if len(problems) > 0 {
		f := fault.New(fault.Invalid, "manifest.invalid", "No manifest can be made of this: %s", problems[0].Message)
		f.Fields = problems
		return nil, f
	}
	found, err := s.Connections.Catalog().Check(who(ctx), []byte(source))
	if err != nil {
		return nil, err
	}
	return spec.SketchConnector200JSONResponse{Type: found.Spec().Type, Manifest: source}, nil
}

func (s *server) TryConnector(ctx context.Context, req spec.TryConnectorRequestObject) (spec.TryConnectorResponseObject, error) {
	settings := connector.Settings{}
	if req.Body.Settings != nil {
		settings = *req.Body.Settings
	}
	t, err := s.Connections.TryConnector(ctx, who(ctx), []byte(req.Body.Manifest), settings)
	if err != nil {
		return nil, err
	}
	out := spec.ConnectorTrial{Ok: t.OK(), Reached: t.Reached, Authenticated: t.Authenticated, Problem: trialProblem(t.Problem), Objects: []spec.TrialObject{}}
	for _, o := range t.Objects {
		out.Objects = append(out.Objects, showTrialObject(o))
	}
	return spec.TryConnector200JSONResponse(out), nil
}

func trialProblem(err error) nullable.Nullable[spec.CodedError] {
	if err == nil {
		return nullable.NewNullNullable[spec.CodedError]()
	}
	c := connector.Classify(err)
	return codedError(c.Code, c.Message)
}

func showTrialObject(o connection.TrialObject) spec.TrialObject {
	described := showObject(o.Info)
	problem := o.Problem
	if problem == nil {
		problem = o.NoDraft
	}
	out := spec.TrialObject{Name: described.Name, Key: described.Key, Fields: described.Fields, More: o.More, Milliseconds: o.Took.Milliseconds(), Problem: trialProblem(problem)}
	out.Records = shown(o.Records, func(c record.Change) spec.TrialRecord {
		fields := make(map[string]any, len(c.Fields))
		for name, v := range c.Fields {
			fields[name] = json.RawMessage(record.AppendJSON(nil, v))
		}
		return spec.TrialRecord{Deleted: optional(c.Op == record.Delete), Fields: fields, Key: string(c.Key)}
	})
	out.Writes = shown(o.Drafts, func(d connector.Draft) spec.TrialWrite {
		return spec.TrialWrite{Body: d.Body, Headers: d.Header, Method: d.Method, URL: d.URL, Verb: spec.TrialWriteVerb(d.Verb)}
	})
	return out
}

func (a written) VisitGetConnectorSchemaResponse(w http.ResponseWriter) error { return a.write(w) }

func (s *server) GetConnectorSchema(context.Context, spec.GetConnectorSchemaRequestObject) (spec.GetConnectorSchemaResponseObject, error) {
	return written{"application/schema+json", manifest.Schema()}, nil
}
