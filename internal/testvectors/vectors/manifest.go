package vectors

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-sealring/sealring/keyring"
)

// A vector is one message of a manifest and how it must end.
type vector struct {
	name       string
	ciphertext string // paths
	plaintext  string // empty if decryption must fail
	key        keyDescription
	keys       map[string]keyMaterial

	reproduced keyring.EncryptionContext

	hierarchy Hierarchy      // may be nil
	close     []func() error // for keyrings that must be closed

	// unsignedOnly asks for a client that refuses signed messages.
	unsignedOnly bool
}

// manifestFile has the fields of all versions: 1 to 4 describe a test directly,
// 5 in a decryption scenario.
type manifestFile struct {
	Manifest struct {
		Type    string
		Version int
	}
	Keys  string
	Tests map[string]manifestTest
}

type manifestTest struct {
	Ciphertext string
	Plaintext  string // version 1
	Result     struct {
		Output *struct{ Plaintext string }
		Error  *struct{}
	}
	MasterKeys        []keyDescription          `json:"master-keys"`
	DecryptionMethod  string                    `json:"decryption-method"`
	CMM               string                    `json:"cmm"`
	EncryptionContext keyring.EncryptionContext `json:"encryption-context"`

	Scenario *struct {
		Type       string
		Ciphertext string
		Result     json.RawMessage
		Key        *keyDescription           `json:"decryptKeyDescription"`
		Reproduced keyring.EncryptionContext `json:"reproduced-encryption-context"`
		Method     string                    `json:"decryption-method"`
	} `json:"decryption-scenario"`
}

// loadManifest returns a manifest's vectors in order of their names.
func loadManifest(path string) ([]vector, error) {
	var m manifestFile
	if err := readJSON(path, &m); err != nil {
		return nil, err
	}
	if m.Manifest.Type != "awses-decrypt" || m.Manifest.Version < 1 || m.Manifest.Version > 5 {
		return nil, fmt.Errorf("%s: manifest is %q version %d, not awses-decrypt 1 to 5", path, m.Manifest.Type, m.Manifest.Version)
	}
	dir := filepath.Dir(path)
	file := func(uri string) (string, error) {
		name, ok := strings.CutPrefix(uri, "file://")
		if !ok || !filepath.IsLocal(name) {
			return "", fmt.Errorf("%s: %q is not a file:// path below the manifest", path, uri)
		}
		return filepath.Join(dir, name), nil
	}
	keysPath, err := file(m.Keys)
	if err != nil {
		return nil, err
	}
	var keys struct{ Keys map[string]keyMaterial }
	if err := readJSON(keysPath, &keys); err != nil {
		return nil, err
	}

	var vectors []vector
	for _, name := range slices.Sorted(maps.Keys(m.Tests)) {
		v := vector{name: name, keys: keys.Keys}
		ciphertext, plaintext, err := v.describe(m.Tests[name])
		if err == nil {
			v.ciphertext, err = file(ciphertext)
		}
		if err == nil && plaintext != "" {
			v.plaintext, err = file(plaintext)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: test %s: %w", path, name, err)
		}
		vectors = append(vectors, v)
	}
	return vectors, nil
}

// describe takes what the manifest says of a test, and returns the URIs of its
// files; the second is empty if decryption must fail.
func (v *vector) describe(t manifestTest) (ciphertext, plaintext string, err error) {
	const unsignedOnly = "streaming-unsigned-only"
	if s := t.Scenario; s != nil {
		if s.Key == nil {
			return "", "", fmt.Errorf("no decryptKeyDescription")
		}
		v.key, v.reproduced, v.unsignedOnly = *s.Key, s.Reproduced, s.Method == unsignedOnly
		switch {
		case strings.HasPrefix(s.Type, "positive"):
			err = json.Unmarshal(s.Result, &plaintext)
		case !strings.HasPrefix(s.Type, "negative"):
			err = fmt.Errorf("unknown type %q", s.Type)
		}
		return s.Ciphertext, plaintext, err
	}

	v.reproduced, v.unsignedOnly = t.EncryptionContext, t.DecryptionMethod == unsignedOnly
	v.key = keyDescription{Type: "multi-keyring", Children: t.MasterKeys}
	switch t.CMM {
	case "", "Default":
	case "RequiredEncryptionContext":
		underlying := v.key
		v.key = keyDescription{
			Type:         "required-encryption-context-cmm",
			Underlying:   &underlying,
			RequiredKeys: slices.Sorted(maps.Keys(t.EncryptionContext)),
		}
	default:
		return "", "", fmt.Errorf("unknown cmm %q", t.CMM)
	}
	switch {
	case t.Result.Output != nil:
		plaintext = t.Result.Output.Plaintext
	case t.Result.Error == nil:
		plaintext = t.Plaintext
	}
	if plaintext == "" && t.Result.Error == nil {
		err = fmt.Errorf("neither a plaintext nor an error is named")
	}
	return t.Ciphertext, plaintext, err
}

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
