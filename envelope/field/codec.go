package field

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"time"
	"unicode/utf8"
)

// appendValue appends the encoding of the value that p, a *T, points to. The common types
// come first because reflection costs as much as a tenth of sealing a short value.
func appendValue(dst []byte, p any) ([]byte, error) {
	switch p := p.(type) {
	case *string:
		return append(dst, *p...), nil
	case *[]byte:
		return append(dst, *p...), nil
	case *time.Time:
		if y := p.UTC().Year(); y < 0 || y > 9999 {
			return dst, fmt.Errorf("%w: the year is not within 0 to 9999", ErrType)
		}
		return p.UTC().AppendFormat(dst, time.RFC3339Nano), nil
	}
	v := reflect.ValueOf(p).Elem()
	switch kindOf(v.Type()) {
	case reflect.String:
		return append(dst, v.String()...), nil
	case reflect.Slice:
		return append(dst, v.Bytes()...), nil
	case reflect.Bool:
		return strconv.AppendBool(dst, v.Bool()), nil
	case reflect.Int64:
		return strconv.AppendInt(dst, v.Int(), 10), nil
	case reflect.Uint64:
		return strconv.AppendUint(dst, v.Uint(), 10), nil
	case reflect.Float64:
		return strconv.AppendFloat(dst, v.Float(), 'g', -1, v.Type().Bits()), nil
	}
	b, err := json.Marshal(p)
	if err != nil {
		// Its text may have part of the value in it.
		return dst, fmt.Errorf("%w: encoding/json does not encode the %T", ErrType, v.Interface())
	}
	return append(dst, b...), nil
}

// decodeValue sets what p, a *T, points to, to the value of an encoding. It does not keep
// the encoding. Its errors do not hold the text of those that are wrapped, in which part
// of the value may stand.
func decodeValue(b []byte, p any) error {
	switch p := p.(type) {
	case *string:
		*p = string(b)
		return nil
	case *[]byte:
		*p = append([]byte{}, b...)
		return nil
	case *time.Time:
		t, err := time.Parse(time.RFC3339Nano, string(b))
		if err != nil {
			return mistyped(p)
		}
		*p = t.UTC()
		return nil
	}
	v := reflect.ValueOf(p).Elem()
	var err error
	switch bits := v.Type(); kindOf(v.Type()) {
	case reflect.String:
		v.SetString(string(b))
	case reflect.Slice:
		v.SetBytes(append([]byte{}, b...))
	case reflect.Bool:
		switch string(b) {
		case "true":
			v.SetBool(true)
		case "false":
			v.SetBool(false)
		default:
			err = ErrType
		}
	case reflect.Int64:
		var n int64
		n, err = strconv.ParseInt(string(b), 10, bits.Bits())
		v.SetInt(n)
	case reflect.Uint64:
		var n uint64
		n, err = strconv.ParseUint(string(b), 10, bits.Bits())
		v.SetUint(n)
	case reflect.Float64:
		var x float64
		x, err = strconv.ParseFloat(string(b), bits.Bits())
		v.SetFloat(x)
	default:
		err = json.Unmarshal(b, p)
	}
	if err != nil {
		return mistyped(p)
	}
	return nil
}

func mistyped(p any) error {
	return fmt.Errorf("%w: it is no %v", ErrType, reflect.TypeOf(p).Elem())
}

var (
	textMarshaler   = reflect.TypeFor[encoding.TextMarshaler]()
	jsonMarshaler   = reflect.TypeFor[json.Marshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	timeType        = reflect.TypeFor[time.Time]()
)

// kindOf returns how values of a type are encoded: as the widest kind of its sort for a
// string, bytes (Slice), a bool or a number, and Invalid for JSON. A type that says how it
// is marshaled is heard, which is by JSON.
func kindOf(t reflect.Type) reflect.Kind {
	if marshals(t) {
		return reflect.Invalid
	}
	switch t.Kind() {
	case reflect.String, reflect.Bool:
		return t.Kind()
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return reflect.Int64
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return reflect.Uint64
	case reflect.Float32, reflect.Float64:
		return reflect.Float64
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 && !marshals(t.Elem()) {
			return reflect.Slice
		}
	}
	return reflect.Invalid
}

// marshals says whether t, or what points to it, has a marshaler of its own.
func marshals(t reflect.Type) bool {
	if t.PkgPath() == "" {
		return false // int, []byte and the like: most fields
	}
	p := reflect.PointerTo(t)
	return p.Implements(jsonMarshaler) || p.Implements(textMarshaler)
}

// unmarshals says whether what points to t has an unmarshaler of its own.
func unmarshals(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(jsonUnmarshaler) || p.Implements(textUnmarshaler)
}

// isText says whether values of T are encoded as the text that they are.
func isText[T any]() bool { return kindOf(reflect.TypeFor[T]()) == reflect.String }

// checkType says whether values of T can be encoded, and why not.
func checkType[T any]() error {
	t := reflect.TypeFor[T]()
	if t.Kind() == reflect.Pointer {
		return fmt.Errorf("a pointer cannot be sealed: take Sealed[%v], which can be NULL", t.Elem())
	}
	if t == timeType || kindOf(t) != reflect.Invalid {
		return nil
	}
	return checkJSON(t, map[reflect.Type]bool{})
}

// checkJSON says whether encoding/json encodes a type and decodes it to what it was: values
// that do not come back would be lost.
func checkJSON(t reflect.Type, seen map[reflect.Type]bool) error {
	if seen[t] {
		return nil
	}
	seen[t] = true
	switch {
	case reflect.PointerTo(t).Implements(cellType):
		return errors.New("a Sealed cannot be in another")
	case marshals(t) && !unmarshals(t):
		return fmt.Errorf("a %v cannot be decoded: it has a marshaler, and no unmarshaler", t)
	case marshals(t):
		return nil
	}
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer, reflect.Uintptr:
		return fmt.Errorf("a %v cannot be encoded", t)
	case reflect.Interface:
		if t.NumMethod() > 0 {
			return fmt.Errorf("a %v cannot be decoded: which type it holds is not known", t)
		}
	case reflect.Map:
		switch k := t.Key(); {
		case kindOf(k) == reflect.String, kindOf(k) == reflect.Int64, kindOf(k) == reflect.Uint64:
		case k.Implements(textMarshaler) && reflect.PointerTo(k).Implements(textUnmarshaler):
		default:
			return fmt.Errorf("a %v cannot be encoded: encoding/json takes no keys of that type, or does not give them back", t)
		}
		return checkJSON(t.Elem(), seen)
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return checkJSON(t.Elem(), seen)
	case reflect.Struct:
		encoded, err := checkFields(t, seen)
		if err == nil && encoded == 0 && t.NumField() > 0 {
			err = fmt.Errorf("a %v cannot be encoded: it has no exported fields, and no marshaler", t)
		}
		return err
	}
	return nil
}

// checkFields does the work of checkJSON for the fields of a struct, and counts those that
// are encoded.
func checkFields(t reflect.Type, seen map[reflect.Type]bool) (encoded int, err error) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Tag.Get("json") == "-" || !f.IsExported() && !f.Anonymous {
			continue
		}
		encoded++
		switch {
		case f.Anonymous && f.Type.Kind() == reflect.Pointer && !f.IsExported():
			err = errors.New("encoding/json cannot set an embedded pointer that is not exported")
		case f.Anonymous && f.Type.Kind() == reflect.Struct && !marshals(f.Type):
			_, err = checkFields(f.Type, seen) // it may have no fields that are encoded
		default:
			err = checkJSON(f.Type, seen)
		}
		if err != nil {
			return encoded, fmt.Errorf("its field %s: %w", f.Name, err)
		}
	}
	return encoded, nil
}

var errEmptyPart = errors.New("is empty or zero")

// appendPart appends the text of a value that is part of a binding or of the encryption
// context: a string, a number, bytes, or what has a MarshalText, as UUIDs do. A pointer
// stands for what it points to. It refuses what is empty: "", nil, and zero where that
// means that nothing was set yet.
func appendPart(dst []byte, v reflect.Value) ([]byte, error) {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return dst, errEmptyPart
		}
		// Whoever points to a zero means it.
		return appendPartText(dst, v.Elem())
	}
	if v.IsZero() {
		return dst, errEmptyPart
	}
	return appendPartText(dst, v)
}

func appendPartText(dst []byte, v reflect.Value) ([]byte, error) {
	start := len(dst)
	switch {
	case v.Type().Implements(textMarshaler):
		text, err := v.Interface().(encoding.TextMarshaler).MarshalText()
		if err != nil {
			return dst, fmt.Errorf("has no text: %w", err)
		}
		dst = append(dst, text...)
	case v.Kind() == reflect.String:
		dst = append(dst, v.String()...)
	case v.CanInt():
		dst = strconv.AppendInt(dst, v.Int(), 10)
	case v.CanUint():
		dst = strconv.AppendUint(dst, v.Uint(), 10)
	case v.Kind() == reflect.Slice:
		dst = append(dst, v.Bytes()...)
	default: // an array of bytes
		for i := range v.Len() {
			dst = append(dst, byte(v.Index(i).Uint()))
		}
	}
	switch n := len(dst) - start; {
	case n == 0:
		return dst, errEmptyPart
	case int64(n) > math.MaxUint32:
		return dst, errors.New("is too long")
	}
	return dst, nil
}

// checkPart says whether values of a type can be part of a binding, or, as text, of the
// encryption context.
func checkPart(t reflect.Type, text bool) error {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == timeType {
		return errors.New("a time cannot be a context pair or part of the row's key: databases round it")
	}
	if t.Implements(textMarshaler) {
		return nil
	}
	switch t.Kind() {
	case reflect.String, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return nil
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 && !text {
			return nil
		}
	}
	kinds := "a string, an integer, or a type with MarshalText"
	if !text {
		kinds = "a string, an integer, bytes, or a type with MarshalText"
	}
	return fmt.Errorf("a %v cannot be a context pair or part of the row's key: it must be %s", t, kinds)
}

// validText says whether b can be in an encryption context.
func validText(b []byte) bool { return utf8.Valid(b) }
