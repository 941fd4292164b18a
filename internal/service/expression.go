// SPDX-License-Identifier: Apache-2.0

package service

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
)

// MaxExpressionNodes bounds what a customer's expression can cost.
const MaxExpressionNodes = 200

// ExpressionError is a faulty expression and the place within it.
type ExpressionError struct {
	Message string
	Column  int // 1-based, in characters of the expression; 0 when it is about the whole
}

func (e *ExpressionError) Error() string { return e.Message }

// CheckExpression says what is wrong with an expression of the document, nil when it can be evaluated. Names that are not
// known are fields. Predicates inside predicates (all(xs, all(ys, ...))) are refused, because their cost is the product of
// the lists' lengths and the evaluator has no time limit.
func CheckExpression(code string) error {
	check := &expressionCheck{}
	_, err := expr.Compile(code, expr.Env(map[string]any{}), expr.AllowUndefinedVariables(), expr.MaxNodes(MaxExpressionNodes), expr.Patch(check))
	if check.found != nil {
		return check.found
	}
	if err == nil {
		return nil
	}
	var e *file.Error
	if !errors.As(err, &e) {
		return &ExpressionError{Message: sentence(err.Error())}
	}
	if strings.Contains(e.Message, "maximum allowed nodes") {
		return &ExpressionError{Message: fmt.Sprintf("The expression is too long: at most %d parts are possible.", MaxExpressionNodes)}
	}
	return &ExpressionError{Message: sentence(e.Message), Column: e.Column + 1}
}

func sentence(s string) string {
	s = strings.TrimSuffix(strings.TrimSpace(s), ".")
	if s == "" {
		return "The expression is not valid."
	}
	return "The expression is not valid: " + shorten(s) + "."
}

type expressionCheck struct{ found *ExpressionError }

// Visit sees each node after its children.
func (c *expressionCheck) Visit(n *ast.Node) {
	if c.found != nil {
		return
	}
	switch n := (*n).(type) {
	case *ast.PredicateNode:
		inner := ast.Find(n.Node, func(m ast.Node) bool { _, is := m.(*ast.PredicateNode); return is })
		if inner != nil {
			c.found = &ExpressionError{Message: "Predicates inside predicates are not possible.", Column: inner.Location().From + 1}
		}
	case *ast.CallNode:
		if id, ok := n.Callee.(*ast.IdentifierNode); ok {
			c.found = &ExpressionError{Message: fmt.Sprintf("There is no function %s.", shorten(id.Value)), Column: id.Location().From + 1}
		}
	}
}

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
