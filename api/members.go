// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"net/url"
	"strings"

	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/internal/auth"
)

func showMember(m auth.Member) spec.Member {
	return spec.Member{ID: m.ID.String(), Email: m.Email, Name: m.Name, Role: spec.Role(m.Role), JoinedAt: m.Since.UTC(), Version: m.Version}
}

func (s *server) ListMembers(ctx context.Context, req spec.ListMembersRequestObject) (spec.ListMembersResponseObject, error) {
	var after auth.UserID
	if err := s.cursors.read(of(ctx), req.Params.Cursor, &after); err != nil {
		return nil, err
	}
	limit := limitOf(req.Params.Limit)
	list, err := s.Auth.Members(ctx, who(ctx), after, limit+1)
	if err != nil {
		return nil, err
	}
	data, next, more := page(ctx, s, list, limit, showMember, func(m auth.Member) any { return m.ID })
	return spec.ListMembers200JSONResponse{Data: data, NextCursor: next, HasMore: more}, nil
}

func (s *server) GetMember(ctx context.Context, req spec.GetMemberRequestObject) (spec.GetMemberResponseObject, error) {
	if err := who(ctx).May(auth.ViewMembers); err != nil {
		return nil, err
	}
	id, err := auth.ParseUserID(req.Member)
	if err != nil {
		return nil, err
	}
	m, err := s.Auth.Member(ctx, who(ctx), id)
	if err != nil {
		return nil, err
	}
	tag := etag(m.Version)
	if current(req.Params.IfNoneMatch, tag) {
		return spec.GetMember304Response{Headers: spec.NotModifiedResponseHeaders{ETag: tag}}, nil
	}
	return spec.GetMember200JSONResponse{Body: showMember(m), Headers: spec.GetMember200ResponseHeaders{ETag: tag}}, nil
}

func (s *server) UpdateMember(ctx context.Context, req spec.UpdateMemberRequestObject) (spec.UpdateMemberResponseObject, error) {
	version, err := wantedOrAny(req.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	id, err := auth.ParseUserID(req.Member)
	if err != nil {
		return nil, err
	}
	m, err := s.Auth.ChangeRole(ctx, who(ctx), id, auth.Role(req.Body.Role), version)
	if err != nil {
		return nil, err
	}
	return spec.UpdateMember200JSONResponse{Body: showMember(m), Headers: spec.UpdateMember200ResponseHeaders{ETag: etag(m.Version)}}, nil
}

func (s *server) RemoveMember(ctx context.Context, req spec.RemoveMemberRequestObject) (spec.RemoveMemberResponseObject, error) {
	version, err := wantedOrAny(req.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	id, err := auth.ParseUserID(req.Member)
	if err != nil {
		return nil, err
	}
	if err := s.Auth.Remove(ctx, who(ctx), id, version); err != nil {
		return nil, err
	}
	return spec.RemoveMember204Response{}, nil
}

func showInvitation(i auth.Invitation) spec.Invitation {
	return spec.Invitation{
		ID: i.ID.String(), Email: i.Email, Role: spec.Role(i.Role), InvitedBy: i.InvitedBy,
		CreatedAt: i.CreatedAt.UTC(), ExpiresAt: i.ExpiresAt.UTC(), AcceptedAt: someTime(i.AcceptedAt),
	}
}

func (s *server) ListInvitations(ctx context.Context, req spec.ListInvitationsRequestObject) (spec.ListInvitationsResponseObject, error) {
	var after auth.InvitationID
	if err := s.cursors.read(of(ctx), req.Params.Cursor, &after); err != nil {
		return nil, err
	}
	limit := limitOf(req.Params.Limit)
	list, err := s.Auth.Invitations(ctx, who(ctx), after, limit+1)
	if err != nil {
		return nil, err
	}
	data, next, more := page(ctx, s, list, limit, showInvitation, func(i auth.Invitation) any { return i.ID })
	return spec.ListInvitations200JSONResponse{Data: data, NextCursor: next, HasMore: more}, nil
}

func (s *server) CreateInvitation(ctx context.Context, req spec.CreateInvitationRequestObject) (spec.CreateInvitationResponseObject, error) {
	token, i, err := s.Auth.Invite(ctx, who(ctx), req.Body.Email, auth.Role(req.Body.Role))
	if err != nil {
		return nil, err
	}
	shown := showInvitation(i)
	return spec.CreateInvitation201JSONResponse{
		Body: spec.CreatedInvitation{
			ID: shown.ID, Email: shown.Email, Role: shown.Role, InvitedBy: shown.InvitedBy, CreatedAt: shown.CreatedAt,
			ExpiresAt: shown.ExpiresAt, AcceptedAt: shown.AcceptedAt,
			Token: token.Reveal(), URL: strings.TrimSuffix(s.PublicURL, "/") + "/invitations/" + url.PathEscape(token.Reveal()),
		},
		Headers: spec.CreateInvitation201ResponseHeaders{Location: "/v1/invitations/" + shown.ID},
	}, nil
}

func (s *server) GetInvitation(ctx context.Context, req spec.GetInvitationRequestObject) (spec.GetInvitationResponseObject, error) {
	if err := who(ctx).May(auth.ViewMembers); err != nil {
		return nil, err
	}
	id, err := auth.ParseInvitationID(req.Invitation)
	if err != nil {
		return nil, err
	}
	i, err := s.Auth.Invitation(ctx, who(ctx), id)
	if err != nil {
		return nil, err
	}
	return spec.GetInvitation200JSONResponse(showInvitation(i)), nil
}

func (s *server) RevokeInvitation(ctx context.Context, req spec.RevokeInvitationRequestObject) (spec.RevokeInvitationResponseObject, error) {
	if err := who(ctx).May(auth.EditMembers); err != nil {
		return nil, err
	}
	id, err := auth.ParseInvitationID(req.Invitation)
	if err != nil {
		return nil, err
	}
	if err := s.Auth.RevokeInvitation(ctx, who(ctx), id); err != nil {
		return nil, err
	}
	return spec.RevokeInvitation204Response{}, nil
}
