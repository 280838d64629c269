package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, in := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := run(ctx, []string{"-region", "us-east-1,eu-west-1", "-region", "ap-south-1", "-create"}, in, io.Discard)
		in.Close()
		done <- err
	}()
	var kinds []string
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if fields[0] != "ready" {
			kinds = append(kinds, fields[0])
			assert.Contains(t, lines.Text(), "arn:aws:kms:")
			continue
		}
		require.Len(t, fields, 4)
		for i, region := range []string{"us-east-1", "eu-west-1", "ap-south-1"} {
			name, url, _ := strings.Cut(fields[i+1], "=")
			assert.Equal(t, region, name)
			resp, err := http.Get(url)
			require.NoError(t, err)
			resp.Body.Close()
			assert.Equal(t, http.StatusBadRequest, resp.StatusCode)
		}
		cancel()
	}
	assert.Equal(t, []string{"key", "key", "key", "multi-region", "replica", "replica"}, kinds)
	require.NoError(t, <-done)
}

func TestRunRefuses(t *testing.T) {
	for name, args := range map[string][]string{
		"unknown flag":   {"-nonsense"},
		"argument":       {"us-east-1"},
		"no port":        {"-listen", "127.0.0.1"},
		"port too high":  {"-listen", "127.0.0.1:65535", "-region", "a,b"},
		"region twice":   {"-region", "a,a"},
		"invalid region": {"-region", "US EAST"},
		"empty region":   {"-region", "a,,b"},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Error(t, run(t.Context(), args, io.Discard, io.Discard))
		})
	}
}

func TestAssign(t *testing.T) {
	got, err := assign("[::1]:4566", []string{"a", "b"})
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"a": "[::1]:4566", "b": "[::1]:4567"}, got)
	got, err = assign(":0", []string{"a", "b"})
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"a": ":0", "b": ":0"}, got)
}
