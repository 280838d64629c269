package keyuri

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// parts are those of a URI, decoded.
type parts struct {
	scheme *scheme
	path   string // what stands before the question mark
	params map[string]string

	attributes map[string]string // the path of a PKCS #11 URI, in the place of path
}

// secretNames are names of parameters that would hold a secret.
var secretNames = []string{
	"key", "secret", "secret-key", "aes-key", "private-key", "key-material", "material", "value", "base64", "hex",
	"password", "passphrase", "pass", "pin", "pin-value",
}

// parseParts parses what follows the scheme's colon.
func parseParts(s *scheme, rest string) (*parts, error) {
	raw, query, asked := strings.Cut(rest, "?")
	path, err := decode(raw)
	if err != nil {
		return nil, s.bad("the part after the colon", "%v", err)
	}
	p := &parts{scheme: s, path: path}
	if err := p.parseQuery(query, asked, decode); err != nil {
		return nil, err
	}
	return p, nil
}

// parseQuery parses the parameters in query. If asked, there was a question mark.
func (p *parts) parseQuery(query string, asked bool, decode func(string) (string, error)) error {
	p.params = map[string]string{}
	s := p.scheme
	if query == "" {
		if asked {
			return s.bad("the part after the question mark", "is empty: leave the question mark out")
		}
		return nil
	}
	for i, pair := range strings.Split(query, "&") {
		name, raw, ok := strings.Cut(pair, "=")
		nth := fmt.Sprintf("parameter %d", i+1)
		lower := strings.ToLower(name)
		known := slices.Contains(s.params, lower)
		switch {
		case pair == "":
			return s.bad(nth, "is empty: there is one & between two parameters, and none at the end")
		case !known && s.secretBy() != "" && slices.Contains(secretNames, lower):
			return s.bad(nth, "would put a secret into the URI, which ends up in logs: give the name of a file or of an environment variable that holds it, %s", s.secretBy())
		case !known:
			return s.bad(nth, "is unknown: there are %s", strings.Join(s.params, ", "))
		case name != lower:
			return s.bad("parameter "+lower, "is in upper case")
		case !ok || raw == "":
			return s.bad("parameter "+name, "is empty: give it a value, or leave it out")
		}
		value, err := decode(raw)
		if err != nil {
			return s.bad("parameter "+name, "%v", err)
		}
		if _, twice := p.params[name]; twice {
			return s.bad("parameter "+name, "is given twice; a list has commas")
		}
		p.params[name] = value
	}
	return nil
}

// secretBy says by which parameters a secret is given, or "" if the scheme needs none.
func (s *scheme) secretBy() string {
	switch {
	case s == pkcs11Scheme:
		return "with pin-source=file:PATH or pin-source=env:VARIABLE"
	case slices.Contains(s.params, "file"):
		return "with file=PATH or env=VARIABLE"
	}
	return ""
}

// String returns the URI in its canonical form.
func (p *parts) String() string {
	path := encode(p.path)
	if strings.HasPrefix(path, "//") {
		path = "%2F" + path[1:] // which is no mark of a host
	}
	if p.scheme == pkcs11Scheme {
		path = strings.Join(assigned(pkcs11Path, p.attributes, func(v string) string {
			return strings.ReplaceAll(encode(v), "/", "%2F")
		}), ";")
	}
	text := p.scheme.name + ":" + path
	if len(p.params) > 0 {
		text += "?" + strings.Join(assigned(p.scheme.params, p.params, encode), "&")
	}
	return text
}

// assigned returns name=value for the names that have values, in their order.
func assigned(names []string, values map[string]string, encode func(string) string) (all []string) {
	for _, name := range names {
		if value, ok := values[name]; ok {
			all = append(all, name+"="+encode(value))
		}
	}
	return all
}

// plain says whether a byte stands for itself in a value.
func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~/:,", c) >= 0
}

func encode(value string) string {
	var b strings.Builder
	for i := range len(value) {
		if c := value[i]; plain(c) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// decode returns a value without its percent-encoding. Its errors are the end of a
// sentence about the value, and quote one character at the most.
func decode(raw string) (string, error) {
	value, err := decodeBytes(raw, plain)
	if err != nil {
		return "", err
	}
	return value, checkPrintable(value)
}

func decodeBytes(raw string, plain func(byte) bool) (string, error) {
	b := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case plain(c):
			b = append(b, c)
		case c == '%':
			digits, err := hex.DecodeString(raw[i+1 : min(i+3, len(raw))])
			if err != nil || len(digits) != 1 {
				return "", fmt.Errorf("has a percent sign without two hexadecimal digits; one that is meant is written as %%25")
			}
			b = append(b, digits[0])
			i += 2
		case c == '+':
			return "", fmt.Errorf("has a plus sign, which some read as a space: write %%2B or %%20")
		default:
			return "", fmt.Errorf("has the character %q: one that is meant is written as %%%02X", c, c)
		}
	}
	return string(b), nil
}

func checkPrintable(value string) error {
	if !utf8.ValidString(value) {
		return fmt.Errorf("is not UTF-8")
	}
	for _, r := range value {
		if unicode.IsControl(r) {
			return fmt.Errorf("has a control character")
		}
	}
	return nil
}

// The methods below read one part each, and return an error that names it.

// noPath checks that nothing stands before the question mark.
func (p *parts) noPath() error {
	if p.path != "" {
		return p.scheme.bad("the part between the colon and the question mark", "has no meaning, and is not quoted, since it may be a secret: leave it out")
	}
	return nil
}

// must returns a parameter that may not be left out.
func (p *parts) must(name string) (string, error) {
	value, ok := p.params[name]
	if !ok {
		return "", p.scheme.bad("parameter "+name, "is missing")
	}
	return value, nil
}

// list returns a parameter that is a list of different items.
func (p *parts) list(name, what string, good func(string) bool) ([]string, error) {
	value, ok := p.params[name]
	if !ok {
		return nil, nil
	}
	return p.items("parameter "+name, value, what, good)
}

func (p *parts) items(part, value, what string, good func(string) bool) ([]string, error) {
	items := strings.Split(value, ",")
	for i, item := range items {
		switch {
		case item == "":
			return nil, p.scheme.bad(part, "has an empty item: there is one comma between two")
		case !good(item):
			return nil, p.scheme.bad(part, "has %s as item %d", what, i+1)
		case slices.Contains(items[:i], item):
			return nil, p.scheme.bad(part, "has one item twice: %d", i+1)
		}
	}
	return items, nil
}

// duration returns a parameter that is a positive duration.
func (p *parts) duration(name string) (time.Duration, error) {
	d, err := time.ParseDuration(p.params[name])
	if err != nil || d <= 0 {
		return 0, p.scheme.bad("parameter "+name, "is no positive duration, such as 90s, 5m or 1h")
	}
	return d, nil
}

var (
	regionShape    = regexp.MustCompile(`^[a-z]{2,4}(-[a-z]{1,12}){1,3}-[0-9]{1,2}$`)
	accountShape   = regexp.MustCompile(`^[0-9]{12}$`)
	partitionShape = regexp.MustCompile(`^aws(-[a-z]{1,8}){0,2}$`)
	keyIDShape     = regexp.MustCompile(`^([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|mrk-[0-9a-f]{32})$`)
	variableShape  = regexp.MustCompile(`^[A-Z_][A-Z0-9_]*$`)
)

// likeKey says whether text looks like a key in hexadecimal or base64, and not like a
// path: then it was put into the URI by mistake. Of what begins like a path, only what ends
// as base64 does looks like a key.
func likeKey(text string) bool {
	padded := strings.HasSuffix(text, "=")
	if !padded && (strings.HasPrefix(text, "/") || strings.HasPrefix(text, ".")) {
		return false
	}
	bare := strings.TrimRight(text, "=")
	for _, decode := range []func(string) ([]byte, error){
		hex.DecodeString, base64.RawStdEncoding.DecodeString, base64.RawURLEncoding.DecodeString,
	} {
		if key, err := decode(bare); err == nil && (len(key) == 16 || len(key) == 24 || len(key) == 32) {
			return true
		}
	}
	return false
}
