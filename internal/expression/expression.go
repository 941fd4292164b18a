// SPDX-License-Identifier: Apache-2.0

// Package expression evaluates the customers' expressions: conditions, computed fields, custom conflict rules.
//
// The language is that of expr-lang/expr, whose parser is used. The tree is walked here and not by that library's machine,
// for three reasons: numbers stay exact decimals, a field without a value is no accident, and each step counts against a
// budget, so that no expression can hold a worker up. The result depends on the arguments alone.
package expression

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"

	"github.com/syncline-dev/syncline/internal/record"
)

// What an expression may cost.
const (
	MaxNodes = 200       // parts of an expression
	MaxList  = 1_000     // items of a list it looks at or makes
	MaxText  = 64 * 1024 // bytes of a text it makes
	maxSteps = 20_000    // parts evaluated in one evaluation; a predicate counts once for each item
	maxDigit = 200       // digits of a number it makes
)

// Error is a faulty expression, or one that could not be evaluated.
type Error struct {
	Message string
	Column  int // 1-based, in characters of the expression; 0 when it is about the whole
}

func (e *Error) Error() string { return e.Message }

// Program is a compiled expression. It is constant and safe to share.
type Program struct {
	code  string
	root  ast.Node
	names []string
}

// Env answers what a name stands for; false for a name that stands for nothing, whose value is null.
type Env func(name string) (record.Value, bool)

// Of is an Env of fields.
func Of(fields record.Fields) Env {
	return func(name string) (record.Value, bool) { v, ok := fields[name]; return v, ok }
}

// Check says what is wrong with an expression, nil when it can be evaluated. Names that are not known are fields.
func Check(code string) error {
	_, err := Compile(code)
	return err
}

// Compile parses an expression. Predicates inside predicates (all(xs, all(ys, ...))) are refused, because nobody can tell
// what they cost.
func Compile(code string) (*Program, error) {
	cfg := conf.CreateNew()
	expr.MaxNodes(MaxNodes)(cfg)
	expr.AllowUndefinedVariables()(cfg)
	tree, err := parser.ParseWithConfig(code, cfg)
	if err != nil {
		var e *file.Error
		if !errors.As(err, &e) {
			return nil, &Error{Message: sentence(err.Error())}
		}
		if strings.Contains(e.Message, "maximum allowed nodes") {
			return nil, &Error{Message: fmt.Sprintf("The expression is too long: at most %d parts are possible.", MaxNodes)}
		}
		return nil, &Error{Message: sentence(e.Message), Column: e.Column + 1}
	}
	c := &checker{locals: make(map[string]int), names: make(map[string]bool)}
	c.check(tree.Node)
	if c.found != nil {
		return nil, c.found
	}
	return &Program{code: code, root: tree.Node, names: slices.Sorted(maps.Keys(c.names))}, nil
}

func sentence(s string) string {
	s = strings.TrimSuffix(strings.TrimSpace(s), ".")
	if s == "" {
		return "The expression is not valid."
	}
	return "The expression is not valid: " + shorten(s) + "."
}

func shorten(s string) string {
	if r := []rune(s); len(r) > 80 {
		return string(r[:77]) + "..."
	}
	return s
}

// String is the expression as it was written.
func (p *Program) String() string { return p.code }

// Names lists the names that the expression looks up, sorted: the fields it depends on.
func (p *Program) Names() []string { return p.names }

// Run evaluates the expression.
func (p *Program) Run(env Env) (record.Value, error) {
	m := &machine{env: env, steps: maxSteps}
	v, err := m.eval(p.root)
	if err != nil {
		return nil, err
	}
	return v, nil
}

// True evaluates a condition. A value that is absent, false, 0 or empty text does not hold.
func (p *Program) True(env Env) (bool, error) {
	v, err := p.Run(env)
	return truth(v), err
}

func truth(v record.Value) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case record.Number:
		return v != "0" && v != ""
	case string:
		return v != ""
	case []any:
		return len(v) > 0
	case map[string]any:
		return len(v) > 0
	}
	return false
}

// checker looks for what cannot be evaluated, and collects names.
type checker struct {
	found  *Error
	locals map[string]int // names that let declares
	names  map[string]bool
	inside int // predicates around the node
}

func (c *checker) fail(n ast.Node, format string, args ...any) {
	if c.found == nil {
		c.found = &Error{Message: fmt.Sprintf(format, args...), Column: n.Location().From + 1}
	}
}

func (c *checker) check(n ast.Node) {
	switch n := n.(type) {
	case *ast.NilNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.StringNode, *ast.PointerNode:
	case *ast.IdentifierNode:
		if strings.HasPrefix(n.Value, "$") {
			c.fail(n, "There is no name %s.", shorten(n.Value))
		}
		if c.locals[n.Value] == 0 {
			c.names[n.Value] = true
		}
	case *ast.UnaryNode:
		if !slices.Contains([]string{"!", "not", "-", "+"}, n.Operator) {
			c.fail(n, "The operator %s is not possible.", n.Operator)
		}
		c.check(n.Node)
	case *ast.BinaryNode:
		if binary[n.Operator] == nil && !shortCircuit[n.Operator] {
			c.fail(n, "The operator %s is not possible.", n.Operator)
		}
		if _, isText := n.Right.(*ast.StringNode); n.Operator == "matches" && !isText {
			c.fail(n.Right, "The regular expression must be written as text.")
		} else if isText && n.Operator == "matches" {
			if _, err := pattern(n.Right.(*ast.StringNode).Value); err != nil {
				c.fail(n.Right, "The regular expression is not valid.")
			}
		}
		c.check(n.Left)
		c.check(n.Right)
	case *ast.ChainNode:
		c.check(n.Node)
	case *ast.MemberNode:
		c.check(n.Node)
		c.check(n.Property)
	case *ast.SliceNode:
		for _, part := range []ast.Node{n.Node, n.From, n.To} {
			if part != nil {
				c.check(part)
			}
		}
	case *ast.CallNode:
		id, ok := n.Callee.(*ast.IdentifierNode)
		if !ok || functions[id.Value] == nil {
			c.fail(n.Callee, "There is no function %s.", shorten(n.Callee.String()))
			return
		}
		c.arguments(n, id.Value, n.Arguments)
	case *ast.BuiltinNode:
		if predicates[n.Name] == nil && functions[n.Name] == nil {
			c.fail(n, "There is no function %s.", shorten(n.Name))
			return
		}
		c.arguments(n, n.Name, n.Arguments)
	case *ast.PredicateNode:
		if c.inside > 0 {
			c.fail(n, "Predicates inside predicates are not possible.")
		}
		c.inside++
		c.check(n.Node)
		c.inside--
	case *ast.ConditionalNode:
		c.check(n.Cond)
		c.check(n.Exp1)
		c.check(n.Exp2)
	case *ast.VariableDeclaratorNode:
		c.check(n.Value)
		c.locals[n.Name]++
		c.check(n.Expr)
		c.locals[n.Name]--
	case *ast.SequenceNode:
		for _, part := range n.Nodes {
			c.check(part)
		}
	case *ast.ArrayNode:
		for _, part := range n.Nodes {
			c.check(part)
		}
	case *ast.MapNode:
		for _, part := range n.Pairs {
			c.check(part)
		}
	case *ast.PairNode:
		c.check(n.Key)
		c.check(n.Value)
	default:
		c.fail(n, "This is not possible in an expression.")
	}
}

func (c *checker) arguments(n ast.Node, name string, args []ast.Node) {
	if p := predicates[name]; p != nil && p.must {
		var body ast.Node
		if len(args) > 1 {
			body = args[1]
		}
		if _, is := body.(*ast.PredicateNode); !is {
			c.fail(n, "The function %s needs a list and a predicate.", name)
		}
	}
	if f := functions[name]; f != nil && (len(args) < f.least || f.most >= 0 && len(args) > f.most) {
		c.fail(n, "The function %s cannot be called with %d arguments.", name, len(args))
	}
	for _, a := range args {
		c.check(a)
	}
}
