package keyuri

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-sealring/sealring/keyring"
)

// pkcs11Scheme is that of RFC 7512. What tells a wrapped key in a message, and the padding,
// are vendor-specific attributes in its terms.
var pkcs11Scheme = &scheme{
	name:   "pkcs11",
	form:   "pkcs11:token=TOKEN;object=OBJECT?namespace=NAMESPACE&name=NAME&padding=oaep-sha256, with module-path=PATH and pin-source=file:PATH where they are needed",
	params: []string{"namespace", "name", "padding", "module-name", "module-path", "pin-source"},
	read:   readPKCS11,
}

// pkcs11Path are the attributes of a path, as String writes them.
var pkcs11Path = []string{
	"token", "manufacturer", "serial", "model", "library-manufacturer", "library-description", "library-version",
	"slot-manufacturer", "slot-description", "slot-id", "object", "type", "id",
}

const maxPIN = 1 << 10

// A PKCS11Key is a private key in a token, and how to get at it. It does not show the PIN
// when it is printed.
type PKCS11Key struct {
	// Attributes are those of the URI's path by their names in RFC 7512, decoded: "token",
	// "object", "serial" and so on. "id" is bytes. There is at least one of token, serial
	// and slot-id, and one of object and id. All that are given must match.
	Attributes map[string]string

	// ModulePath and ModuleName name the library, and are empty if the URI does not.
	ModulePath, ModuleName string

	pin func() string // which printers do not look into
}

// PIN returns the user's PIN, and whether the URI has a pin-source.
func (k PKCS11Key) PIN() (string, bool) {
	if k.pin == nil {
		return "", false
	}
	return k.pin(), true
}

// parsePKCS11 parses what follows the scheme's colon.
func parsePKCS11(rest string) (*parts, error) {
	s := pkcs11Scheme
	raw, query, asked := strings.Cut(rest, "?")
	p := &parts{scheme: s, attributes: map[string]string{}}
	for i, pair := range strings.Split(raw, ";") {
		if raw == "" {
			break
		}
		name, value, ok := strings.Cut(pair, "=")
		lower := strings.ToLower(name)
		switch {
		case !slices.Contains(pkcs11Path, lower) && strings.HasPrefix(lower, "pin"):
			return nil, s.bad(fmt.Sprintf("attribute %d", i+1), "would put a PIN into the URI, which ends up in logs: give the name of a file or of an environment variable that holds it, %s", s.secretBy())
		case !slices.Contains(pkcs11Path, lower):
			return nil, s.bad(fmt.Sprintf("attribute %d", i+1), "is unknown: before the question mark there are %s, with a semicolon between two", strings.Join(pkcs11Path, ", "))
		case name != lower:
			return nil, s.bad("attribute "+lower, "is in upper case")
		case !ok || value == "":
			return nil, s.bad("attribute "+name, "is empty: give it a value, or leave it out")
		}
		decoded, err := decodeBytes(value, plainInPath)
		if err == nil && name != "id" {
			err = checkPrintable(decoded)
		}
		if err != nil {
			return nil, s.bad("attribute "+name, "%v", err)
		}
		if _, twice := p.attributes[name]; twice {
			return nil, s.bad("attribute "+name, "is given twice")
		}
		p.attributes[name] = decoded
	}
	return p, p.parseQuery(query, asked, func(raw string) (string, error) {
		value, err := decodeBytes(raw, plainInQuery)
		if err != nil {
			return "", err
		}
		return value, checkPrintable(value)
	})
}

// RFC 7512, section 2.3: pk11-res-avail, and what paths and queries have beyond it.

func plainInPath(c byte) bool {
	return plain(c) && c != '/' || strings.IndexByte("[]@!$'()*+=&", c) >= 0
}

func plainInQuery(c byte) bool { return plain(c) || strings.IndexByte("[]@!$'()*+=?|", c) >= 0 }

// A pkcs11Key is what a PKCS #11 URI means.
type pkcs11Key struct {
	attributes             map[string]string
	modulePath, moduleName string
	pin                    *source
	namespace, name        string
	padding                keyring.RSAPadding
}

func readPKCS11(p *parts) (opens, error) {
	k := &pkcs11Key{attributes: p.attributes, modulePath: p.params["module-path"], moduleName: p.params["module-name"]}
	has := func(names ...string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return p.attributes[name] != "" })
	}
	slot, isSlot := p.attributes["slot-id"]
	kind, isKind := p.attributes["type"]
	switch {
	case !has("token", "serial", "slot-id"):
		return nil, p.scheme.bad("attribute token", "is missing, and so are serial and slot-id, which name a token too")
	case !has("object", "id"):
		return nil, p.scheme.bad("attribute object", "is missing, and so is id, which names a key too")
	case isKind && kind != "private":
		return nil, p.scheme.bad("attribute type", "is not private, which the key must be")
	case isSlot && !isDecimal(slot):
		return nil, p.scheme.bad("attribute slot-id", "is no number")
	case k.modulePath != "" && k.moduleName != "":
		return nil, p.scheme.bad("parameter module-name", "is given beside module-path: one of them must go")
	}
	var err error
	if pin, ok := p.params["pin-source"]; ok {
		file, isFile := strings.CutPrefix(pin, "file:")
		env, isEnv := strings.CutPrefix(pin, "env:")
		switch {
		case isFile && file != "" && !likeKey(file):
			k.pin = &source{file: file}
		case isEnv && isVariable(env):
			k.pin = &source{env: env}
		case strings.HasPrefix(pin, "|"):
			return nil, p.scheme.bad("parameter pin-source", "is a command, which is not run: write file:PATH or env:VARIABLE")
		default:
			return nil, p.scheme.bad("parameter pin-source", "is neither file:PATH nor env:VARIABLE, and is not quoted, since it may be the PIN")
		}
	}
	if k.namespace, k.name, err = p.names(); err != nil {
		return nil, err
	}
	k.padding, err = p.padding()
	return k, err
}

func isDecimal(s string) bool {
	n, err := strconv.ParseUint(s, 10, 64)
	return err == nil && strconv.FormatUint(n, 10) == s
}

func (k *pkcs11Key) open(ctx context.Context, o *opening, _ half) (opened, error) {
	if o.PKCS11 == nil {
		return opened{}, fmt.Errorf("%w: Opener.PKCS11 is nil: this program is built without PKCS #11", keyring.ErrInvalidArgument)
	}
	key := PKCS11Key{Attributes: k.attributes, ModulePath: k.modulePath, ModuleName: k.moduleName}
	if k.pin != nil {
		pin, err := k.pin.read(maxPIN)
		if err != nil {
			return opened{}, fmt.Errorf("pin-source: %w", err)
		}
		text := string(pin)
		clear(pin)
		if text == "" || strings.ContainsAny(text, "\r\n") {
			return opened{}, fmt.Errorf("pin-source: %w", k.pin.problem(errors.New("must have the PIN, in one line")))
		}
		key.pin = func() string { return text }
	}
	private, err := o.PKCS11(ctx, key)
	if err == nil && private == nil {
		err = errors.New("Opener.PKCS11 returned nil")
	}
	if err != nil {
		return opened{}, err
	}
	public, ok := private.Public().(*rsa.PublicKey)
	if !ok {
		return opened{}, fmt.Errorf("%w: the key in the token is no RSA key: its public half is %T", keyring.ErrInvalidArgument, private.Public())
	}
	kr, err := keyring.NewRawRSA(k.namespace, k.name, public, private, k.padding)
	if err != nil {
		return opened{}, err
	}
	return wholly(kr), nil
}
