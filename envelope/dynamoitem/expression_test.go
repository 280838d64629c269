package dynamoitem

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type pathsOf = func(string, map[string]string) ([]path, error)

var placeholders = map[string]string{"#n": "a name", "#dot": "a.b", "#0": "zero", "#_x": "x", "#s": "size"}

// whole returns the paths of whole attributes.
func whole(names ...string) (all []path) {
	for _, n := range names {
		all = append(all, path{n, true})
	}
	return all
}

func TestExpressions(t *testing.T) {
	for _, c := range []struct {
		paths      pathsOf
		expression string
		want       []path
	}{
		{conditionPaths, "a = :v", whole("a")},
		{conditionPaths, "a=:v", whole("a")},
		{conditionPaths, ":v = a", whole("a")},
		{conditionPaths, "a <> b and c<=d AnD e>=f AND g<h OR i>j", whole("a", "b", "c", "d", "e", "f", "g", "h", "i", "j")},
		{conditionPaths, "NOT a = :v OR not (b = :v)", whole("a", "b")},
		{conditionPaths, "a BETWEEN b AND c", whole("a", "b", "c")},
		{conditionPaths, "a between :x and :y and b IN (:x, c,d) or e in(:x)", whole("a", "b", "c", "d", "e")},
		{conditionPaths, "attribute_exists(a) AND attribute_not_exists (b)", whole("a", "b")},
		{conditionPaths, "attribute_type(a, :t) AND begins_with(b, :p) AND contains(c, d)", whole("a", "b", "c", "d")},
		{conditionPaths, "size(a) > :n AND :n < size ( b )", whole("a", "b")},
		{conditionPaths, "contains(a, size(b))", whole("a", "b")},
		{conditionPaths, "size = :v AND contains <> :v", whole("size", "contains")},
		{conditionPaths, "a.b[3].c = :v", []path{{"a", false}}},
		{conditionPaths, "a[0][1] = b.#n", []path{{"a", false}, {"b", false}}},
		{conditionPaths, "a . b [ 3 ] = :v", []path{{"a", false}}},
		{conditionPaths, "#n = :v AND #n.a = :v AND #0 = #_x", []path{{"a name", true}, {"a name", false}, {"zero", true}, {"x", true}}},
		{conditionPaths, "#dot = :v", whole("a.b")},
		{conditionPaths, "a.and = :v AND b.size = :v", []path{{"a", false}, {"b", false}}},
		{conditionPaths, "((a = :v)\tAND\r\n(b = :v))", whole("a", "b")},
		{conditionPaths, "_a9 = :v", whole("_a9")},
		{conditionPaths, "aws_dbe_b_x = :v", whole("aws_dbe_b_x")},

		{projectionPaths, "a", whole("a")},
		{projectionPaths, "a, #n,b.c[1], and,size", []path{{"a", true}, {"a name", true}, {"b", false}, {"and", true}, {"size", true}}},

		{updatePaths, "SET a = :v", whole("a")},
		{updatePaths, "set a=:v,b=c", whole("a", "b", "c")},
		{updatePaths, "SET a = b + :v, c = :v - d, e = if_not_exists(f, :v) + :w, g = list_append(h, i)", whole("a", "b", "c", "d", "e", "f", "g", "h", "i")},
		{updatePaths, "SET a = list_append(if_not_exists(b, :v), :w)", whole("a", "b")},
		{updatePaths, "SET a.b[3] = #n.c REMOVE #dot, d[1] ADD e :v DELETE f :v, #0 :w", []path{
			{"a", false}, {"a name", false}, {"a.b", true}, {"d", false}, {"e", true}, {"f", true}, {"zero", true}}},
		{updatePaths, "remove set, REMOVE, add ADD add :v", whole("set", "REMOVE", "add", "add")},
		{updatePaths, "SET remove = :v, set = add REMOVE delete", whole("remove", "set", "add", "delete")},
	} {
		t.Run(c.expression, func(t *testing.T) {
			found, err := c.paths(c.expression, placeholders)
			require.NoError(t, err)
			assert.Equal(t, c.want, found)
		})
	}
}

// What is not understood is refused, and the error quotes nothing.
func TestExpressionsRefused(t *testing.T) {
	for _, c := range []struct {
		paths      pathsOf
		expression string
		says       string
	}{
		{conditionPaths, "", "at byte 0: an attribute, a value or a function is expected"},
		{conditionPaths, "  ", "at byte 2"},
		{conditionPaths, "a = 'secret'", "at byte 4: a character that is not understood"},
		{conditionPaths, "a = \"secret\"", "at byte 4: a character"},
		{conditionPaths, "a = 1", "at byte 4: an attribute, a value"},
		{conditionPaths, "a = :v -- secret", "at byte 7: something that is not understood follows"},
		{conditionPaths, "a = :v /* secret */", "at byte 7: a character"},
		{conditionPaths, "a = :v; secret = :v", "at byte 6: a character"},
		{conditionPaths, "a = :v secret", "at byte 7: something"},
		{conditionPaths, "a = :v, secret = :v", "at byte 6: something"},
		{conditionPaths, "a = :v)", "at byte 6: something"},
		{conditionPaths, "(a = :v", "at byte 7: an operator or )"},
		{conditionPaths, "a = ", "at byte 4: an attribute"},
		{conditionPaths, "a + b = :v", "at byte 2: something"},
		{conditionPaths, "secret(a)", "at byte 6: a function that is not known"},
		{conditionPaths, "SIZE(a) = :v", "at byte 4: a function"},
		{conditionPaths, "if_not_exists(a, :v) = :v", "at byte 13: a function"},
		{conditionPaths, "a.b.(c) = :v", "at byte 4: a path goes on"},
		{conditionPaths, "a. = :v", "at byte 3: a path"},
		{conditionPaths, "a[b] = :v", "at byte 2: a path"},
		{conditionPaths, "a[:v] = :v", "at byte 2: a path"},
		{conditionPaths, "a[1 = :v", "at byte 4: ] is expected"},
		{conditionPaths, "a[] = :v", "at byte 2: a path"},
		{conditionPaths, "#gone = :v", "at byte 0: the placeholder is not in ExpressionAttributeNames"},
		{conditionPaths, "# = :v", "at byte 0: a name is expected after # and :"},
		{conditionPaths, "a = :", "at byte 4: a name is expected after"},
		{conditionPaths, "a-b = :v", "at byte 1: something"},
		{conditionPaths, "1a = :v", "at byte 0: an attribute"},
		{conditionPaths, "é = :v", "at byte 0: a character"},
		{conditionPaths, "a\x00 = :v", "at byte 1: a character"},
		{conditionPaths, "a\u00a0= :v", "at byte 1: a character"},
		{conditionPaths, "a ! b", "at byte 2: a character"},
		{conditionPaths, "a == b", "at byte 3: an attribute"},
		{projectionPaths, "", "at byte 0: an attribute is expected"},
		{projectionPaths, "a,", "at byte 2: an attribute"},
		{projectionPaths, "a b", "at byte 2: something"},
		{projectionPaths, "size(a)", "at byte 4: something"},
		{projectionPaths, ":v", "at byte 0: an attribute"},
		{updatePaths, "", "at byte 0: SET, REMOVE, ADD or DELETE is expected"},
		{updatePaths, "a = :v", "at byte 0: SET"},
		{updatePaths, "SET", "at byte 3: an attribute"},
		{updatePaths, "SET a", "at byte 5: = is expected"},
		{updatePaths, "SET a <> :v", "at byte 6: = is"},
		{updatePaths, "SET a = :v,", "at byte 11: an attribute"},
		{updatePaths, "SET a = :v secret = :v", "at byte 11: SET"},
		{updatePaths, "SET a = :v * :w", "at byte 11: a character"},
		{updatePaths, "SET a = size(b)", "at byte 12: a function"},
		{updatePaths, "SET a = (b + :v", "at byte 15: an operator or )"},
		{updatePaths, "REMOVE a = :v", "at byte 9: SET"},
		{updatePaths, "ADD a", "at byte 5: an attribute"},
	} {
		t.Run(c.expression, func(t *testing.T) {
			_, err := c.paths(c.expression, placeholders)
			require.ErrorContains(t, err, c.says)
			assert.NotContains(t, err.Error(), "secret")
		})
	}
}

func TestBothConditions(t *testing.T) {
	for two, want := range map[string]string{
		"a = :v":                             "x AND a = :v",
		"a = :v AND NOT b BETWEEN :v AND :w": "x AND a = :v AND NOT b BETWEEN :v AND :w",
		"a = :v or b = :v":                   "x AND (a = :v or b = :v)",
		"(a = :v) OR (b = :v)":               "x AND ((a = :v) OR (b = :v))",
		"(a = :v OR b = :v)":                 "x AND (a = :v OR b = :v)",
		"a.or = :v AND #n = :v":              "x AND a.or = :v AND #n = :v",
	} {
		assert.Equal(t, want, bothConditions("x", two, placeholders))
	}
}

// A depth that would be too deep to recurse is read, or refused, all the same.
func TestDeepExpressions(t *testing.T) {
	const n = 1 << 20
	found, err := conditionPaths(strings.Repeat("(", n)+"a = :v"+strings.Repeat(")", n), nil)
	require.NoError(t, err)
	assert.Equal(t, whole("a"), found)
	_, err = updatePaths("SET a = "+strings.Repeat("(", n), nil)
	require.Error(t, err)
}

var (
	wordsOf  = regexp.MustCompile(`[#:]?[A-Za-z0-9_]+`)
	spaceOf  = " \t\r\n"
	operands = []string{"AND", "OR", "NOT", "BETWEEN", "IN"}
)

// namesByWords finds the names in an expression in another way: all words, less what cannot
// be a name for what stands beside it.
func namesByWords(expression string, names map[string]string, update bool) []string {
	var all []string
	for _, at := range wordsOf.FindAllStringIndex(expression, -1) {
		w := expression[at[0]:at[1]]
		before, after := strings.TrimRight(expression[:at[0]], spaceOf), strings.TrimLeft(expression[at[1]:], spaceOf)
		switch {
		case w[0] == ':', strings.HasSuffix(before, "."), strings.HasSuffix(before, "["):
		case w[0] == '#':
			all = append(all, names[w])
		case strings.HasPrefix(after, "(") && !slices.Contains(operands, strings.ToUpper(w)):
		case !update && slices.Contains(operands, strings.ToUpper(w)):
		case update && slices.Contains(updateClauses, strings.ToUpper(w)) && !strings.HasPrefix(after, "="):
		default:
			all = append(all, w)
		}
	}
	return all
}

// FuzzExpressions holds that an expression that is not refused has no name that was missed.
func FuzzExpressions(f *testing.F) {
	for _, e := range []string{
		"a = :v AND b.c[3] IN (:x, #n)", "NOT (attribute_exists(a) OR size(b) BETWEEN :x AND c)", "a, #dot.b, c[0]",
		"SET a = if_not_exists(b, :v) + c REMOVE d[1], #n ADD e :v DELETE #dot.f :w", "SET set = :v, remove = #n", "remove set",
	} {
		f.Add(e)
	}
	f.Fuzz(func(t *testing.T, expression string) {
		for i, paths := range []pathsOf{conditionPaths, projectionPaths, updatePaths} {
			found, err := paths(expression, placeholders)
			if err != nil {
				continue
			}
			var got []string
			for _, p := range found {
				got = append(got, p.name)
			}
			for _, name := range namesByWords(expression, placeholders, i == 2) {
				assert.Contains(t, got, name)
			}
		}
	})
}
