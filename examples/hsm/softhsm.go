//go:build cgo

package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/ThalesGroup/crypto11"
	"github.com/miekg/pkcs11"

	"github.com/go-sealring/sealring/keyring/keyuri"
)

// softHSMPaths are where Linux distributions and Homebrew put SoftHSM's library.
var softHSMPaths = []string{
	"/usr/lib/softhsm/libsofthsm2.so",
	"/usr/lib/*/softhsm/libsofthsm2.so",
	"/usr/lib64/pkcs11/libsofthsm2.so",
	"/usr/lib64/softhsm/libsofthsm2.so",
	"/usr/local/lib/softhsm/libsofthsm2.so",
	"/opt/homebrew/lib/softhsm/libsofthsm2.so",
}

var errNoSoftHSM = errors.New("SoftHSM is not installed, or in another place than usual: apt-get install softhsm2, dnf install softhsm or brew install softhsm; or name its library with -softhsm, or a token of yours with -key")

// findSoftHSM returns the path of SoftHSM's library, which is given or looked for.
func findSoftHSM(given string) (string, error) {
	if given != "" {
		return given, nil
	}
	for _, pattern := range softHSMPaths {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return "", err
		}
		if len(found) > 0 {
			return found[0], nil
		}
	}
	return "", errNoSoftHSM
}

const (
	softLabel  = "sealring-example"
	softObject = "orders"
	keyBits    = 2048 // the least that NewRawRSA takes; 3072 or more for a key that lasts

	configVariable = "SOFTHSM2_CONF" // where SoftHSM finds its configuration
)

// A softToken is a token of SoftHSM in a temporary folder.
type softToken struct {
	uri   keyuri.URI // its key
	close func() error
}

// newSoftToken makes a token with an RSA key pair in it. SoftHSM takes its configuration
// from the environment, which is that of the whole process: there can be one at a time.
func newSoftToken(module string) (_ *softToken, err error) {
	dir, err := os.MkdirTemp("", "hsm-*")
	if err != nil {
		return nil, err
	}
	before, wasSet := os.LookupEnv(configVariable)
	remove := func() error {
		err := os.Unsetenv(configVariable)
		if wasSet {
			err = os.Setenv(configVariable, before)
		}
		return errors.Join(err, os.RemoveAll(dir))
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, remove())
		}
	}()

	config, tokenDir, pinFile := filepath.Join(dir, "softhsm2.conf"), filepath.Join(dir, "tokens"), filepath.Join(dir, "pin")
	text := fmt.Sprintf("directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", tokenDir)
	pin := rand.Text()
	if err := errors.Join(
		os.Mkdir(tokenDir, 0o700),
		os.WriteFile(config, []byte(text), 0o600),
		os.WriteFile(pinFile, []byte(pin), 0o600),
		os.Setenv(configVariable, config),
	); err != nil {
		return nil, err
	}
	if err := initToken(module, rand.Text(), pin); err != nil {
		return nil, fmt.Errorf("making a token: %w", err)
	}
	if err := makeKey(module, pin); err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	// SHA-1 is the only hash that SoftHSM's OAEP has, up to version 2.6.1. It is no
	// weakness there: OAEP does not depend on collisions.
	uri, err := keyuri.Parse(fmt.Sprintf("pkcs11:token=%s;object=%s?namespace=hsm&name=orders-2026&padding=oaep-sha1&module-path=%s&pin-source=file:%s",
		softLabel, softObject, url.PathEscape(module), url.PathEscape(pinFile)))
	if err != nil {
		return nil, err
	}
	return &softToken{uri, remove}, nil
}

// initToken makes a token in the first slot, as the security officer does, and sets the
// user's PIN. softhsm2-util does the same, and has PINs in its arguments.
func initToken(module, officerPIN, pin string) error {
	p, done, err := initialize(module)
	if err != nil {
		return err
	}
	defer done()
	slots, err := p.GetSlotList(true)
	if err != nil {
		return err
	}
	if len(slots) == 0 {
		return errors.New("there is no slot")
	}
	if err := p.InitToken(slots[0], officerPIN, softLabel); err != nil {
		return err
	}
	s, err := p.OpenSession(slots[0], pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		return err
	}
	if err := p.Login(s, pkcs11.CKU_SO, officerPIN); err != nil {
		return err
	}
	return p.InitPIN(s, pin) // the session ends with the module's use
}

// makeKey makes an RSA key pair that encrypts and decrypts, and signs nothing. Its private
// half cannot be read from the token.
func makeKey(module, pin string) (err error) {
	c, err := crypto11.Configure(&crypto11.Config{Path: module, TokenLabel: softLabel, Pin: pin})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	public, err := crypto11.NewAttributeSetWithIDAndLabel([]byte{1}, []byte(softObject))
	if err != nil {
		return err
	}
	private := public.Copy()
	// crypto11 itself sets CKA_SENSITIVE, and clears CKA_EXTRACTABLE.
	if err := errors.Join(public.Set(crypto11.CkaVerify, false), private.Set(crypto11.CkaSign, false)); err != nil {
		return err
	}
	_, err = c.GenerateRSAKeyPairWithAttributes(public, private, keyBits)
	return err
}
