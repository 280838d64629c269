// Package keyuri opens keyrings from text: a URI in a configuration file, an environment
// variable or a flag says which keys a program uses.
//
//	uri, err := keyuri.Parse("aws-kms:alias/orders?region=eu-west-1")
//	if err != nil {
//		log.Fatal(err)
//	}
//	kr, err := opener.Open(ctx, uri)
//	if err != nil {
//		log.Fatal(err)
//	}
//	client, err := envelope.New(kr, nil)
//	if err != nil {
//		log.Fatal(err)
//	}
//
// The package loads no configuration of AWS, and knows no token or table. An [Opener] has
// a function for each: so a program links and downloads only what it asks for.
//
// # Forms
//
// Parts in brackets can be left out. A list has commas and no spaces. REGION is as in
// eu-west-1, and ARN that of a key in AWS KMS.
//
//	arn:aws:kms:REGION:ACCOUNT:key/ID       the same as aws-kms:ARN; not for mrk- keys, see below
//	aws-kms:ARN[?previous=ARN,…]            a key in AWS KMS
//	aws-kms:ID?region=REGION[&previous=ARN,…]
//	aws-kms:alias/NAME?region=REGION[&previous=ARN,…]
//	aws-kms-mrk:ARN[?previous=ARN,…]        a multi-Region key; opens what other replicas wrapped
//	aws-kms-mrk:ARN?regions=REGION,REGION,… several replicas, the nearest first
//	aws-kms-regions:ARN,ARN,…[?min-regions=N]
//	                                        keys in several regions, the nearest first
//	aws-kms-discovery:?regions=REGION,…&accounts=ACCOUNT,…[&partition=aws-cn]
//	                                        decrypts with every key of the accounts
//	aws-kms-mrk-discovery:?regions=…        the same, with the replicas of multi-Region keys
//	branch-keys:ID?table=TABLE&name=NAME&kms=ARN&max-age=5m[&stale-for=1h]
//	                                        a branch key
//	branch-keys:?id-from=PAIR&table=…       the branch key that a pair of the context names
//	raw-aes:?namespace=NAMESPACE&name=NAME&file=PATH
//	raw-aes:?namespace=NAMESPACE&name=NAME&env=VARIABLE
//	                                        an AES key; its text is base64 of 16, 24 or 32 bytes
//	raw-rsa:?namespace=NAMESPACE&name=NAME&padding=PADDING&file=PATH
//	raw-rsa:?namespace=NAMESPACE&name=NAME&padding=PADDING&env=VARIABLE
//	                                        an RSA key in PEM; a public key encrypts only
//	pkcs11:token=TOKEN;object=OBJECT?namespace=NAMESPACE&name=NAME&padding=PADDING
//	    [&module-path=PATH][&pin-source=file:PATH]
//	                                        an RSA key in a token, as RFC 7512 names it
//
// PADDING is oaep-sha256, oaep-sha384, oaep-sha512, oaep-sha1 or pkcs1. What previous lists
// are keys that were used before, to decrypt with. An alias is resolved when it is opened
// to decrypt, by kms:DescribeKey: what it stood for before belongs into previous. With
// accounts=any the keys of every account are used, and whoever has one can write messages
// that decrypt. branch-keys takes kms-mrk=ARN in place of kms=ARN for a multi-Region key
// whose other replicas may have wrapped branch keys. max-age and stale-for are cache.Limits'
// MaxAge and StaleFor, as time.ParseDuration takes them. min-regions is MinRegions of
// awskms.MultiRegionConfig.
//
// # What is refused
//
// Everything that is not in a form is an error, which names the part and shows the form:
// parameters that are unknown, empty or given twice, upper case in a scheme, spaces and
// line breaks at any place, "//" with a host or a user after it, a fragment, a plus sign
// outside of pkcs11 (is it a space?). Any byte of a value can be percent-encoded.
//
// # Secrets
//
// A key, a PIN or a password has no place in a URI, since URIs end up in logs: a parameter
// that would hold one is an error that says to use file or env. Errors quote nothing that
// did not parse. So neither they nor [URI.String] hold a secret, unless it was given in
// the place of a name or a path.
//
// # Files
//
// A file with a key or a PIN must be a regular file, may be a symbolic link to one, and is
// read up to a bound: 1 KiB for an AES key and a PIN, 64 KiB for PEM. One line break at its
// end is forgiven. If users outside of its group may read or write it, or its group may
// write it, it is refused, as ssh does: chmod 0600 or 0640. A group may read, since
// Kubernetes gives a volume to a pod by its group; in a volume's definition defaultMode
// must be 0400 or 0440. A file with a public key may be read by all. Windows has no such
// modes, and nothing is checked there.
package keyuri

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/go-sealring/sealring/keyring"
)

// maxLen is the longest URI in bytes. A branch key's ID alone may have 2,048, each of them
// percent-encoded.
const maxLen = 16 << 10

// A URI names a key or several, and no secret. The zero value names none. URIs can be
// compared with ==; equal ones open the same.
type URI struct{ text string }

// Parse returns the URI in text. It reads no file and asks nobody. The error is
// [keyring.ErrInvalidArgument]; it names the part that cannot be, shows the right form, and
// quotes nothing that may be a secret.
func Parse(text string) (URI, error) {
	u, _, err := parse(text)
	return u, err
}

// String returns the URI in the form that [Parse] takes, with its parameters in the order
// that the package's documentation has. It holds no secret.
func (u URI) String() string { return u.text }

// MarshalText implements [encoding.TextMarshaler].
func (u URI) MarshalText() ([]byte, error) { return []byte(u.text), nil }

// UnmarshalText implements [encoding.TextUnmarshaler] by [Parse]: so a field of a
// configuration in JSON or YAML can be a URI.
func (u *URI) UnmarshalText(text []byte) (err error) {
	*u, err = Parse(string(text))
	return err
}

// A scheme is one kind of URI.
type scheme struct {
	name   string
	form   string   // what errors show
	params []string // in the order of String

	// read makes sense of a URI's parts.
	read func(p *parts) (opens, error)
}

// opens is what a URI means.
type opens interface {
	// open opens the halves that are needed, and more if that costs nothing.
	open(ctx context.Context, o *opening, need half) (opened, error)
}

var schemes = []*scheme{
	kmsScheme, mrkScheme, regionsScheme, discoveryScheme, mrkDiscoveryScheme,
	branchKeysScheme, rawAESScheme, rawRSAScheme, pkcs11Scheme,
}

func schemeNames() string {
	names := make([]string, len(schemes))
	for i, s := range schemes {
		names[i] = s.name
	}
	return strings.Join(names, ", ")
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("keyuri: %w: %s", keyring.ErrInvalidArgument, fmt.Sprintf(format, args...))
}

// bad returns the error for a part of a URI of this scheme.
func (s *scheme) bad(part, format string, args ...any) error {
	return invalid("%s: %s %s; the form is %s", s.name, part, fmt.Sprintf(format, args...), s.form)
}

// parse returns a URI and what it means.
func parse(text string) (URI, opens, error) {
	if err := checkText(text); err != nil {
		return URI{}, nil, err
	}
	bare := strings.HasPrefix(text, "arn:")
	if bare {
		text = kmsScheme.name + ":" + text
	}
	name, rest, ok := strings.Cut(text, ":")
	if strings.HasPrefix(text, "alias/") {
		return URI{}, nil, kmsScheme.bad("the scheme", "is missing")
	}
	if !ok {
		return URI{}, nil, invalid("no scheme: a URI begins with one of %s, and a colon", schemeNames())
	}
	i := slices.IndexFunc(schemes, func(s *scheme) bool { return s.name == strings.ToLower(name) })
	switch {
	case i < 0:
		return URI{}, nil, invalid("the scheme is unknown: it is one of %s; the ARN of a key in AWS KMS needs none", schemeNames())
	case schemes[i].name != name:
		return URI{}, nil, schemes[i].bad("the scheme", "is in upper case")
	}
	s := schemes[i]
	switch {
	case strings.Contains(rest, "#"):
		return URI{}, nil, s.bad("the part after #", "has no meaning; a # that is meant is written as %%23")
	case strings.HasPrefix(rest, "//"):
		return URI{}, nil, s.bad("the part after //", "has no meaning: there is neither a host nor a user, and the // is left out")
	}
	var p *parts
	var err error
	if s == pkcs11Scheme {
		p, err = parsePKCS11(rest)
	} else {
		p, err = parseParts(s, rest)
	}
	if err != nil {
		return URI{}, nil, err
	}
	meaning, err := s.read(p)
	if err != nil {
		return URI{}, nil, err
	}
	if bare && isMultiRegion(p.path) {
		return URI{}, nil, invalid("the ARN is that of a multi-Region key: aws-kms:ARN opens what this replica has wrapped, and aws-kms-mrk:ARN also what others have; write one of them")
	}
	u := URI{p.String()}
	if len(u.text) > maxLen {
		return URI{}, nil, invalid("the URI has %d bytes when it is written with percent signs, the most is %d", len(u.text), maxLen)
	}
	return u, meaning, nil
}

// checkText checks what all URIs have in common: printable ASCII without spaces.
func checkText(text string) error {
	switch {
	case text == "":
		return invalid("the URI is empty: it begins with one of %s, and a colon", schemeNames())
	case len(text) > maxLen:
		return invalid("the URI has %d bytes, the most is %d", len(text), maxLen)
	case strings.TrimSpace(text) != text:
		return invalid("the URI has a space or a line break at its beginning or its end: leave it out")
	}
	for i := range len(text) {
		switch c := text[i]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			return invalid("byte %d of the URI is a space or a line break: one that is meant is written as %%20; each URI of a list stands for itself", i+1)
		case c < ' ' || c > '~':
			return invalid("byte %d of the URI is not printable ASCII: it is written with a percent sign and two hexadecimal digits, as in %%C3%%A9", i+1)
		}
	}
	return nil
}
