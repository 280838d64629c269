//go:build linux

package erase_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/suite"
	"github.com/go-sealring/sealring/keyring"
)

const (
	childEnv = "ERASE_CHILD"

	keeps = "keeps" // the child is in the middle of its messages
	done  = "done"  // it is done with them
)

// TestKeysAreGone looks for keys in the memory of a process that has encrypted and decrypted,
// as a core dump would show it.
func TestKeysAreGone(t *testing.T) {
	wrapping := random(32)
	k := ring(t, wrapping)

	t.Run("control", func(t *testing.T) {
		// The same search finds those of a process that still needs them.
		child := start(t, keeps, order{Wrapping: wrapping})
		found := search(child.memory(), keysOf(t, k, child.messages))
		for _, name := range []string{"data key", "message key"} {
			assert.NotZero(t, found[name], "%s not found: the search does not work", name)
		}
	})
	t.Run("after", func(t *testing.T) {
		var messages [][]byte
		for _, s := range suites() {
			messages = append(messages, encrypt(t, client(t, k, s), 100), encrypt(t, client(t, k, s), streamLen))
		}
		child := start(t, done, order{Wrapping: wrapping, Messages: messages})
		found := search(child.memory(), keysOf(t, k, append(child.messages, messages...)))
		t.Log(found)
	})
}

const streamLen = 1 << 20

func suites() []keyring.Suite { return suite.IDs[keyring.Suite]() }

// An order says what a child is to do.
type order struct {
	Wrapping []byte
	Messages [][]byte // to decrypt
}

// TestChild is what TestKeysAreGone starts.
func TestChild(t *testing.T) {
	mode := os.Getenv(childEnv)
	if mode == "" {
		t.Skip("runs only in the processes that TestKeysAreGone starts")
	}
	in := json.NewDecoder(os.Stdin)
	var o order
	require.NoError(t, in.Decode(&o))
	k := ring(t, o.Wrapping)
	clear(o.Wrapping)
	var messages [][]byte
	var kept any
	if mode == keeps {
		var dst bytes.Buffer
		c := client(t, k, suites()[9])
		w, err := c.NewWriter(t.Context(), &dst, nil)
		require.NoError(t, err)
		_, err = w.Write(make([]byte, streamLen))
		require.NoError(t, err)
		messages = append(messages, dst.Bytes())
		m := &keyring.DecryptionMaterials{Suite: suites()[9]}
		require.NoError(t, k.OnDecrypt(t.Context(), m, w.Header().EncryptedDataKeys))
		kept = []any{w, m}
	} else {
		for _, s := range suites() {
			c := client(t, k, s)
			for _, n := range []int{100, streamLen} {
				messages = append(messages, encrypt(t, c, n))
			}
		}
		for _, msg := range append(messages, o.Messages...) {
			decrypt(t, k, msg)
		}
	}
	for range 5 {
		runtime.GC()
	}
	out := bufio.NewWriter(os.Stdout)
	fmt.Fprintln(out)
	require.NoError(t, json.NewEncoder(out).Encode(messages))
	require.NoError(t, out.Flush())
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent has looked
	runtime.KeepAlive(kept)
	runtime.KeepAlive(k)
}

type process struct {
	t        *testing.T
	pid      int
	messages [][]byte // that it has written
}

func start(t *testing.T, mode string, o order) *process {
	cmd := exec.Command(os.Args[0], "-test.run=^TestChild$")
	cmd.Env = append(os.Environ(), childEnv+"="+mode)
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		stdin.Close()
		_, _ = io.Copy(io.Discard, stdout)
		assert.NoError(t, cmd.Wait())
	})
	require.NoError(t, json.NewEncoder(stdin).Encode(o))
	p := &process{t: t, pid: cmd.Process.Pid}
	require.NoError(t, json.NewDecoder(stdout).Decode(&p.messages))
	return p
}

// memory returns what the process can read of its memory.
func (p *process) memory() [][]byte {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", p.pid))
	require.NoError(p.t, err)
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", p.pid))
	require.NoError(p.t, err)
	defer mem.Close()
	var all [][]byte
	for line := range strings.Lines(string(maps)) {
		var from, to uint64
		var rights string
		_, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &rights)
		require.NoError(p.t, err)
		if rights[:2] != "rw" {
			continue
		}
		part := make([]byte, to-from)
		n, _ := mem.ReadAt(part, int64(from))
		all = append(all, part[:n])
	}
	return all
}

// keysOf returns the keys of messages, by what they are.
func keysOf(t *testing.T, k keyring.Keyring, messages [][]byte) map[string][][]byte {
	keys := map[string][][]byte{}
	for _, msg := range messages {
		h, err := envelope.ParseHeader(bytes.NewReader(msg), nil)
		require.NoError(t, err)
		m := &keyring.DecryptionMaterials{Suite: h.Suite, Context: h.Context}
		require.NoError(t, k.OnDecrypt(t.Context(), m, h.EncryptedDataKeys))
		s := suite.ByID(uint16(h.Suite))
		keys[fmt.Sprintf("data key %04x", s.ID)] = append(keys[fmt.Sprintf("data key %04x", s.ID)], m.DataKey)
		info := binary.BigEndian.AppendUint16(nil, s.ID)
		var salt []byte
		switch {
		case s.KDF == 0:
			continue
		case s.Commits:
			salt, info = h.MessageID, append(info, "DERIVEKEY"...)
		default:
			info = append(info, h.MessageID...)
		}
		prk, err := hkdf.Extract(s.KDF.New, m.DataKey, salt)
		require.NoError(t, err)
		key, err := hkdf.Expand(s.KDF.New, prk, string(info), s.KeyLen)
		require.NoError(t, err)
		keys[fmt.Sprintf("prk %04x", s.ID)] = append(keys[fmt.Sprintf("prk %04x", s.ID)], prk)
		keys[fmt.Sprintf("message key %04x", s.ID)] = append(keys[fmt.Sprintf("message key %04x", s.ID)], key)
	}
	return keys
}

// search returns which keys are in memory: their first or last 16 bytes, which is what a
// register has. Key schedules begin with the key, on some processors with each word turned.
func search(memory [][]byte, keys map[string][][]byte) map[string]int {
	type half [16]byte
	names := map[half]string{}
	var begins [1 << 16]bool // what two bytes
	for name, all := range keys {
		for _, key := range all {
			for _, h := range []half{half(key), half(key[len(key)-16:])} {
				turned := h
				for i := 0; i < len(h); i += 4 {
					binary.LittleEndian.PutUint32(turned[i:], binary.BigEndian.Uint32(h[i:]))
				}
				names[h], names[turned] = name, name
				begins[binary.NativeEndian.Uint16(h[:])], begins[binary.NativeEndian.Uint16(turned[:])] = true, true
			}
		}
	}
	found := map[string]int{}
	for _, part := range memory {
		for i := 0; i+len(half{}) <= len(part); i++ {
			if begins[binary.NativeEndian.Uint16(part[i:])] {
				if name, ok := names[half(part[i:])]; ok {
					found[name]++
				}
			}
		}
	}
	return found
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func ring(t *testing.T, key []byte) keyring.Keyring {
	k, err := keyring.NewRawAES("tests", "key", key)
	require.NoError(t, err)
	return k
}

func client(t *testing.T, k keyring.Keyring, s keyring.Suite) *envelope.Client {
	policy := keyring.ForbidEncryptAllowDecrypt
	if suite.ByID(uint16(s)).Commits {
		policy = keyring.RequireEncryptAllowDecrypt
	}
	c, err := envelope.New(k, &envelope.Options{Suite: s, CommitmentPolicy: policy})
	require.NoError(t, err)
	return c
}

func encrypt(t *testing.T, c *envelope.Client, n int) []byte {
	msg, err := c.Encrypt(context.Background(), random(n), keyring.EncryptionContext{"tenant": "42"})
	require.NoError(t, err)
	return msg
}

func decrypt(t *testing.T, k keyring.Keyring, msg []byte) {
	_, err := client(t, k, suites()[9]).Decrypt(context.Background(), msg, nil)
	require.NoError(t, err)
}
