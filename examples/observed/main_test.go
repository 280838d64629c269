package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestStory runs through the outage, and checks what the metrics say of it. Then it checks
// that alerts and dashboard name what is there.
func TestStory(t *testing.T) {
	s, err := newService(t.Context())
	require.NoError(t, err)
	defer s.close()
	server := httptest.NewServer(s.metrics)
	defer server.Close()
	stop := s.load(t.Context())
	defer stop()
	var out bytes.Buffer
	all, err := tell(t.Context(), &out, s, server.URL)
	require.NoError(t, err)
	require.Len(t, all, len(chapters))
	for i, c := range chapters {
		require.Equal(t, c.title, all[i].title)
		assert.Contains(t, out.String(), c.title+" ... "+c.shows+"\n")
		assert.Zero(t, all[i].now.of(failures), "operations failed while %s", c.title)
	}
	assert.Contains(t, out.String(), "\n0 requests failed\n")

	well, nearFails, outage, back, many, few := all[0], all[1], all[2], all[3], all[4], all[5]
	ended := func(code string) string {
		return `sealring_kms_call_duration_seconds{sealring_code="` + code + `"}`
	}
	assert.Zero(t, well.now.of(stale))
	assert.Zero(t, well.now.of(tooSmall))
	assert.EqualValues(t, 1, well.now.of(regionUp(near)))
	assert.EqualValues(t, 1, well.now.of(regionUp(far)))

	assert.Positive(t, nearFails.now.since(nearFails.before, ended("KMSInternalException")))
	assert.Positive(t, nearFails.now.since(nearFails.before, ended("OK")))
	assert.EqualValues(t, 1, nearFails.now.of(regionUp(far)))

	assert.Positive(t, outage.now.since(outage.before, ended("unavailable")))
	assert.Greater(t, outage.now.of(oldest), maxAge.Seconds())

	assert.Positive(t, back.now.since(back.before, calls(near)))
	assert.Positive(t, many.now.since(many.before, `sealring_cache_evictions_total{sealring_cause="capacity"}`))
	assert.Positive(t, few.now.since(few.before, `sealring_operation_bytes_total{sealring_operation="decrypt"}`))

	resp, err := http.Get(server.URL)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.NotContains(t, string(body), "tenant", "no pair of an encryption context is shown")
	there := map[string]bool{"sealring_error": true} // which is there after failures alone
	for _, name := range names.FindAllString(string(body), -1) {
		label, _, _ := strings.Cut(name, "=")
		there[name], there[label] = true, true
	}
	for what, exprs := range map[string][]string{"alerts.yml": alerts(t), "dashboard.json": panels(t)} {
		require.NotEmpty(t, exprs)
		for _, expr := range exprs {
			for _, name := range names.FindAllString(expr, -1) {
				assert.True(t, there[name], "%s names %s, which is not at /metrics", what, name)
			}
		}
	}
}

// names are the names of metrics and labels, and labels with a certain value.
var names = regexp.MustCompile(`\bsealring_\w+(="(hit|miss|stale|waited|bypass)")?`)

// alerts returns the lines of alerts.yml without its comments and texts.
func alerts(t *testing.T) (lines []string) {
	b, err := os.ReadFile("alerts.yml")
	require.NoError(t, err)
	for line := range strings.Lines(string(b)) {
		if text := strings.TrimSpace(line); !strings.HasPrefix(text, "#") {
			lines = append(lines, text)
		}
	}
	return lines
}

// panels returns the expressions of the panels of dashboard.json. It checks that each panel
// has a place and a title of its own.
func panels(t *testing.T) (exprs []string) {
	b, err := os.ReadFile("dashboard.json")
	require.NoError(t, err)
	var d struct {
		Panels []struct {
			ID      int
			Type    string
			Title   string
			GridPos struct{ H, W, X, Y int }
			Targets []struct{ Expr string }
		}
	}
	require.NoError(t, json.Unmarshal(b, &d))
	seen := map[string]bool{}
	for _, p := range d.Panels {
		for _, own := range []string{strconv.Itoa(p.ID), p.Title} {
			assert.False(t, seen[own], "there are two panels %s", own)
			seen[own] = true
		}
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				place := fmt.Sprint(p.GridPos.X+x, "/", p.GridPos.Y+y)
				assert.False(t, seen[place], "panel %q covers another", p.Title)
				seen[place] = true
			}
		}
		assert.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24)
		assert.Equal(t, p.Type == "row", len(p.Targets) == 0, p.Title)
		for _, target := range p.Targets {
			exprs = append(exprs, target.Expr)
		}
	}
	return exprs
}

// TestRules has promtool check and try the alerts, and check the expressions of the
// dashboard.
func TestRules(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil && os.Getenv("SEALRING_PROMTOOL") != "required" {
		t.Skip("promtool is not on the PATH")
	}
	require.NoError(t, err)
	does := func(args ...string) {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	does("check", "rules", "alerts.yml")
	does("test", "rules", "alerts_test.yml")

	// As rules, with what Grafana would put for its variables.
	rules := "groups:\n- name: dashboard\n  rules:\n"
	for i, expr := range panels(t) {
		expr = strings.NewReplacer("$__rate_interval", "1m", "$job", ".*").Replace(expr)
		rules += fmt.Sprintf("  - record: panel:%d\n    expr: %q\n", i, expr)
	}
	path := filepath.Join(t.TempDir(), "dashboard.yml")
	require.NoError(t, os.WriteFile(path, []byte(rules), 0o600))
	does("check", "rules", path)
}

func TestCommandLine(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"help":     {[]string{"-h"}, usage},
		"unknown":  {[]string{"-x"}, "not defined"},
		"argument": {[]string{"x"}, `unexpected argument "x"`},
		"both":     {[]string{"-for", "1s", "-repeat", "1s"}, "both -for and -repeat"},
		"address":  {[]string{"-listen", "nowhere"}, "nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := run(t.Context(), &out, c.args); err != nil {
				fmt.Fprintln(&out, err)
			}
			assert.Contains(t, out.String(), c.says)
		})
	}
}

// TestInterrupted ends the program in the middle of the story.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	err := run(ctx, writer(func(p []byte) {
		if strings.HasPrefix(string(p), "all is well") {
			cancel()
		}
	}), nil)
	require.ErrorIs(t, err, context.Canceled)
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) {
	w(p)
	return len(p), nil
}
