// SPDX-License-Identifier: Apache-2.0

package service

import (
	"regexp"
	"strings"

	"github.com/syncline-dev/syncline/internal/expression"
)

// ExpressionError is a faulty expression and the place within it.
type ExpressionError = expression.Error

// CheckExpression says what is wrong with an expression of the document, nil when it can be evaluated. Names that are not
// known are fields.
func CheckExpression(code string) error { return expression.Check(code) }

var ruleTarget = regexp.MustCompile(`^\s*([A-Za-z_][A-Za-z0-9_.-]*)\s*=([^=~].*)$`)

// SplitRule takes a computed field apart: "available = quantity - reserved" is the field available and the expression
// behind the first equals sign; at is the number of characters before the expression. False for anything else.
func SplitRule(rule string) (field, expression string, at int, ok bool) {
	m := ruleTarget.FindStringSubmatchIndex(strings.ReplaceAll(rule, "\n", " "))
	if m == nil {
		return "", "", 0, false
	}
	field, expression = rule[m[2]:m[3]], rule[m[4]:m[5]]
	lead := len(expression) - len(strings.TrimLeft(expression, " \t\n"))
	expression = strings.TrimSpace(expression)
	return field, expression, len([]rune(rule[:m[4]])) + lead, expression != ""
}
