package main

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/go-sealring/sealring/keyring/awskms"
)

func TestWarning(t *testing.T) {
	err := errors.New("it hangs")
	for want, e := range map[string]awskms.Event{
		"region down us-east-1: it hangs":        {Kind: awskms.RegionDown, Region: "us-east-1", Err: err},
		"region up us-east-1":                    {Kind: awskms.RegionUp, Region: "us-east-1"},
		"degraded without us-east-1, eu-north-1": {Kind: awskms.Degraded, Missing: []string{"us-east-1", "eu-north-1"}},
	} {
		assert.Equal(t, want, warning(e))
	}
}
