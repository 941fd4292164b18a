// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"

	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connector"
)

func showConnector(c connector.Spec) spec.Connector {
	return spec.Connector{
		Type: c.Type, Aliases: texts(c.Aliases), Title: c.Title, Summary: c.Summary, Class: spec.ConnectorClass(c.Class),
		Settings: shown(c.Settings, showSetting), Detections: texts(c.Detections), Deletes: c.Deletes, Guarantee: c.Guarantee,
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
	return spec.ListConnectors200JSONResponse{Data: shown(s.Registry.Specs(), showConnector), NextCursor: noCursor()}, nil
}

func (s *server) GetConnector(ctx context.Context, req spec.GetConnectorRequestObject) (spec.GetConnectorResponseObject, error) {
	if err := who(ctx).May(auth.ViewConnections); err != nil {
		return nil, err
	}
	c, err := s.Registry.Get(req.Connector)
	if err != nil {
		return nil, err
	}
	return spec.GetConnector200JSONResponse(showConnector(c.Spec())), nil
}
