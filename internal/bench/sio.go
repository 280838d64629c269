package main

import (
	"io"

	"github.com/minio/sio"
)

const sioModule = "github.com/minio/sio"

// newSio returns sio with AES-256-GCM. It has no envelope: the key is the
// caller's.
func newSio(name string) (streamCipher, error) {
	config := sio.Config{
		MinVersion:   sio.Version20,
		CipherSuites: []byte{sio.AES_256_GCM},
		Key:          randomBytes(32),
	}
	return streamCipher{
		name:    name,
		encrypt: func(dst io.Writer, src io.Reader) error { _, err := sio.Encrypt(dst, src, config); return err },
		decrypt: func(dst io.Writer, src io.Reader) error { _, err := sio.Decrypt(dst, src, config); return err },
	}, nil
}
