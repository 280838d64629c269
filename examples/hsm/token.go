//go:build cgo

package main

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/ThalesGroup/crypto11"
	"github.com/miekg/pkcs11"

	"github.com/go-sealring/sealring/keyring/keyuri"
)

const (
	// maxSessions is how many sessions there are with a token at the most. One stays open
	// to stay logged in, and each of the others serves one caller at a time. Tokens have
	// limits of their own, which crypto11 keeps to.
	maxSessions = 9

	// sessionWait is how long a caller waits for a session. Without it a token that hangs
	// would hold up all callers for good.
	sessionWait = 10 * time.Second
)

// tokens finds keys in tokens. The zero value is ready for use, by one goroutine.
type tokens struct{ open []*crypto11.Context }

// find is what keyuri.Opener asks for a key in a token. What it returns is safe for
// concurrent use, until close. No call of a token can be cancelled.
func (t *tokens) find(_ context.Context, key keyuri.PKCS11Key) (crypto.Decrypter, error) {
	if key.ModulePath == "" {
		return nil, errors.New("module-path is missing: the path of the library that came with the token")
	}
	slot, err := findSlot(key.ModulePath, key.Attributes)
	if err != nil {
		return nil, err
	}
	// A wrong PIN counts against the token's limit, so it is tried once.
	pin, hasPIN := key.PIN()
	c, err := crypto11.Configure(&crypto11.Config{
		Path:              key.ModulePath,
		SlotNumber:        &slot,
		Pin:               pin,
		LoginNotSupported: !hasPIN,
		MaxSessions:       maxSessions,
		PoolWaitTimeout:   sessionWait,
	})
	if err != nil {
		return nil, err
	}
	t.open = append(t.open, c)
	pairs, err := c.FindRSAKeyPairs([]byte(key.Attributes["id"]), []byte(key.Attributes["object"]))
	switch {
	case err != nil:
		return nil, err
	case len(pairs) == 0 && !hasPIN:
		return nil, errors.New("no RSA key pair has this object and id; without pin-source there is no login, and most tokens show private keys only after one")
	case len(pairs) == 0:
		return nil, errors.New("no RSA key pair has this object and id, or its public half is not in the token")
	case len(pairs) > 1:
		return nil, fmt.Errorf("%d RSA key pairs have this object or id: name both", len(pairs))
	}
	return pairs[0], nil
}

// close ends all sessions. It waits for the calls that are under way.
func (t *tokens) close() error {
	var errs []error
	for _, c := range t.open {
		errs = append(errs, c.Close())
	}
	t.open = nil
	return errors.Join(errs...)
}

// findSlot returns the slot of the one token that has all attributes of a URI. crypto11
// takes one of them only.
func findSlot(module string, attributes map[string]string) (int, error) {
	p, done, err := initialize(module)
	if err != nil {
		return 0, err
	}
	defer done()
	info, err := p.GetInfo()
	if err != nil {
		return 0, err
	}
	slots, err := p.GetSlotList(true)
	if err != nil {
		return 0, err
	}
	var found []uint
	for _, slot := range slots {
		token, err := p.GetTokenInfo(slot)
		if err != nil {
			continue // one that is broken or was taken out is not the one
		}
		at, err := p.GetSlotInfo(slot)
		if err != nil {
			continue
		}
		if matches(attributes, map[string]string{
			"token":                token.Label,
			"manufacturer":         token.ManufacturerID,
			"serial":               token.SerialNumber,
			"model":                token.Model,
			"library-manufacturer": info.ManufacturerID,
			"library-description":  info.LibraryDescription,
			"library-version":      version(info.LibraryVersion),
			"slot-manufacturer":    at.ManufacturerID,
			"slot-description":     at.SlotDescription,
			"slot-id":              fmt.Sprint(slot),
		}) {
			found = append(found, slot)
		}
	}
	switch {
	case len(found) == 0:
		return 0, fmt.Errorf("none of %d slots has a token with these attributes", len(slots))
	case len(found) > 1:
		return 0, fmt.Errorf("%d tokens have these attributes: add serial", len(found))
	case found[0] > math.MaxInt:
		return 0, fmt.Errorf("slot %d is out of range", found[0])
	}
	return int(found[0]), nil
}

// matches says whether a token has all attributes of a URI that name a token.
func matches(wanted, has map[string]string) bool {
	for name, value := range wanted {
		if name == "library-version" && !strings.Contains(value, ".") {
			value += ".0" // RFC 7512, section 2.3
		}
		if got, ok := has[name]; ok && got != value {
			return false
		}
	}
	return true
}

func version(v pkcs11.Version) string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

// initialize loads a module. The caller must call done before crypto11 uses the module,
// unless that did so already.
func initialize(module string) (p *pkcs11.Ctx, done func(), err error) {
	if p = pkcs11.New(module); p == nil {
		return nil, nil, fmt.Errorf("%s cannot be loaded: is it there, for this system and processor, and a PKCS #11 library?", module)
	}
	err = p.Initialize()
	if errors.Is(err, pkcs11.Error(pkcs11.CKR_CRYPTOKI_ALREADY_INITIALIZED)) {
		return p, p.Destroy, nil
	}
	if err != nil {
		p.Destroy()
		return nil, nil, fmt.Errorf("%s: %w", module, err)
	}
	return p, func() {
		_ = p.Finalize() // there is nothing to be done about it
		p.Destroy()
	}, nil
}
