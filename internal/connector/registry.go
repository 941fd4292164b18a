// SPDX-License-Identifier: Apache-2.0

package connector

import (
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/syncline-dev/syncline/internal/fault"
)

// Registry knows the connectors of the program by type and alias. It is filled once, in cmd.
type Registry struct {
	byType map[string]Connector
	names  []string
}

// NewRegistry makes a registry; two connectors of one name are a programming error and panic.
func NewRegistry(connectors ...Connector) *Registry {
	r := &Registry{byType: make(map[string]Connector)}
	for _, c := range connectors {
		spec := c.Spec()
		for _, name := range append([]string{spec.Type}, spec.Aliases...) {
			if _, taken := r.byType[name]; taken {
				panic("connector: two connectors are called " + name)
			}
			r.byType[name] = c
		}
		r.names = append(r.names, spec.Type)
	}
	sort.Strings(r.names)
	return r
}

// Get returns the connector of that type or alias, or the fault connector.unknown.
func (r *Registry) Get(typ string) (Connector, error) {
	if c, ok := r.byType[typ]; ok {
		return c, nil
	}
	return nil, fault.New(fault.NotFound, "connector.unknown", "There is no connector of type %q here; available are %s.", typ, strings.Join(r.names, ", "))
}

// Specs lists what the connectors say of themselves, by type.
func (r *Registry) Specs() []Spec {
	specs := make([]Spec, 0, len(r.names))
	for _, name := range r.names {
		specs = append(specs, r.byType[name].Spec())
	}
	return specs
}

// Setting returns the setting of that name.
func (s Spec) Setting(name string) (Setting, bool) {
	for _, d := range s.Settings {
		if d.Name == name {
			return d, true
		}
	}
	return Setting{}, false
}

// Check completes settings with defaults and checks them against the declaration. The fault connection.settings_invalid
// names each faulty setting by its JSON pointer ("/host").
func (s Spec) Check(in Settings) (Settings, error) {
	out := make(Settings, len(s.Settings))
	var wrong []fault.Field
	for name := range in {
		if _, known := s.Setting(name); !known {
			wrong = append(wrong, fault.Field{Pointer: "/" + name, Code: "connection.setting_unknown",
				Message: fmt.Sprintf("%s connections have no setting %q.", s.Title, name), Remedy: "Settings are: " + strings.Join(s.settingNames(), ", ") + "."})
		}
	}
	for _, d := range s.Settings {
		v, given := in[d.Name]
		if !given || v == "" {
			v = d.Default
		}
		if problem := d.problem(v); problem != "" {
			wrong = append(wrong, fault.Field{Pointer: "/" + d.Name, Code: "connection.setting_invalid", Message: problem, Remedy: d.Doc})
			continue
		}
		if v != "" {
			out[d.Name] = v
		}
	}
	if len(wrong) > 0 {
		sort.Slice(wrong, func(i, j int) bool { return wrong[i].Pointer < wrong[j].Pointer })
		return nil, fault.New(fault.Invalid, "connection.settings_invalid", "The settings of this %s connection are not complete or not valid.", s.Title).At(wrong...)
	}
	return out, nil
}

func (s Spec) settingNames() []string {
	names := make([]string, len(s.Settings))
	for i, d := range s.Settings {
		names[i] = d.Name
	}
	return names
}

// problem says in a sentence what is wrong with a value, "" when nothing is.
func (d Setting) problem(v string) string {
	if v == "" {
		if d.Required {
			return fmt.Sprintf("%s is required.", d.Name)
		}
		return ""
	}
	switch d.Kind {
	case Integer:
		n, err := strconv.Atoi(v)
		if err != nil {
			return fmt.Sprintf("%s must be a whole number.", d.Name)
		}
		if d.Max > 0 && (n < d.Min || n > d.Max) {
			return fmt.Sprintf("%s must be a number from %d to %d.", d.Name, d.Min, d.Max)
		}
	case Boolean:
		if v != "true" && v != "false" {
			return fmt.Sprintf("%s must be true or false.", d.Name)
		}
	case Choice:
		for _, c := range d.Choices {
			if v == c {
				return ""
			}
		}
		return fmt.Sprintf("%s must be one of %s.", d.Name, strings.Join(d.Choices, ", "))
	}
	return ""
}

// PremiumAmong says which types, by name or alias, are of the premium class of price.
func PremiumAmong(specs []Spec) func(typ string) bool {
	premium := map[string]bool{}
	for _, s := range specs {
		for _, name := range append([]string{s.Type}, s.Aliases...) {
			premium[name] = s.Class == "premium"
		}
	}
	return func(typ string) bool { return premium[typ] }
}
