package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTextsBesidePackages(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"LICENSE": apa, "NOTICE.txt": "notes", "README": "read",
		"a/LICENSE": bs3, "a/b/b.go": "package b", "other/LICENSE": gpl,
	} {
		file := filepath.Join(root, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	}

	m := linkedModule{texts: map[string]string{}}
	require.NoError(t, m.read(root, []string{root, filepath.Join(root, "a", "b")}))
	assert.Equal(t, map[string]string{"LICENSE": apa, "NOTICE.txt": "notes", "a/LICENSE": bs3}, m.texts)
	assert.Equal(t, []string{"Apache-2.0", "BSD-3-Clause"}, m.kinds)

	err := m.read(root, []string{filepath.Join(root, "other")})
	assert.ErrorContains(t, err, "general public license")
}

func TestNotice(t *testing.T) {
	text := string(notice([]linkedModule{
		{"example.com/a", "v1.0.0", []string{"MIT"}, map[string]string{"LICENSE": mit}},
		{"example.com/b", "v1.1.0", []string{"BSD-3-Clause", "MIT"}, map[string]string{"LICENSE": mit + "\r\n", "NOTICE": "notes"}},
	}))
	assert.Contains(t, text, "\nexample.com/a v1.0.0: MIT\nexample.com/b v1.1.0: BSD-3-Clause, MIT\n\n====")
	assert.Contains(t, text, "=\nexample.com/a@v1.0.0/LICENSE\nexample.com/b@v1.1.0/LICENSE\n==")
	assert.Contains(t, text, "=\n\n"+mit+"\n\n====")
	assert.Contains(t, text, "=\nexample.com/b@v1.1.0/NOTICE\n==")
}

func TestSBOM(t *testing.T) {
	const of = `{
		"metadata": {"component": {"name": "m"}},
		"components": [
			{"bom-ref": "a", "name": "example.com/a", "version": "v1.0.0", "purl": "p?a&b", "scope": "optional"},
			{"bom-ref": "t", "name": "example.com/test", "version": "v1.0.0"}],
		"dependencies": [{"ref": "m", "dependsOn": ["a", "t"]}, {"ref": "t", "dependsOn": ["a"]}, {"ref": "a"}]}`
	a := linkedModule{path: "example.com/a", version: "v1.0.0", kinds: []string{"MIT", "public domain"}}

	text, err := withLicences([]byte(of), []string{"Apache-2.0"}, []linkedModule{a})
	require.NoError(t, err)
	assert.JSONEq(t, `{
		"metadata": {"component": {"name": "m", "licenses": [{"license": {"id": "Apache-2.0"}}]}},
		"components": [
			{"bom-ref": "a", "name": "example.com/a", "version": "v1.0.0", "purl": "p?a&b", "scope": "required",
			"licenses": [{"license": {"id": "MIT"}}, {"license": {"name": "public domain"}}]}],
		"dependencies": [{"ref": "m", "dependsOn": ["a"]}, {"ref": "a"}]}`, string(text))

	a.version = "v1.0.1"
	_, err = withLicences([]byte(of), nil, []linkedModule{a})
	assert.ErrorContains(t, err, "does not name example.com/a v1.0.1, which is linked")
	_, err = withLicences([]byte(`{}`), nil, nil)
	assert.ErrorContains(t, err, "no module")
	_, err = withLicences([]byte(`{`), nil, nil)
	var syntax *json.SyntaxError
	assert.ErrorAs(t, err, &syntax)
}
