package simulation

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring"
)

// verdict is an error that says of itself what it is.
type verdict struct{ refused bool }

func (v verdict) Error() string     { return "sabotaged" }
func (v verdict) Unavailable() bool { return !v.refused }
func (v verdict) Refused() bool     { return v.refused }

func isRefusal(err error) bool {
	var r interface{ Refused() bool }
	return errors.As(err, &r) && r.Refused()
}

// TestSaboteurs has keyrings and caches do wrong, each in its way: the search finds
// every one, and for what it is.
func TestSaboteurs(t *testing.T) {
	for name, c := range map[string]struct {
		sabotage
		found string
	}{
		"an outage told as a refusal": {sabotage{after: func(err error) error {
			if errors.Is(err, keyring.ErrUnavailable) {
				return verdict{refused: true}
			}
			return err
		}}, "failed in an outage, and there is a data key"},
		"a refusal told as an outage": {sabotage{after: func(err error) error {
			if isRefusal(err) {
				return verdict{refused: false}
			}
			return err
		}}, "or that was refused since"},
		"an outage not told": {sabotage{after: func(err error) error { return errors.New("failed") }}, "is not ErrUnavailable"},
		"fails now and then": {sabotage{before: func() error {
			if rand.IntN(10) == 0 {
				return verdict{refused: true}
			}
			return nil
		}}, "KMS could serve it"},
		"a data key kept":   {sabotage{leaks: true}, "a data key is left"},
		"kept for too long": {sabotage{maxAge: 3 * maxAge}, "past its age"},
		"not kept":          {sabotage{maxAge: maxAge / 20}, "are enough"},
	} {
		t.Run(name, func(t *testing.T) {
			var err error
			for seed := range uint64(500) {
				if err = run(t, generate(seed), c.sabotage); err != nil && strings.Contains(err.Error(), c.found) {
					return
				}
			}
			require.Fail(t, "not found in 500 histories", "last: %v", err)
		})
	}
}

// TestShrink has a history fail by two of its steps, and finds them.
func TestShrink(t *testing.T) {
	h := generate(1)
	first, second := h.steps[7], h.steps[len(h.steps)-9]
	length := func(h history) (all time.Duration) {
		for _, s := range h.steps {
			all += s.after
		}
		return all
	}
	whole := length(h)
	first.message, second.message = 101, 102
	h.steps[7], h.steps[len(h.steps)-9] = first, second
	short, err := shrink(h, func(h history) error {
		seen := 0
		for _, s := range h.steps {
			if s.message > 100 {
				seen++
			}
		}
		if seen == 2 {
			return errors.New("failed")
		}
		return nil
	})
	require.Error(t, err)
	require.Len(t, short.steps, 2)
	require.LessOrEqual(t, length(short), whole)
	require.NotContains(t, short.String(), "nothing")
}
