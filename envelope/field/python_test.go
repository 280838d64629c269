package field_test

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope/field"
	"github.com/go-sealring/sealring/keyring"
)

// Vectors of the script testdata/python/fields.py, which uses AWS's Encryption SDK for
// Python: those that it made, and those that this package made and that it reads.
var (
	//go:embed testdata/python/python.json
	pythonVectors []byte
	//go:embed testdata/python/go.json
	goVectors []byte
)

var update = flag.Bool("update", false, "write testdata/python/go.json")

// A vector is one sealed field.
type vector struct {
	Table   string                    `json:"table"`
	Column  string                    `json:"column"`
	Row     []string                  `json:"row"`
	Context keyring.EncryptionContext `json:"context"`
	Pad     int                       `json:"pad"`
	Type    string                    `json:"type"`
	Value   json.RawMessage           `json:"value"`   // as fields.py describes it
	Message string                    `json:"message"` // in unpadded base64url
}

type address struct {
	Street string   `json:"street"`
	Lines  []string `json:"lines"`
}

// sample is the record of the vectors, whose key has two parts.
type sample[T any] struct {
	City   string          `seal:",row=1"`
	Line   int             `seal:",row=2"`
	Tenant string          `seal:",context=tenant"`
	Plain  field.Sealed[T] `seal:"plain"`
	Padded field.Sealed[T] `seal:"padded,pad=16"`
}

// worked is the record of the example in the package comment.
type worked struct {
	ID     string               `seal:",row"`
	Tenant string               `seal:",context=tenant"`
	SSN    field.Sealed[string] `seal:"ssn"`
}

// zeroManager has the wrapping key of fields.py.
func zeroManager(t *testing.T) keyring.MaterialsManager {
	kr, err := keyring.NewRawAES("test", "zero", make([]byte, 32))
	require.NoError(t, err)
	return cached(t, kr)
}

// A kind is a type of value in the vectors.
type kind struct {
	open func(t *testing.T, m keyring.MaterialsManager, v vector)
	seal func(t *testing.T, m keyring.MaterialsManager, value json.RawMessage) []vector
}

// kindOf returns a kind, given how its values stand in the vectors.
func kindOf[T any](name string, parse func(json.RawMessage) (T, error)) kind {
	return kind{
		open: func(t *testing.T, m keyring.MaterialsManager, v vector) {
			want, err := parse(v.Value)
			require.NoError(t, err)
			openVector(t, m, v, want)
		},
		seal: func(t *testing.T, m keyring.MaterialsManager, value json.RawMessage) []vector {
			parsed, err := parse(value)
			require.NoError(t, err)
			p := sample[T]{City: "Zürich", Line: -7, Tenant: "42", Plain: field.New(parsed), Padded: field.New(parsed)}
			require.NoError(t, newTable[sample[T]](t, m, "samples", nil).Seal(t.Context(), &p))
			v := vector{Table: "samples", Row: []string{"Zürich", "-7"}, Context: keyring.EncryptionContext{"tenant": "42"}, Type: name, Value: value}
			plain, padded := v, v
			plain.Column, plain.Message = "plain", text(t, p.Plain)
			padded.Column, padded.Message, padded.Pad = "padded", text(t, p.Padded), 16
			return []vector{plain, padded}
		},
	}
}

var kinds = map[string]kind{
	"string": kindOf("string", unmarshal[string]),
	"bytes": kindOf("bytes", func(b json.RawMessage) ([]byte, error) {
		s, err := unmarshal[string](b)
		if err != nil {
			return nil, err
		}
		return base64.RawURLEncoding.DecodeString(s)
	}),
	"bool":   kindOf("bool", unmarshal[bool]),
	"int64":  kindOf("int64", unmarshal[int64]),
	"uint64": kindOf("uint64", unmarshal[uint64]),
	"float64": kindOf("float64", func(b json.RawMessage) (float64, error) {
		s, err := unmarshal[string](b)
		if err != nil {
			return 0, err
		}
		return strconv.ParseFloat(s, 64)
	}),
	"time": kindOf("time", func(b json.RawMessage) (time.Time, error) {
		n, err := unmarshal[int64](b)
		return time.Unix(0, n).UTC(), err
	}),
	"json": kindOf("json", unmarshal[address]),
}

func unmarshal[T any](b json.RawMessage) (v T, err error) {
	err = json.Unmarshal(b, &v)
	return v, err
}

func text[T any](t *testing.T, s field.Sealed[T]) string {
	b, err := s.MarshalText()
	require.NoError(t, err)
	return string(b)
}

// openVector scans a vector, as a column of bytes and as one of text, and opens it.
func openVector[T any](t *testing.T, m keyring.MaterialsManager, v vector, want T) {
	message, err := base64.RawURLEncoding.DecodeString(v.Message)
	require.NoError(t, err)
	for _, column := range []any{message, v.Message} {
		var got field.Sealed[T]
		require.NoError(t, got.Scan(column))
		switch v.Column {
		case "ssn":
			p := worked{ID: v.Row[0], Tenant: v.Context["tenant"]}
			require.NoError(t, p.SSN.Scan(column))
			require.NoError(t, newTable[worked](t, m, v.Table, nil).Open(t.Context(), &p))
			ssn, err := p.SSN.Plaintext()
			require.NoError(t, err)
			assert.Equal(t, any(want), ssn)
		case "plain", "padded":
			line, err := strconv.Atoi(v.Row[1])
			require.NoError(t, err)
			table := newTable[sample[T]](t, m, v.Table, nil)
			p := sample[T]{City: v.Row[0], Line: line, Tenant: v.Context["tenant"]}
			other := sample[T]{City: v.Row[0], Line: line + 1, Tenant: v.Context["tenant"], Plain: got, Padded: got}
			swapped := p
			if v.Column == "plain" {
				p.Plain, swapped.Padded = got, got
			} else {
				p.Padded, swapped.Plain = got, got
			}
			require.NoError(t, table.Open(t.Context(), &p))
			opened := p.Plain
			if v.Column == "padded" {
				opened = p.Padded
			}
			value, err := opened.Plaintext()
			require.NoError(t, err)
			if f, ok := any(want).(float64); ok && math.IsNaN(f) {
				assert.True(t, math.IsNaN(any(value).(float64)))
			} else {
				assert.Equal(t, want, value)
			}
			assert.ErrorIs(t, table.Open(t.Context(), &swapped), field.ErrBinding)
			assert.ErrorIs(t, table.Open(t.Context(), &other), field.ErrBinding)
		default:
			t.Fatalf("no record has the column %q", v.Column)
		}
	}
}

// openVectors opens what is in a file of vectors.
func openVectors(t *testing.T, file []byte) {
	m := zeroManager(t)
	vectors := readVectors(t, file)
	met := map[string]int{}
	for i, v := range vectors {
		met[v.Type+" "+v.Column]++
		t.Run(fmt.Sprint(i, " ", v.Type, " ", v.Column), func(t *testing.T) {
			require.Contains(t, kinds, v.Type)
			kinds[v.Type].open(t, m, v)
		})
	}
	for name := range kinds {
		assert.NotZero(t, met[name+" plain"], name)
		assert.NotZero(t, met[name+" padded"], name)
	}
	assert.Equal(t, 1, met["string ssn"])
}

func readVectors(t *testing.T, file []byte) (vectors []vector) {
	require.NoError(t, json.Unmarshal(file, &vectors))
	return vectors
}

// sealVectors seals the values that a file of vectors has, as its own vectors.
func sealVectors(t *testing.T, file []byte) []byte {
	m := zeroManager(t)
	p := worked{ID: "p-17", Tenant: "42", SSN: field.New("078-05-1120")}
	require.NoError(t, newTable[worked](t, m, "patients", nil).Seal(t.Context(), &p))
	made := []vector{{
		Table: "patients", Column: "ssn", Row: []string{"p-17"}, Context: keyring.EncryptionContext{"tenant": "42"},
		Type: "string", Value: json.RawMessage(`"078-05-1120"`), Message: text(t, p.SSN),
	}}
	for _, v := range readVectors(t, file) {
		if v.Column == "plain" {
			made = append(made, kinds[v.Type].seal(t, m, v.Value)...)
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	require.NoError(t, e.Encode(made))
	return b.Bytes()
}

// TestVectors opens what AWS's Encryption SDK for Python sealed, and what this package
// sealed before, which that SDK reads.
func TestVectors(t *testing.T) {
	if *update {
		goVectors = sealVectors(t, pythonVectors)
		require.NoError(t, os.WriteFile("testdata/python/go.json", goVectors, 0o666))
	}
	t.Run("by Python", func(t *testing.T) { openVectors(t, pythonVectors) })
	t.Run("by this package", func(t *testing.T) { openVectors(t, goVectors) })
	assert.Len(t, readVectors(t, goVectors), len(readVectors(t, pythonVectors)))
}

// TestPython exchanges sealed fields with AWS's Encryption SDK for Python, which it runs:
// SEALRING_PYTHON is a Python that has it. Without that it is skipped; TestVectors has
// what such a run left.
func TestPython(t *testing.T) {
	python := os.Getenv("SEALRING_PYTHON")
	if python == "" {
		t.Skip("SEALRING_PYTHON is not set")
	}
	run := func(mode string, stdin []byte) (stdout []byte, err error) {
		var stderr bytes.Buffer
		cmd := exec.CommandContext(t.Context(), python, "testdata/python/fields.py", mode)
		cmd.Stdin, cmd.Stderr = bytes.NewReader(stdin), &stderr
		stdout, err = cmd.Output()
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, &stderr)
		}
		return stdout, err
	}
	made := sealVectors(t, pythonVectors)
	for name, file := range map[string][]byte{"made now": made, "made before": goVectors} {
		t.Run("it reads what was "+name, func(t *testing.T) {
			out, err := run("check", file)
			require.NoError(t, err)
			assert.Equal(t, fmt.Sprintf("%d sealed fields are read\n", len(readVectors(t, file))), string(out))
		})
	}
	t.Run("it refuses those of other places", func(t *testing.T) {
		moved := readVectors(t, made)[1:2]
		moved[0].Row = []string{"Bern", "-7"}
		file, err := json.Marshal(moved)
		require.NoError(t, err)
		_, err = run("check", file)
		require.ErrorContains(t, err, "another row or column")
	})
	t.Run("what it makes opens", func(t *testing.T) {
		out, err := run("make", nil)
		require.NoError(t, err)
		require.NotContains(t, string(out), readVectors(t, pythonVectors)[0].Message, "it made nothing new")
		openVectors(t, out)
	})
}
