package main

import (
	"io"

	"filippo.io/age"
)

const ageModule = "filippo.io/age"

// newAge returns age with an X25519 recipient, the cheapest of its own kinds.
func newAge(name string) (streamCipher, error) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return streamCipher{}, err
	}
	recipient := identity.Recipient()
	buf := make([]byte, copyLen)
	return streamCipher{
		name: name,
		encrypt: func(dst io.Writer, src io.Reader) error {
			w, err := age.Encrypt(dst, recipient)
			if err != nil {
				return err
			}
			if _, err := io.Copy(w, src); err != nil {
				return err
			}
			return w.Close()
		},
		decrypt: func(dst io.Writer, src io.Reader) error {
			r, err := age.Decrypt(src, identity)
			if err != nil {
				return err
			}
			_, err = io.CopyBuffer(dst, r, buf)
			return err
		},
	}, nil
}
