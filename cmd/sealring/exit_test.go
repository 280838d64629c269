package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/go-sealring/sealring/envelope"
)

// TestReport holds that an error is one line, whoever wrote a part of it.
func TestReport(t *testing.T) {
	var b strings.Builder
	err := errors.Join(envelope.ErrMalformed, errors.New("S3 says: \x1b[31m\r\u009b2Jä\u202e"))
	assert.Equal(t, exitNotAuthentic, report(&b, err))
	assert.Equal(t, "sealring: error: "+envelope.ErrMalformed.Error()+"; S3 says: \uFFFD[31m\uFFFD\uFFFD2Jä\uFFFD\n", b.String())
}
