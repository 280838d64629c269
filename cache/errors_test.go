package cache

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/message"
	"github.com/go-sealring/sealring/keyring"
)

// answer is an error that says whether it is an outage, a refusal, or neither.
type answer struct{ unavailable, refused bool }

func (a answer) Error() string     { return fmt.Sprintf("%+v", a.refused) }
func (a answer) Unavailable() bool { return a.unavailable }
func (a answer) Refused() bool     { return a.refused }

func TestCauses(t *testing.T) {
	plain := errors.New("vault: permission denied")
	for name, c := range map[string]struct {
		err                  error
		unavailable, refused bool
	}{
		"outage":                 {outage(true), true, false},
		"refusal":                {outage(false), false, true},
		"unknown":                {plain, false, false},
		"timeout":                {fmt.Errorf("load: %w", context.DeadlineExceeded), true, false},
		"outage and unknown":     {errors.Join(outage(true), plain), true, false},
		"outage and refusal":     {errors.Join(outage(true), outage(false)), false, true},
		"no match for outages":   {&keyring.NoMatchError{Reasons: []error{outage(true), outage(true)}}, true, false},
		"no match for nothing":   {&keyring.NoMatchError{}, false, false},
		"policy":                 {keyring.ErrPolicy, false, true},
		"said so":                {fmt.Errorf("vault: %w", keyring.ErrUnavailable), true, false},
		"timeout of a network":   {&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, true, false},
		"neither":                {answer{false, false}, false, false},
		"refused for itself":     {answer{false, true}, false, true},
		"unavailable itself":     {answer{true, false}, true, false},
		"no match, one refuses":  {&keyring.NoMatchError{Reasons: []error{answer{true, false}, answer{false, true}}}, false, true},
		"no match, one has none": {&keyring.NoMatchError{Reasons: []error{answer{true, false}, answer{false, false}, plain}}, true, false},
	} {
		_, refused := classify(c.err)
		assert.Equal(t, c.unavailable, unavailable(c.err), name)
		assert.Equal(t, c.refused, refused, name)
		assert.Equal(t, c.unavailable, errors.Is(asUnavailable(c.err), keyring.ErrUnavailable), name)
	}
}

// blaming is an error of a key service that blames the message.
type blaming struct{ answer }

func (blaming) Is(target error) bool { return target == message.ErrBlamesMessage }

// TestErrorsSayWhoIsToBlame has loads fail in many ways: what the request is to
// blame for does not count as a failure of the key service.
func TestErrorsSayWhoIsToBlame(t *testing.T) {
	for name, c := range map[string]struct {
		err                   error
		rejected, unavailable bool
	}{
		"outage":                   {outage(true), false, true},
		"refusal":                  {outage(false), false, false},
		"unknown":                  {errors.New("panicked"), false, false},
		"timeout":                  {context.DeadlineExceeded, false, true},
		"wrong context":            {fmt.Errorf("%w: tenant", keyring.ErrContextMismatch), true, false},
		"wrong context, by KMS":    {&keyring.NoMatchError{Reasons: []error{blaming{}}}, true, false},
		"blamed, for an outage":    {&keyring.NoMatchError{Reasons: []error{blaming{}, answer{true, false}}}, false, true},
		"no credentials":           {&keyring.NoMatchError{Reasons: []error{answer{false, false}}}, false, false},
		"no key of ours":           {&keyring.NoMatchError{}, true, false},
		"no key, for an outage":    {&keyring.NoMatchError{Reasons: []error{answer{true, false}}}, false, true},
		"no key, for a refusal":    {&keyring.NoMatchError{Reasons: []error{answer{false, true}}}, false, false},
		"policy":                   {keyring.ErrPolicy, true, false},
		"malformed":                {envelope.ErrMalformed, true, false},
		"invalid argument":         {keyring.ErrInvalidArgument, true, false},
		"invalid materials":        {keyring.ErrInvalidMaterials, false, false},
		"mismatch, for an outage":  {fmt.Errorf("%w: %w", keyring.ErrContextMismatch, outage(true)), false, true},
		"unavailable, by its name": {keyring.ErrUnavailable, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			m := newManager(t)
			events := make(chan Event, 10)
			cache := newTestCache(t, m, Limits{OnEvent: func(_ context.Context, e Event) { events <- e }}, nil)
			m.set(func(context.Context) error { return c.err })
			_, err := cache.EncryptionMaterials(t.Context(), request("42"))
			require.ErrorIs(t, err, c.err)
			assert.Equal(t, c.unavailable, errors.Is(err, keyring.ErrUnavailable))
			// The request and its load are told of by two goroutines.
			request, told := <-events, <-events
			if request.Kind != Miss {
				request, told = told, request
			}
			assert.Equal(t, Miss, request.Kind)
			require.ErrorIs(t, request.Err, c.err)
			require.ErrorIs(t, told.Err, c.err)
			stats := cache.Stats()
			if c.rejected {
				assert.Equal(t, LoadRejected, told.Kind)
				assert.Equal(t, [2]uint64{0, 1}, [2]uint64{stats.LoadsFailed, stats.LoadsRejected})
			} else {
				assert.Equal(t, LoadFailed, told.Kind)
				assert.Equal(t, [2]uint64{1, 0}, [2]uint64{stats.LoadsFailed, stats.LoadsRejected})
			}
		})
	}
}
