// SPDX-License-Identifier: Apache-2.0

package web

import (
	"strings"

	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/web/ui"
)

// freezeRecord leaves a record alone in all systems.
func (h *Handler) freezeRecord(v *visit) error {
	f, err := h.Editor.Freeze(v.ctx(), v.who, v.param("name"), v.param("record"), strings.TrimSpace(v.form("reason")))
	text := "The record is frozen."
	if len(f.UnderWay) > 0 {
		text += " A write to " + strings.Join(f.UnderWay, ", ") + " was on its way and may still arrive; the history tells."
	}
	return v.iced(text, err)
}

// thawRecord lets it go on.
func (h *Handler) thawRecord(v *visit) error {
	_, err := h.Editor.Thaw(v.ctx(), v.who, v.param("name"), v.param("record"))
	return v.iced("The record goes on.", err)
}

// iced leads back to the record; what somebody else did meanwhile is told there.
func (v *visit) iced(text string, err error) error {
	switch fault.KindOf(err) {
	case fault.Conflict:
		v.flash(ui.Warn, fault.As(err).Message)
	default:
		if err != nil {
			return err
		}
		v.flash(ui.OK, text)
	}
	return v.redirect(servicePath(v.param("name")) + "/records/" + v.param("record"))
}
