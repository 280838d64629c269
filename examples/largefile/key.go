package main

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"
)

const (
	keyEnv = "LARGEFILE_KEY"
	keyLen = 32
)

// readKey returns the key in a file, or in the environment if no file is named.
func readKey(file string) ([]byte, error) {
	text, from := os.Getenv(keyEnv), keyEnv
	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		text, from = string(b), file
	} else if text == "" {
		return nil, errors.New("no key: name a file with -key or set " + keyEnv)
	}
	// The decoder's own error would quote the key.
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil || len(key) != keyLen {
		return nil, fmt.Errorf("%s does not hold a key of %d bytes in base64", from, keyLen)
	}
	return key, nil
}

// writeNewKey makes a key and writes it to a new file that only the user reads.
func writeNewKey(file string) error {
	key := make([]byte, keyLen)
	rand.Read(key)
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, base64.StdEncoding.EncodeToString(key))
	return errors.Join(err, f.Close())
}
