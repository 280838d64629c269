package dynamoitem

import (
	"fmt"
	"slices"
	"strings"
)

// The names of attributes in DynamoDB's expressions decide whether a request may be sent, so
// none may be missed. What is read here is a little more than DynamoDB's grammar: whether
// parentheses and operators make sense is for DynamoDB to say. But at each place it is
// settled whether a word is a name, an operator or a function, and whatever else stands
// there is refused.

// A path is a document path of an expression.
type path struct {
	name  string // of the attribute of the item, which the path begins with
	whole bool   // whether it is all of the attribute and not something inside
}

// conditionPaths returns the paths in a condition, filter or key condition expression.
func conditionPaths(expression string, names map[string]string) ([]path, error) {
	s := newScanner(expression, names)
	s.operands(&conditionOperators)
	return s.end()
}

// bothConditions returns a condition that is true if both are, of which the second was read
// before. DynamoDB refuses parentheses that are not needed.
func bothConditions(one, two string, names map[string]string) string {
	s := newScanner(two, names)
	if s.operands(&conditionOperators); s.or {
		two = "(" + two + ")"
	}
	return one + " AND " + two
}

// projectionPaths returns the paths in a projection expression.
func projectionPaths(expression string, names map[string]string) ([]path, error) {
	s := newScanner(expression, names)
	s.path()
	for s.token.kind == ',' {
		s.next()
		s.path()
	}
	return s.end()
}

// updatePaths returns the paths in an update expression, those that are only read included.
func updatePaths(expression string, names map[string]string) ([]path, error) {
	s := newScanner(expression, names)
	for {
		clause := strings.ToUpper(s.token.text)
		if s.token.kind != word || !slices.Contains(updateClauses, clause) {
			s.fail("SET, REMOVE, ADD or DELETE is expected")
		}
		s.next()
		s.path()
		s.assigned(clause)
		for s.token.kind == ',' {
			s.next()
			s.path()
			s.assigned(clause)
		}
		if s.err != nil || s.token.kind == end {
			return s.end()
		}
	}
}

var updateClauses = []string{"SET", "REMOVE", "ADD", "DELETE"}

// assigned reads what follows the path that a clause of an update changes.
func (s *scanner) assigned(clause string) {
	switch clause {
	case "REMOVE":
		return
	case "SET":
		if s.token.text != "=" {
			s.fail("= is expected")
		}
		s.next()
	}
	s.operands(&updateOperators)
}

// An operators says what may stand between operands, and which functions there are.
type operators struct {
	kinds     string   // of tokens
	words     []string // in upper case; DynamoDB takes any
	not       bool     // whether NOT may stand before an operand
	functions []string
}

var (
	conditionOperators = operators{
		kinds: string(comparator), words: []string{"AND", "OR", "BETWEEN", "IN"}, not: true,
		functions: []string{"attribute_exists", "attribute_not_exists", "attribute_type", "begins_with", "contains", "size"},
	}
	updateOperators = operators{
		kinds: "+-", functions: []string{"if_not_exists", "list_append"},
	}
)

// operands reads operands with operators between them, as far as they go.
func (s *scanner) operands(o *operators) {
	depth := 0 // of parentheses
	for s.err == nil {
		switch s.token.kind {
		case '(':
			depth++
			s.next()
			continue
		case value:
			s.next()
		case placeholder:
			s.path()
		case word:
			if o.not && strings.EqualFold(s.token.text, "NOT") { // a reserved word: no attribute's name
				s.next()
				continue
			}
			first := s.token
			s.next()
			if s.token.kind == '(' {
				if !slices.Contains(o.functions, first.text) {
					s.fail("a function that is not known")
				}
				depth++
				s.next()
				continue
			}
			s.pathFrom(first)
		default:
			s.fail("an attribute, a value or a function is expected")
			return
		}
		for s.token.kind == ')' && depth > 0 {
			depth--
			s.next()
		}
		switch {
		case s.token.kind == ',' && depth > 0,
			s.token.kind != end && strings.IndexByte(o.kinds, s.token.kind) >= 0,
			s.token.kind == word && slices.Contains(o.words, strings.ToUpper(s.token.text)):
			s.or = s.or || depth == 0 && strings.EqualFold(s.token.text, "OR")
			s.next()
		default:
			if depth > 0 {
				s.fail("an operator or ) is expected")
			}
			return
		}
	}
}

// The kinds of tokens. The others are their one character.
const (
	end         = 0
	word        = 'a'
	placeholder = '#'
	value       = ':'
	number      = '0'
	comparator  = '='
)

type token struct {
	kind byte
	text string
	at   int // where it begins
}

// A scanner reads an expression. Its first error stays, and ends the expression.
type scanner struct {
	rest  string
	at    int
	names map[string]string // what placeholders stand for
	token token
	found []path
	or    bool // whether there is an OR outside of parentheses
	err   error
}

func newScanner(expression string, names map[string]string) *scanner {
	s := &scanner{rest: expression, names: names}
	s.next()
	return s
}

// end returns what was found, if that was all.
func (s *scanner) end() ([]path, error) {
	if s.token.kind != end {
		s.fail("something that is not understood follows")
	}
	return s.found, s.err
}

// fail ends the expression. The reason tells where, and does not quote it: a value may stand
// there that does not belong into expressions.
func (s *scanner) fail(reason string) {
	if s.err == nil {
		s.err = fmt.Errorf("at byte %d: %s", s.token.at, reason)
	}
	s.rest, s.token = "", token{kind: end, at: s.token.at}
}

// next reads a token.
func (s *scanner) next() {
	trimmed := strings.TrimLeft(s.rest, " \t\r\n")
	s.at += len(s.rest) - len(trimmed)
	s.rest, s.token = trimmed, token{kind: end, at: s.at}
	if s.rest == "" {
		return
	}
	c, n := s.rest[0], 1
	switch {
	case isLetter(c):
		n = wordLen(s.rest)
		c = word
	case c == placeholder || c == value:
		n += wordLen(s.rest[1:])
		if n == 1 {
			s.fail("a name is expected after # and :")
			return
		}
	case isDigit(c):
		for n < len(s.rest) && isDigit(s.rest[n]) {
			n++
		}
		c = number
	case c == '<' && len(s.rest) > 1 && (s.rest[1] == '=' || s.rest[1] == '>'), c == '>' && len(s.rest) > 1 && s.rest[1] == '=':
		n = 2
		c = comparator
	case c == '<', c == '>', c == '=':
		c = comparator
	case strings.IndexByte("()[].,+-", c) < 0:
		s.fail("a character that is not understood")
		return
	}
	s.token.kind, s.token.text = c, s.rest[:n]
	s.rest = s.rest[n:]
	s.at += n
}

func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' }

// wordLen returns how many bytes s begins with that may be in a word.
func wordLen(s string) int {
	n := 0
	for n < len(s) && (isLetter(s[n]) || isDigit(s[n])) {
		n++
	}
	return n
}

// path reads a path.
func (s *scanner) path() {
	first := s.token
	if first.kind != word && first.kind != placeholder {
		s.fail("an attribute is expected")
		return
	}
	s.next()
	s.pathFrom(first)
}

// pathFrom reads what is left of a path after its first token.
func (s *scanner) pathFrom(first token) {
	p := path{first.text, true}
	if first.kind == placeholder {
		name, ok := s.names[first.text]
		if !ok {
			s.token.at = first.at
			s.fail("the placeholder is not in ExpressionAttributeNames")
			return
		}
		p.name = name
	}
	for s.token.kind == '.' || s.token.kind == '[' {
		p.whole = false
		opened := s.token.kind == '['
		s.next()
		if opened && s.token.kind != number || !opened && s.token.kind != word && s.token.kind != placeholder {
			s.fail("a path goes on with .name or [number]")
			return
		}
		s.next()
		if opened {
			if s.token.kind != ']' {
				s.fail("] is expected")
				return
			}
			s.next()
		}
	}
	s.found = append(s.found, p)
}
