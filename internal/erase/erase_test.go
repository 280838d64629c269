//go:build linux && !race

package erase_test

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/bits"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/suite"
	"github.com/go-sealring/sealring/keyring"
)

const (
	childEnv = "ERASE_CHILD"

	keeps = "keeps" // the child is in the middle of a message
	done  = "done"  // it is done with all

	streamLen = 8 << 20
)

// erases says whether the tests were built to erase what keys leave behind.
var erases = strings.Contains(runtime.Version(), "runtimesecret") && (runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64")

// TestKeysAreGone looks for keys in the memory of a process that has encrypted and decrypted.
// The race detector maps more memory than can be read.
func TestKeysAreGone(t *testing.T) {
	wrapping := random(32)
	k := ring(t, wrapping)

	t.Run("control", func(t *testing.T) {
		// The same search finds those of a process that still needs them.
		child := start(t, keeps, order{Wrapping: wrapping})
		found := search(child.memory(), keysOf(t, k, child.heads))
		for _, kind := range []string{dataKey, messageKey, roundKey} {
			assert.NotZero(t, found[committing+kind], "the search does not find what is there: %s", kind)
		}
	})
	t.Run("after", func(t *testing.T) {
		var messages [][]byte
		for _, s := range suites() {
			messages = append(messages, encrypt(t, client(t, k, s), 100))
		}
		child := start(t, done, order{Wrapping: wrapping, Messages: messages})
		keys := keysOf(t, k, append(child.heads, messages...))
		keys["wrapping key"] = [][]byte{wrapping}
		found := search(child.memory(), keys)
		assert.NotZero(t, found["wrapping key"], "which the keyring keeps")
		delete(found, "wrapping key")
		if erases {
			assert.Empty(t, found)
			return
		}
		// So much the library does itself. The rest is where crypto/aes and crypto/hkdf have
		// put it.
		assert.Zero(t, found[committing+dataKey])
		assert.Zero(t, found[committing+extractedKey])
	})
}

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
	var o order
	require.NoError(t, json.NewDecoder(os.Stdin).Decode(&o))
	k := ring(t, o.Wrapping)
	var heads [][]byte
	var kept any
	if mode == keeps {
		var dst bytes.Buffer
		w, err := client(t, k, 0x0478).NewWriter(t.Context(), &dst, nil)
		require.NoError(t, err)
		_, err = w.Write(make([]byte, streamLen))
		require.NoError(t, err)
		heads = append(heads, head(dst.Bytes()))
		m := &keyring.DecryptionMaterials{Suite: 0x0478}
		require.NoError(t, k.OnDecrypt(t.Context(), m, w.Header().EncryptedDataKeys))
		kept = []any{w, m}
	} else {
		stop := interrupt(t)
		for _, s := range suites() {
			for _, n := range []int{100, streamLen} {
				msg := encrypt(t, client(t, k, s), n)
				decrypt(t, k, msg)
				heads = append(heads, head(msg))
			}
		}
		for _, msg := range o.Messages {
			decrypt(t, k, msg)
		}
		stop()
	}
	for range 5 { // a pool lets go in the second
		runtime.GC()
	}
	require.NoError(t, json.NewEncoder(os.Stdout).Encode(heads))
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent has looked
	runtime.KeepAlive(kept)
	runtime.KeepAlive(k)
}

// interrupt has signals come while there is work, if what they leave is to be erased: for
// the handler of a signal, the kernel puts all registers on a stack. It returns what ends
// that.
func interrupt(t *testing.T) (stop func()) {
	if !erases {
		return func() {}
	}
	var end atomic.Bool
	var ended sync.WaitGroup
	ended.Go(func() {
		for !end.Load() {
			// The one that Go's scheduler sends, which programs do not mind.
			assert.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGURG))
			time.Sleep(100 * time.Microsecond)
		}
	})
	return func() {
		end.Store(true)
		ended.Wait()
	}
}

// head returns the beginning of a message, with its header.
func head(msg []byte) []byte { return bytes.Clone(msg[:min(len(msg), 2000)]) }

// A process is a child that has done what it was ordered, and waits.
type process struct {
	t     *testing.T
	pid   int
	heads [][]byte // of the messages that it has written
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
	require.NoError(t, json.NewDecoder(stdout).Decode(&p.heads))
	return p
}

// memory returns what the process can write of its memory.
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
		if !strings.HasPrefix(rights, "rw") {
			continue
		}
		part := make([]byte, to-from)
		_, err = mem.ReadAt(part, int64(from))
		require.NoError(p.t, err, line)
		all = append(all, part)
	}
	return all
}

// Kinds of keys. Those of suites that commit have committing before them.
const (
	dataKey      = "data key"
	extractedKey = "extracted key" // of HKDF
	messageKey   = "message key"
	roundKey     = "round key" // of AES under the message key
	committing   = "committing suites: "
)

// keysOf returns the keys of messages whose data keys k has wrapped, by kind.
func keysOf(t *testing.T, k keyring.Keyring, heads [][]byte) map[string][][]byte {
	keys := map[string][][]byte{}
	for _, head := range heads {
		h, err := envelope.ParseHeader(bytes.NewReader(head), nil)
		require.NoError(t, err)
		m := &keyring.DecryptionMaterials{Suite: h.Suite, Context: h.Context}
		require.NoError(t, k.OnDecrypt(t.Context(), m, h.EncryptedDataKeys))
		s := suite.ByID(uint16(h.Suite))
		kind := ""
		info := binary.BigEndian.AppendUint16(nil, s.ID)
		var salt []byte
		if s.Commits {
			kind, salt, info = committing, h.MessageID, append(info, "DERIVEKEY"...)
		} else {
			info = append(info, h.MessageID...)
		}
		key := m.DataKey
		keys[kind+dataKey] = append(keys[kind+dataKey], key)
		if s.KDF != 0 {
			prk, err := hkdf.Extract(s.KDF.New, m.DataKey, salt)
			require.NoError(t, err)
			key, err = hkdf.Expand(s.KDF.New, prk, string(info), s.KeyLen)
			require.NoError(t, err)
			keys[kind+extractedKey] = append(keys[kind+extractedKey], prk)
			keys[kind+messageKey] = append(keys[kind+messageKey], key)
		}
		for rest := roundKeys(key); len(rest) > 0; rest = rest[16:] {
			keys[kind+roundKey] = append(keys[kind+roundKey], rest[:16])
		}
	}
	return keys
}

// search counts the places in memory that have the first or last 16 bytes of a key, which
// is what a register has, as they are or with the bytes of each word turned.
func search(memory [][]byte, keys map[string][][]byte) map[string]int {
	type half [16]byte
	kinds := map[half][]string{}
	var begins [1 << 16]bool // by the first two bytes
	for kind, all := range keys {
		for _, key := range all {
			for _, h := range []half{half(key), half(key[len(key)-16:])} {
				by4, by8 := h, h
				for i := 0; i < len(h); i += 4 {
					binary.LittleEndian.PutUint32(by4[i:], binary.BigEndian.Uint32(h[i:]))
				}
				for i := 0; i < len(h); i += 8 {
					binary.LittleEndian.PutUint64(by8[i:], binary.BigEndian.Uint64(h[i:]))
				}
				for _, form := range []half{h, by4, by8} {
					kinds[form] = append(kinds[form], kind)
					begins[binary.NativeEndian.Uint16(form[:])] = true
				}
			}
		}
	}
	found := map[string]int{}
	for _, part := range memory {
		for i := 0; i+len(half{}) <= len(part); i++ {
			if begins[binary.NativeEndian.Uint16(part[i:])] {
				for _, kind := range kinds[half(part[i:])] {
					found[kind]++
				}
			}
		}
	}
	return found
}

// roundKeys returns the key schedule of AES, by its definition in FIPS 197.
func roundKeys(key []byte) []byte {
	double := func(b byte) byte { return b<<1 ^ b>>7*0x1b }
	sbox := [256]byte{0x63}
	for p, q := byte(1), byte(1); ; { // q is the inverse of p, which runs through all but 0
		p ^= double(p)
		q ^= q << 1
		q ^= q << 2
		q ^= q << 4
		q ^= q >> 7 * 0x09
		rotated := func(n int) byte { return bits.RotateLeft8(q, n) }
		sbox[p] = q ^ rotated(1) ^ rotated(2) ^ rotated(3) ^ rotated(4) ^ 0x63
		if p == 1 {
			break
		}
	}
	words := len(key) / 4
	w := bytes.Clone(key)
	round := byte(1)
	for i := words; i < 4*(words+7); i++ {
		last := bytes.Clone(w[4*(i-1):])
		switch {
		case i%words == 0:
			last = []byte{sbox[last[1]] ^ round, sbox[last[2]], sbox[last[3]], sbox[last[0]]}
			round = double(round)
		case words > 6 && i%words == 4:
			for j := range last {
				last[j] = sbox[last[j]]
			}
		}
		for j := range last {
			w = append(w, w[4*(i-words)+j]^last[j])
		}
	}
	return w
}

// TestRoundKeys has the examples of FIPS 197, appendix A.
func TestRoundKeys(t *testing.T) {
	for key, last := range map[string]string{
		"2b7e151628aed2a6abf7158809cf4f3c":                                 "d014f9a8c9ee2589e13f0cc8b6630ca6",
		"8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b":                 "e98ba06f448c773c8ecc720401002202",
		"603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4": "fe4890d1e6188d0b046df344706c631e",
	} {
		k, err := hex.DecodeString(key)
		require.NoError(t, err)
		w := roundKeys(k)
		assert.Equal(t, last, hex.EncodeToString(w[len(w)-16:]))
	}
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
	_, err := client(t, k, 0x0478).Decrypt(context.Background(), msg, nil)
	require.NoError(t, err)
}
