package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/internal/mototest"
)

// TestRowsHoldHere has this repository on both sides, so that what a cell asks of it is known
// to hold where there is no Java.
func TestRowsHoldHere(t *testing.T) {
	var out bytes.Buffer
	got := runRows(t.Context(), &out, rows(nil), ours{}, ours{})
	assert.Zero(t, got.failed, "%s", out.String())
	assert.Greater(t, got.passed, 700)
}

// idle is a side that does nothing, and so refuses nothing.
type idle struct{}

func (idle) String() string                                            { return "idle" }
func (idle) encrypt(_ context.Context, _ table, it item) (item, error) { return it, nil }
func (idle) decrypt(_ context.Context, _ table, it item) (item, error) { return it, nil }
func (idle) put(context.Context, table, item) error                    { return nil }
func (idle) get(context.Context, table, item) (item, error)            { return nil, nil }
func (idle) find(context.Context, table, find) ([]item, error)         { return nil, nil }
func (idle) createKey(context.Context, *services, string) error        { return nil }
func (idle) versionKey(context.Context, *services, string) error       { return nil }

// forgetful is this repository, but for what it forgets to do.
type forgetful struct {
	ours
	trusts bool // takes an altered item for one that it can read
}

func (f forgetful) decrypt(ctx context.Context, t table, it item) (item, error) {
	got, err := f.ours.decrypt(ctx, t, it)
	if err != nil && f.trusts {
		return it, nil
	}
	if err == nil && !f.trusts {
		delete(got, "secret")
	}
	return got, err
}

// fails says whether any cell of a row fails where a side takes part.
func fails(t *testing.T, r row, s side) bool {
	for _, k := range kinds {
		for _, d := range []direction{{s, ours{}}, {ours{}, s}} {
			if err := r.run(t.Context(), k, d); err != nil && !errors.Is(err, errNone) {
				return true
			}
		}
	}
	return false
}

func TestRowsFail(t *testing.T) {
	for name, c := range map[string]struct {
		side  side
		fails func(r row) bool
	}{
		"a side that does nothing": {idle{}, func(r row) bool { return r.name != "in the clear, read where it is allowed" }},
		"a reader that loses an attribute": {forgetful{}, func(r row) bool {
			return !strings.Contains(r.group, "refused") && !strings.Contains(r.name, "refused") && !strings.HasPrefix(r.group, "written") &&
				r.name != "only the key" && r.group != "numbers"
		}},
		"a reader that refuses nothing": {forgetful{trusts: true}, func(r row) bool { return r.group == "tampered" || strings.Contains(r.name, "refused") }},
	} {
		t.Run(name, func(t *testing.T) {
			for _, r := range rows(nil) {
				if !c.fails(r) {
					continue
				}
				assert.True(t, fails(t, r, c.side), "%s: %s", r.group, r.name)
			}
		})
	}
}

func TestRunRows(t *testing.T) {
	fixed := func(err error) func(context.Context, kind, direction) error {
		return func(context.Context, kind, direction) error { return err }
	}
	var out bytes.Buffer
	got := runRows(t.Context(), &out, []row{
		{group: "g", name: "right", run: fixed(nil)}, {group: "g", name: "wrong", run: fixed(errors.New("what went wrong"))},
		{group: "g", name: "nothing", run: fixed(errNone)}, {group: "g", name: "other", reason: "the reason", run: fixed(nil)},
	}, ours{}, idle{})
	assert.Equal(t, totals{passed: 16, failed: 8}, got)
	assert.Contains(t, out.String(), "other: the reason")
	assert.Contains(t, out.String(), "g: wrong: 6701 v2, idle to sealring: what went wrong")
}

func TestJSON(t *testing.T) {
	it := everyTypeItem(kinds[1])
	b, err := json.Marshal(toJSON(it))
	require.NoError(t, err)
	var back jsonItem
	require.NoError(t, json.Unmarshal(b, &back))
	require.Equal(t, it, back.item())
	for name := range it {
		other := maps.Clone(it)
		other[name] = str("another")
		assert.NotEmpty(t, differ(it, other), name)
		delete(other, name)
		assert.NotEmpty(t, differ(it, other), name)
		assert.NotEmpty(t, differ(other, it), name)
	}
	assert.Empty(t, differ(item{"s": list(strs("b", "a"))}, item{"s": list(strs("a", "b"))}))
	assert.NotEmpty(t, differ(item{"s": list(str("b"), str("a"))}, item{"s": list(str("a"), str("b"))}))
	for _, bad := range []string{`{"v":{}}`, `{"v":{"S":"a","N":"1"}}`, `{"v":{"X":"a"}}`, `{"v":{"S":1}}`, `{"v":"a"}`} {
		assert.Error(t, json.Unmarshal([]byte(bad), &back), bad)
	}
}

func TestAnswers(t *testing.T) {
	it, err := parseAnswer([]byte(`{"items":[{"a":{"S":"x"}}]}`))
	require.NoError(t, err)
	assert.Equal(t, []item{{"a": str("x")}}, it)
	_, err = parseAnswer([]byte(`{"error":"no","class":"software.amazon.cryptography.x.Refused"}`))
	require.EqualError(t, err, "Refused: no")
	require.NoError(t, mustRefuse(ours{}, nil, err))
	// What the program does wrong is not a refusal.
	for _, line := range []string{`{}`, `x`, `{"error":"no","class":"java.lang.NullPointerException"}`} {
		_, err := parseAnswer([]byte(line))
		require.ErrorIs(t, err, errBroken, line)
		require.Error(t, mustRefuse(ours{}, nil, err), line)
	}
}

func TestNoPeer(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	_, err := fetchPeer(t.Context(), dir, time.Minute)
	require.ErrorIs(t, err, errNoPeer)
	require.ErrorContains(t, err, "mvn is not installed")

	for tool, script := range map[string]string{"java": "", "javac": "", "mvn": "echo not reached; exit 1"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, tool), []byte("#!/bin/sh\n"+script+"\n"), 0o755))
	}
	_, err = fetchPeer(t.Context(), dir, time.Minute)
	require.ErrorIs(t, err, errNoPeer)
	require.ErrorContains(t, err, "not reached")

	require.NoError(t, os.WriteFile(filepath.Join(dir, "mvn"), []byte("#!/bin/sh\nwhile :; do :; done\n"), 0o755))
	_, err = fetchPeer(t.Context(), dir, time.Millisecond)
	require.ErrorIs(t, err, errNoPeer)
	require.ErrorContains(t, err, "within 1ms")

	// What was fetched before is used as long as it is all there.
	jar := filepath.Join(dir, "a.jar")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "target"), 0o755))
	for _, file := range []string{"pom.xml", "a.jar"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), nil, 0o644))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "target", "classpath"), []byte(jar+"\n"), 0o644))
	classPath, err := fetchPeer(t.Context(), dir, time.Millisecond)
	require.NoError(t, err)
	assert.Equal(t, jar, classPath)
	require.NoError(t, os.Remove(jar))
	_, err = fetchPeer(t.Context(), dir, time.Millisecond)
	require.ErrorIs(t, err, errNoPeer)
}

// another is this repository under another name, which makes branch keys of its own.
type another struct{ ours }

func (another) String() string { return "another" }

// motoRows returns the rows that need moto. Those of what Java does are left out.
func motoRows(t *testing.T) (s *services, all []row) {
	if _, err := exec.LookPath(mototest.Command); err != nil {
		t.Skip(mototest.ErrNotInstalled)
	}
	s, stop, err := startServices(t.Context())
	require.NoError(t, err)
	t.Cleanup(stop)
	for _, r := range append(branchRows(s), beaconRows(s)...) {
		if r.group != "beacons that differ" {
			all = append(all, r)
		}
	}
	return s, all
}

// TestMotoRowsHoldHere has this repository on both sides, on moto.
func TestMotoRowsHoldHere(t *testing.T) {
	_, rows := motoRows(t)
	var out bytes.Buffer
	got := runRows(t.Context(), &out, rows, ours{}, another{})
	assert.Zero(t, got.failed, "%s", out.String())
	assert.Greater(t, got.passed, 600)
}

// blind is this repository, but finds nothing.
type blind struct{ another }

func (blind) find(context.Context, table, find) ([]item, error) { return nil, nil }

// astray writes beacons under the beacon key of another branch key.
type astray struct {
	another
	key string
}

func (a astray) put(ctx context.Context, t table, it item) error {
	b := *t.beacons
	b.id, b.tenant = a.key, ""
	t.beacons = &b
	return a.another.put(ctx, t, it)
}

// keyless has a raw key where there should be a branch key.
type keyless struct{ another }

func (k keyless) encrypt(ctx context.Context, t table, it item) (item, error) {
	t.branch, t.keys = nil, oneKey
	return k.another.encrypt(ctx, t, it)
}

func (k keyless) put(ctx context.Context, t table, it item) error {
	t.branch, t.keys = nil, oneKey
	return k.another.put(ctx, t, it)
}

func TestMotoRowsFail(t *testing.T) {
	s, all := motoRows(t)
	other, err := s.store.Create(t.Context(), "", nil)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		side  side
		fails func(r row) bool
	}{
		"a side that finds nothing": {blind{}, func(r row) bool { return r.group == "beacons" }},
		// Beacons of one bit are often the same under two keys.
		"a side with other beacons": {astray{key: other}, func(r row) bool { return r.group == "beacons" && r.name != "sets whose members share beacons" }},
		"a side that does not use the branch key": {keyless{}, func(r row) bool {
			return strings.HasPrefix(r.group, "branch key") && r.name != "and raw keys, read by each"
		}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, r := range all {
				if c.fails(r) && !strings.Contains(r.name, "refused") {
					assert.True(t, fails(t, r, c.side), "%s: %s", r.group, r.name)
				}
			}
		})
	}
}
