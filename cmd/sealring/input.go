package main

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// An input is what a command reads.
type input struct {
	io.Reader

	// at reads at any place, and is nil if the input has only a beginning.
	at io.ReaderAt

	// size is the input's length in bytes, or negative if it is not known.
	size int64

	close func() error
}

// openInput opens what an argument names.
func openInput(name string) (*input, error) {
	if strings.HasPrefix(name, s3Scheme) {
		return nil, usagef("the input can be no object in S3 here")
	}
	if name == "" || name == "-" {
		if term.IsTerminal(int(os.Stdin.Fd())) {
			fmt.Fprintln(os.Stderr, "sealring: reading from the terminal, up to an end of file")
		}
		return fileInput(os.Stdin, func() error { return nil }), nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	return fileInput(f, f.Close), nil
}

func fileInput(f *os.File, closeIt func() error) *input {
	in := &input{Reader: f, size: -1, close: closeIt}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return in
	}
	at, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return in
	}
	in.size = max(info.Size()-at, 0)
	in.at = io.NewSectionReader(f, at, in.size)
	return in
}

// openMessage is openInput for a message, which may be text: then it can be read from its
// beginning only, and its size is not known.
func openMessage(name string) (*input, error) {
	in, err := openInput(name)
	if err != nil {
		return nil, err
	}
	buffered := bufio.NewReader(in.Reader)
	// A message begins with its version, a byte of 1 and then 0x80, or of 2.
	begin, err := buffered.Peek(2)
	if err != nil && err != io.EOF {
		in.close()
		return nil, err
	}
	in.Reader = buffered
	if b := string(begin); b == "AY" || b == "Ag" {
		in.Reader = base64.NewDecoder(base64.RawURLEncoding.Strict(), buffered)
		in.at, in.size = nil, -1
	}
	return in, nil
}
