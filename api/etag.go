// SPDX-License-Identifier: Apache-2.0

package api

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/syncline-dev/syncline/internal/fault"
)

// etag is the strong validator of a resource: its version and, where something is shown that changes without a new version
// (a connection's health, a service's next run), a digest of that.
func etag(version int64, shown ...any) string {
	tag := strconv.FormatInt(version, 10)
	if len(shown) > 0 {
		sum := sha256.Sum256(fmt.Append(nil, shown...))
		tag += "-" + base64.RawURLEncoding.EncodeToString(sum[:6])
	}
	return `"` + tag + `"`
}

// current says whether the ETag is among those of an If-None-Match header.
func current(ifNoneMatch *string, tag string) bool {
	if ifNoneMatch == nil {
		return false
	}
	for _, have := range strings.Split(*ifNoneMatch, ",") {
		if have = strings.TrimPrefix(strings.TrimSpace(have), "W/"); have == tag || have == "*" {
			return true
		}
	}
	return false
}

// wanted returns the version that an If-Match header asks for, nil for whatever is there.
func wanted(ifMatch string) (*int64, error) {
	ifMatch = strings.TrimSpace(ifMatch)
	if ifMatch == "*" {
		return nil, nil
	}
	text, quoted := strings.CutPrefix(ifMatch, `"`)
	text, ended := strings.CutSuffix(text, `"`)
	text, _, _ = strings.Cut(text, "-")
	version, err := strconv.ParseInt(text, 10, 64)
	if !quoted || !ended || err != nil || version < 1 {
		return nil, fault.New(fault.Malformed, "request.if_match_malformed", "If-Match must be the one ETag that you read, with its quotation marks, or *.")
	}
	return &version, nil
}

// wantedOrAny is wanted for managers to whom 0 means whatever is there.
func wantedOrAny(ifMatch string) (int64, error) {
	v, err := wanted(ifMatch)
	if v == nil {
		return 0, err
	}
	return *v, nil
}

// wantedIfSaid is wanted for an If-Match that may be absent.
func wantedIfSaid(ifMatch *string) (*int64, error) {
	if ifMatch == nil {
		return nil, nil
	}
	return wanted(*ifMatch)
}

// precondition is what a PUT says of the thing's being there: exactly one of If-Match and If-None-Match.
func precondition(ifMatch *string, onlyNew bool) (version *int64, err error) {
	switch {
	case ifMatch != nil && onlyNew:
		return nil, fault.New(fault.Malformed, "request.if_match_malformed", "Say either If-Match or If-None-Match, not both.")
	case ifMatch == nil && !onlyNew:
		return nil, ifMatchMissing("If-Match with the ETag that you read, or If-None-Match: * to make a new one")
	case onlyNew:
		return nil, nil
	}
	return wanted(*ifMatch)
}

func ifMatchMissing(what string) error {
	return fault.New(fault.Required, "request.if_match_missing", "This changes something that others change too, so it takes %s.", what)
}
