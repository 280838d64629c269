package simulation

import (
	"errors"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The environment says how long to search, as time.ParseDuration reads it, from which
// seed on instead of with random ones, or which history to play again.
const (
	lengthEnv = "SEALRING_SIM"
	firstEnv  = "SEALRING_SIM_FIRST"
	seedEnv   = "SEALRING_SIM_SEED"
)

func TestRandomHistories(t *testing.T) {
	if s := os.Getenv(seedEnv); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
		h := generate(seed)
		t.Log(h)
		require.NoError(t, run(t, h, sabotage{}))
		return
	}
	// The same ones each time, unless it is asked to search.
	length, first, n := time.Duration(0), uint64(0), 0
	if s := os.Getenv(lengthEnv); s != "" {
		var err error
		length, err = time.ParseDuration(s)
		require.NoError(t, err)
	}
	random := length > 0
	if s := os.Getenv(firstEnv); s != "" {
		var err error
		first, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
		random = false
	}
	for began := time.Now(); n < 40 || time.Since(began) < length; n++ {
		seed := first + uint64(n)
		if random {
			seed = rand.Uint64()
		}
		if h, err := search(t, seed, sabotage{}); err != nil {
			t.Fatalf("%v\n\nSet %s=%d to play the whole of it. What is left of it and fails:\n%v", err, seedEnv, h.seed, h)
		}
	}
	t.Logf("%d histories", n)
}

// search plays the history of a seed, and if it fails returns the shortest that was
// found to fail, with its error.
func search(t *testing.T, seed uint64, s sabotage) (history, error) {
	h := generate(seed)
	err := run(t, h, s)
	if err == nil {
		return h, nil
	}
	short, again := shrink(h, func(h history) error {
		// What is drawn while it runs differs each time.
		for range 3 {
			if err := run(t, h, s); err != nil {
				return err
			}
		}
		return nil
	})
	if again == nil {
		return h, errors.Join(err, errors.New("it did not fail again"))
	}
	return short, again
}

// shrink leaves out of a history what it fails without.
func shrink(h history, fails func(history) error) (history, error) {
	err := fails(h)
	if err == nil {
		return h, nil
	}
	for size := len(h.steps) / 2; size > 0; size /= 2 {
		for at := 0; at+size <= len(h.steps); {
			shorter := h
			shorter.steps = append(append([]step{}, h.steps[:at]...), h.steps[at+size:]...)
			// The time that passes stays, in what comes next.
			if at < len(shorter.steps) {
				for _, gone := range h.steps[at : at+size] {
					shorter.steps[at].after += gone.after
				}
			}
			if e := fails(shorter); e != nil {
				h, err = shorter, e
			} else {
				at += size
			}
		}
	}
	return h, err
}
