package field

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A column is a sealed field of a record type.
type column struct {
	name    string
	path    []int // of the field, through structs and pointers
	pointed bool  // through a pointer
	text    bool
	bucket  int    // of padding, 0 for none
	prefix  []byte // what its bindings begin with: table and column
	cell    cell   // a NULL of its type, to ask about it
	indexes []*index
}

// A part is a field whose value goes into bindings or into the encryption context.
type part struct {
	name     string // in the context
	position int    // in the row's key
	path     []int
	field    string // as Go names it, for errors
}

// A plan is what a record type's tags say.
type plan struct {
	columns []*column
	row     []part
	context []part // by name
}

var (
	cellType  = reflect.TypeFor[cell]()
	indexType = reflect.TypeFor[Index]()
)

// A planner reads the tags of a type and collects what is wrong with them.
type planner struct {
	plan
	table   string
	opts    *Options
	indexes []*index
	errs    []error
	walking []reflect.Type
	pointed int // how many pointers lead to the struct that is walked
}

func (p *planner) wrong(field, format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf("field %s: %s", field, fmt.Sprintf(format, args...)))
}

// makePlan reads the tags of t. All that is wrong is in the error.
func makePlan(t reflect.Type, table string, o *Options) (*plan, error) {
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("%v is no struct", t)
	}
	p := &planner{table: table, opts: o}
	p.walk(t, nil, "", "")
	if len(p.columns) == 0 && len(p.errs) == 0 {
		p.errs = append(p.errs, errors.New("there is no sealed field: give one a tag such as `seal:\"ssn\"`"))
	}
	p.finishRow()
	p.finishContext()
	p.finishIndexes()
	if len(p.errs) > 0 {
		return nil, errors.Join(p.errs...)
	}
	return &p.plan, nil
}

// walk goes through the fields of a struct. Path and where lead to it; prefix is put
// before the names of its columns.
func (p *planner) walk(t reflect.Type, path []int, where, prefix string) {
	if slices.Contains(p.walking, t) {
		p.wrong(strings.TrimSuffix(where, "."), "%v contains itself", t)
		return
	}
	p.walking = append(p.walking, t)
	defer func() { p.walking = p.walking[:len(p.walking)-1] }()
	for i := range t.NumField() {
		f := t.Field(i)
		p.field(f, append(slices.Clone(path), i), where+f.Name, prefix)
	}
}

// field takes in one field of a struct.
func (p *planner) field(f reflect.StructField, path []int, where, prefix string) {
	text, tagged := f.Tag.Lookup("seal")
	if text == "-" {
		return
	}
	tag, err := parseTag(text)
	if err != nil {
		p.wrong(where, "%v", err)
		return
	}
	sealed := reflect.PointerTo(f.Type).Implements(cellType)
	switch nested := structOf(f.Type); {
	case sealed && f.Anonymous:
		p.wrong(where, "is embedded, so that the record would have the methods of a Sealed: give it a name in Go")
	case f.Type.Kind() == reflect.Pointer && reflect.PointerTo(f.Type.Elem()).Implements(cellType):
		p.wrong(where, "is a pointer to a Sealed, which can be NULL itself: take the Sealed")
	case sealed && !f.IsExported(), tagged && !f.IsExported() && !f.Anonymous:
		p.wrong(where, "is not exported, so that it cannot be reached")
	case sealed:
		p.column(f, tag, path, where, prefix)
	case f.Type == indexType && tagged, isBytes(f.Type) && tag.has("index"):
		p.index(tag, path, where, prefix)
	case f.Type == indexType:
		p.wrong(where, "has no tag: say which field it is an index of, as in `seal:\"index=ssn\"`")
	case nested != nil && (f.Anonymous && !tagged || tag.has("inline")):
		p.check(where, tag, "inline", "prefix")
		if tag.name != "" {
			p.wrong(where, "an inline struct has no name; its columns can have a prefix=")
		}
		if f.Type.Kind() == reflect.Pointer {
			if !f.IsExported() {
				p.wrong(where, "is a pointer to a struct that is not exported: embed the struct itself")
			}
			p.pointed++
			defer func() { p.pointed-- }()
		}
		p.walk(nested, path, where+".", prefix+tag.options["prefix"])
	case tagged:
		p.part(f, tag, path, where)
	case nested != nil && holdsSealed(nested, nil):
		p.wrong(where, "is a struct with sealed fields and has no tag: `seal:\",inline\"` seals them with this record, `seal:\"-\"` leaves them out")
	}
}

// column takes in a sealed field.
func (p *planner) column(f reflect.StructField, tag tag, path []int, where, prefix string) {
	p.check(where, tag, "text", "pad")
	if tag.name == "" {
		p.wrong(where, "has no name: give it its column's, as in `seal:\"ssn\"`, which must then stay the same for good")
		return
	}
	c := &column{name: prefix + tag.name, path: path, pointed: p.pointed > 0, text: tag.has("text")}
	for _, other := range p.columns {
		if other.name == c.name {
			p.wrong(where, "has the name %q, as another field does", c.name)
		}
	}
	c.cell = reflect.New(f.Type).Interface().(cell)
	if err := c.cell.checkType(); err != nil {
		p.wrong(where, "%v", err)
	}
	if pad, ok := tag.options["pad"]; ok {
		n, err := strconv.Atoi(pad)
		if err != nil || n < 2 || n > 1<<20 {
			p.wrong(where, "pad=%s: it must be 2 to %d bytes", pad, 1<<20)
		}
		c.bucket = n
	}
	c.prefix = appendWithLength(appendWithLength(nil, p.table), c.name)
	p.columns = append(p.columns, c)
}

// part takes in a field that is part of the row's key, of the context, or of both.
func (p *planner) part(f reflect.StructField, tag tag, path []int, where string) {
	p.check(where, tag, "row", "context")
	if tag.name != "" {
		p.wrong(where, "has the name %q, and is no field.Sealed", tag.name)
		return
	}
	row, isRow := tag.options["row"]
	name, isContext := tag.options["context"]
	if !isRow && !isContext {
		p.wrong(where, "has an empty tag: say row, context= or inline, or use the type field.Sealed")
		return
	}
	if err := checkPart(f.Type, isContext); err != nil {
		p.wrong(where, "%v", err)
		return
	}
	if isRow {
		position := 0
		if row != "" {
			var err error
			if position, err = strconv.Atoi(row); err != nil || position < 1 {
				p.wrong(where, "row=%s: it must be the position in the key, from 1", row)
				return
			}
		}
		p.row = append(p.row, part{position: position, path: path, field: where})
	}
	if isContext {
		switch {
		case name == "" || !utf8.ValidString(name):
			p.wrong(where, "context=%s: it must be the name of the pair", name)
			return
		case name == tablePair:
			p.wrong(where, "context=%s: that pair holds the table's name", name)
			return
		case strings.HasPrefix(name, "aws-crypto-"):
			p.wrong(where, "context=%s: names that begin with aws-crypto- are the format's own", name)
			return
		}
		p.context = append(p.context, part{name: name, path: path, field: where})
	}
}

// index takes in an index; finishIndexes gives it to its column.
func (p *planner) index(tag tag, path []int, where, prefix string) {
	p.check(where, tag, "index", "normalize", "bytes")
	of := tag.options["index"]
	if of == "" || tag.name != "" {
		p.wrong(where, "does not say which field it is an index of, as in `seal:\"index=ssn\"`")
		return
	}
	x := &index{of: prefix + of, path: path, pointed: p.pointed > 0, field: where, length: maxTerm, normalizer: Normalizer{}}
	if n, ok := tag.options["bytes"]; ok {
		var err error
		if x.length, err = strconv.Atoi(n); err != nil || x.length < minTerm || x.length > maxTerm {
			p.wrong(where, "bytes=%s: it must be %d to %d", n, minTerm, maxTerm)
		}
	}
	if name, ok := tag.options["normalize"]; ok {
		if x.normalizer, ok = p.opts.normalizer(name); !ok {
			p.wrong(where, "normalize=%s: there is no such normalizer; Options.Normalizers takes your own", name)
		}
	}
	p.indexes = append(p.indexes, x)
}

func (p *planner) finishRow() {
	slices.SortStableFunc(p.row, func(a, b part) int { return cmp.Compare(a.position, b.position) })
	if p.opts.WithoutRow {
		if len(p.row) > 0 {
			p.wrong(p.row[0].field, "is a row's key, and Options.WithoutRow is set")
		}
		return
	}
	switch {
	case len(p.row) == 0:
		p.errs = append(p.errs, errors.New("there is no row: the tag `seal:\",row\"` on the record's key binds values to it, "+
			"so that nobody can exchange those of two rows; Options.WithoutRow does without"))
	case len(p.row) == 1 && p.row[0].position == 0:
	default:
		for i, one := range p.row {
			if one.position != i+1 {
				p.wrong(one.field, "the parts of the row's key must be numbered row=1 to row=%d, each once", len(p.row))
				return
			}
		}
	}
}

func (p *planner) finishContext() {
	slices.SortStableFunc(p.context, func(a, b part) int { return cmp.Compare(a.name, b.name) })
	for i := 1; i < len(p.context); i++ {
		if p.context[i].name == p.context[i-1].name {
			p.wrong(p.context[i].field, "has the context pair %q, as another field does", p.context[i].name)
		}
	}
}

func (p *planner) finishIndexes() {
	for _, x := range p.indexes {
		i := slices.IndexFunc(p.columns, func(c *column) bool { return c.name == x.of })
		switch {
		case i < 0:
			p.wrong(x.field, "is an index of %q, and no sealed field has that name", x.of)
			continue
		case x.normalizer.Normalize != nil && !p.columns[i].cell.isText():
			p.wrong(x.field, "normalize=%s: the field %q is no string", x.normalizer.Name, x.of)
		case p.opts.IndexKeys == nil:
			p.wrong(x.field, "is an index, and Options.IndexKeys is not set")
		}
		x.setInfo(p.table)
		p.columns[i].indexes = append(p.columns[i].indexes, x)
	}
}

// A tag is the text of a seal tag: a name, then options.
type tag struct {
	name    string
	options map[string]string // with the value after "=", or ""
}

func (t tag) has(option string) bool { _, ok := t.options[option]; return ok }

func parseTag(text string) (tag, error) {
	t := tag{options: map[string]string{}}
	for i, item := range strings.Split(text, ",") {
		key, value, hasValue := strings.Cut(item, "=")
		switch {
		case i == 0 && !hasValue:
			t.name = item
			continue
		case key == "":
			return t, fmt.Errorf("its tag %q has an empty option", text)
		case t.has(key):
			return t, fmt.Errorf("its tag %q has the option %s twice", text, key)
		}
		t.options[key] = value
	}
	if !utf8.ValidString(t.name) {
		return t, errors.New("its name is not UTF-8")
	}
	return t, nil
}

// check says of options that are not known here that they are wrong, and of those that have
// a value and take none.
func (p *planner) check(where string, t tag, known ...string) {
	for _, o := range []string{"inline", "text"} {
		if t.options[o] != "" {
			p.wrong(where, "the option %s takes no value", o)
		}
	}
	var unknown []string
	for o := range t.options {
		if !slices.Contains(known, o) {
			unknown = append(unknown, o)
		}
	}
	slices.Sort(unknown)
	for _, o := range unknown {
		p.wrong(where, "the option %s has no meaning here: known are %s", o, strings.Join(known, ", "))
	}
}

// isBytes says whether t is []byte, or a type of a program's own made of it.
func isBytes(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8
}

// structOf returns t or what it points to, if that is a struct that may have columns.
func structOf(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t == timeType || reflect.PointerTo(t).Implements(cellType) {
		return nil
	}
	return t
}

// holdsSealed says whether a struct has sealed fields, itself or in structs within.
func holdsSealed(t reflect.Type, within []reflect.Type) bool {
	if slices.Contains(within, t) {
		return false
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Tag.Get("seal") == "-" {
			continue
		}
		if reflect.PointerTo(f.Type).Implements(cellType) {
			return true
		}
		if nested := structOf(f.Type); nested != nil && holdsSealed(nested, append(slices.Clone(within), t)) {
			return true
		}
	}
	return false
}

// at returns the field of a record that a path leads to, and false if a pointer on the way
// is nil.
func at(v reflect.Value, path []int) (reflect.Value, bool) {
	for i, n := range path {
		if i > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return v, false
			}
			v = v.Elem()
		}
		v = v.Field(n)
	}
	return v, true
}
