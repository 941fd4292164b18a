// SPDX-License-Identifier: Apache-2.0

package service

import (
	"fmt"
	"slices"

	"github.com/syncline-dev/syncline/internal/expression"
	"github.com/syncline-dev/syncline/internal/fault"
)

// selectedAtOnce is how many records can be named.
const selectedAtOnce = 10_000

// Check says whether the selection fits the document; the fault is run.selection_invalid, with the field it is about.
func (s *Selection) Check(doc *Document) error {
	wrong := func(pointer, remedy, format string, args ...any) error {
		message := fmt.Sprintf(format, args...)
		return fault.New(fault.Invalid, "run.selection_invalid", "%s", message).At(fault.Field{Pointer: pointer, Code: "run.selection_invalid", Message: message, Remedy: remedy})
	}
	ids := doc.SystemIDs()
	if s.Source != "" && !slices.Contains(ids, s.Source) {
		return wrong("/sourceSystem", "Name one of the service's systems.", "The service has no system %s.", s.Source)
	}
	for i, t := range s.Targets {
		switch {
		case !slices.Contains(ids, t):
			return wrong(fmt.Sprintf("/targetSystems/%d", i), "Name systems of the service.", "The service has no system %s.", t)
		case t == s.Source:
			return wrong(fmt.Sprintf("/targetSystems/%d", i), "Leave it out.", "%s is the source; it cannot be a target as well.", t)
		case s.Source != "" && !slices.Contains(doc.SystemsReceiving(s.Source, ""), t):
			return wrong(fmt.Sprintf("/targetSystems/%d", i), "See the service's direction and its pairs of systems.", "%s receives nothing from %s in this service.", t, s.Source)
		}
	}
	if s.Object != "" {
		known := false
		for _, c := range doc.Collections() {
			for _, m := range c.Members {
				known = known || m.Object == s.Object && (s.Source == "" || s.Source == m.System)
			}
		}
		if !known {
			return wrong("/object", "Name an object as the document does.", "No system that is read takes part with an object %s.", s.Object)
		}
	}
	keyed := s.From != "" || s.To != "" || len(s.Records) > 0
	switch {
	case keyed && s.Source == "":
		return wrong("/sourceSystem", "Name the system whose keys they are.", "Keys are one system's: say which.")
	case len(s.Records) > 0 && (s.From != "" || s.To != "" || !s.Since.IsZero()):
		return wrong("/records", "Give a list of records, or a range or time.", "A list of records goes with neither a range nor a time.")
	case len(s.Records) > selectedAtOnce:
		return wrong("/records", "Name a range, or run several times.", "At most %d records can be named.", selectedAtOnce)
	case s.Force && len(s.Records) == 0:
		return wrong("/force", "Name the records.", "Only records that are named can be forced.")
	}
	if s.Expression != "" {
		if _, err := expression.Compile(s.Expression); err != nil {
			return wrong("/expression", "See the functions that expressions have.", "The expression cannot be used: %v.", err)
		}
	}
	return nil
}
