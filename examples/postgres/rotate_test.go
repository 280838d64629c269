package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope/field"
	"github.com/go-sealring/sealring/keyring"
)

func testSuccessor(t testing.TB) keyring.Keyring {
	t.Helper()
	both, err := successor(testKey(t, "key-2"), testKey(t, "key-1"))
	require.NoError(t, err)
	return both
}

// filled makes the tables and n patients under key-1, and returns a service that writes
// under key-2, with its index keys.
func filled(t *testing.T, db database, n int) (*Service, []byte) {
	t.Helper()
	db.exec(t, schema+rotationSchema)
	key := testKey(t, "key-1")
	indexKeys, err := newIndexKeys(t.Context(), key)
	require.NoError(t, err)
	require.NoError(t, start(t, db, key, indexKeys).Add(t.Context(), madeMany(n)...))
	return start(t, db, testSuccessor(t), indexKeys), indexKeys
}

// requireAllUnder2 checks that the patients open under key-2 alone, with the notes that
// were written meanwhile, and are not stale.
func requireAllUnder2(t *testing.T, db database, n int, indexKeys []byte, notes map[int]string) {
	t.Helper()
	indexKeys, err := resealIndexKeys(t.Context(), testSuccessor(t), indexKeys)
	require.NoError(t, err)
	s := start(t, db, testKey(t, "key-2"), indexKeys)
	all, err := s.All(t.Context())
	require.NoError(t, err)
	require.Len(t, all, n)
	for i, p := range all {
		require.False(t, s.patients.Stale(p, "key-2"), p.ID)
		if wrote, ok := notes[i]; ok {
			require.Equal(t, wrote, plaintext(t, p.Notes), "a write was lost")
			p.Notes = made(i).Notes
		}
		requireMade(t, i, p)
	}
	ssn, _, _ := madeValues(n - 1)
	found, err := s.BySSN(t.Context(), madeTenant(n-1), ssn)
	require.NoError(t, err)
	assert.Equal(t, madeID(n-1), ids(found))
}

func TestRotation(t *testing.T) {
	const n = 3*pageSize + 1
	onEach(t, func(t *testing.T, db database) {
		s, indexKeys := filled(t, db, n)
		so, err := s.Rotate(t.Context(), "key-2")
		require.NoError(t, err)
		assert.Equal(t, field.Progress{Read: n, Sealed: n}, so)
		requireAllUnder2(t, db, n, indexKeys, nil)

		so, err = s.Rotate(t.Context(), "key-2")
		require.NoError(t, err)
		assert.Equal(t, field.Progress{Read: n, Fresh: n}, so, "a second time there is nothing to do")
	})
}

// Somebody writes between a page's reading and its writing.
func TestRotationLeavesNewerWrites(t *testing.T) {
	const n = 2 * pageSize
	onEach(t, func(t *testing.T, db database) {
		s, indexKeys := filled(t, db, n)
		r := s.rotation([]string{"key-2"})
		wrote := map[int]string{}
		r.Concurrency, r.Checkpoint = 1, nil
		r.Read = func(ctx context.Context, after string) ([]*Patient, string, error) {
			page, next, err := s.readPage(ctx, after)
			if err == nil && len(page) > 0 {
				i := len(wrote) * pageSize
				wrote[i] = fmt.Sprint("newer ", i)
				err = s.SetNotes(ctx, madeTenant(i), madeID(i), wrote[i])
			}
			return page, next, err
		}
		so, err := s.patients.Rotate(t.Context(), r, "")
		require.NoError(t, err)
		assert.Equal(t, field.Progress{Read: n, Sealed: n - 2, Lost: 2}, so)

		// The other columns of the two are still under the old key.
		so, err = s.Rotate(t.Context(), "key-2")
		require.NoError(t, err)
		assert.Equal(t, field.Progress{Read: n, Fresh: n - 2, Sealed: 2}, so)
		requireAllUnder2(t, db, n, indexKeys, wrote)
	})
}

// The variables that TestRotationChild has of the test that starts it: how it connects,
// the sealed index keys, and after how many patients it is to go no further.
const (
	childDSN       = "PATIENTS_TEST_DSN"
	childIndexKeys = "PATIENTS_TEST_INDEX_KEYS"
	childEnd       = "PATIENTS_TEST_END"
)

// TestRotationChild is a process that rotates until it is killed. It tells the places that
// it has come to.
func TestRotationChild(t *testing.T) {
	dsn := os.Getenv(childDSN)
	if dsn == "" {
		t.Skip("not a child")
	}
	indexKeys, err := hex.DecodeString(os.Getenv(childIndexKeys))
	require.NoError(t, err)
	end, err := strconv.Atoi(os.Getenv(childEnd))
	require.NoError(t, err)
	s := start(t, connect(t, dsn), testSuccessor(t), indexKeys)
	r := s.rotation([]string{"key-2"})
	r.Checkpoint = func(ctx context.Context, at string, so field.Progress) error {
		if err := s.checkpoint(ctx, at, so); err != nil {
			return err
		}
		fmt.Println("at", so.Read)
		if so.Read >= int64(end) {
			<-ctx.Done() // however late the signal comes
		}
		return nil
	}
	_, err = s.patients.Rotate(t.Context(), r, "")
	require.NoError(t, err)
}

// killedRotation starts a rotation in a process of its own and kills that when it has done
// a third.
func killedRotation(t *testing.T, db database, indexKeys []byte, n int) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestRotationChild$")
	child.Env = append(os.Environ(), childDSN+"="+db.dsn, childIndexKeys+"="+hex.EncodeToString(indexKeys), fmt.Sprint(childEnd, "=", n*2/3))
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	child.Stderr = os.Stderr
	require.NoError(t, child.Start())
	done := 0
	for said := bufio.NewScanner(out); done < n/3 && said.Scan(); {
		if at, ok := strings.CutPrefix(said.Text(), "at "); ok {
			done, err = strconv.Atoi(at)
			require.NoError(t, err)
		}
	}
	require.NoError(t, child.Process.Kill())
	require.ErrorContains(t, child.Wait(), "killed")
	require.GreaterOrEqual(t, done, n/3, "the rotation ended by itself")
}

// A service that is written to goes on while its key is rotated, by a process that is
// killed in the middle and another that goes on where it was.
func TestRotationIsResumed(t *testing.T) {
	n := 100_000
	if testing.Short() {
		n = 5_000
	}
	onEach(t, func(t *testing.T, db database) {
		s, indexKeys := filled(t, db, n)

		ctx, cancel := context.WithCancel(t.Context())
		wrote := map[int]string{}
		var writer sync.WaitGroup
		writer.Go(func() {
			for k := 0; ctx.Err() == nil; k++ {
				i := rand.IntN(n)
				notes := fmt.Sprintf("write %d", k)
				if !assert.NoError(t, s.SetNotes(t.Context(), madeTenant(i), madeID(i), notes)) {
					return
				}
				wrote[i] = notes
				time.Sleep(time.Millisecond)
			}
		})
		stop := func() { cancel(); writer.Wait() }
		defer stop()

		killedRotation(t, db, indexKeys, n)
		so, err := s.Rotate(t.Context(), "key-2")
		require.NoError(t, err)
		assert.Less(t, so.Read, int64(n)*3/4, "it began anew")
		assert.Equal(t, so.Read, so.Fresh+so.Sealed+so.Lost)
		stop()
		t.Logf("notes of %d patients written meanwhile; after the kill: %+v", len(wrote), so)
		require.NotEmpty(t, wrote)

		// What was written between reading and writing has its other columns yet to do.
		so, err = s.Rotate(t.Context(), "key-2")
		require.NoError(t, err)
		assert.EqualValues(t, n, so.Read)
		assert.Zero(t, so.Lost+so.Failed)
		requireAllUnder2(t, db, n, indexKeys, wrote)
	})
}
