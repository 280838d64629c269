package awskms_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

// events collects what a keyring tells.
type events struct {
	mu  sync.Mutex
	all []awskms.Event
}

func (e *events) add(event awskms.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, event)
}

func (e *events) of(kind awskms.EventKind) []awskms.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(e.all), func(event awskms.Event) bool { return event.Kind != kind })
}

// replicas returns a multi-Region key's ARNs in east, west and south, and
// independent returns those of three keys.
func replicas(s *kmstest.Server) []string {
	mrk := s.CreateMultiRegionKey(east, kmstest.SymmetricDefault)
	return []string{mrk, s.Replicate(mrk, west), s.Replicate(mrk, south)}
}

func independent(s *kmstest.Server) []string {
	return []string{
		s.CreateKey(east, kmstest.SymmetricDefault),
		s.CreateKey(west, kmstest.SymmetricDefault),
		s.CreateKey(south, kmstest.SymmetricDefault),
	}
}

func newMultiRegion(t testing.TB, s *kmstest.Server, arns []string, change func(*awskms.MultiRegionConfig)) *awskms.MultiRegion {
	c := awskms.MultiRegionConfig{AttemptTimeout: 100 * time.Millisecond, Cooldown: time.Minute, OnEvent: func(awskms.Event) {}}
	for _, arn := range arns {
		c.Regions = append(c.Regions, awskms.RegionKey{Client: newRetryingClient(s, strings.Split(arn, ":")[3], 3), KeyARN: arn})
	}
	if change != nil {
		change(&c)
	}
	k, err := awskms.NewMultiRegion(c)
	require.NoError(t, err)
	return k
}

// calls returns the count of calls in each of the three regions.
func calls(s *kmstest.Server) [3]int {
	return [3]int{s.Calls(kmstest.Match{Region: east}), s.Calls(kmstest.Match{Region: west}), s.Calls(kmstest.Match{Region: south})}
}

var outages = map[string]kmstest.Outage{
	"refuses": kmstest.Refuse, "hangs": kmstest.Hang, "fails": kmstest.InternalError, "times out": kmstest.DependencyTimeout,
}

func TestMultiRegionHealthy(t *testing.T) {
	for name, c := range map[string]struct {
		arns  func(*kmstest.Server) []string
		edks  int
		calls [3]int
	}{
		"replicas":    {replicas, 1, [3]int{1, 0, 0}},
		"independent": {independent, 3, [3]int{1, 1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *kmstest.Server) {
				arns := c.arns(s)
				k := newMultiRegion(t, s, arns, nil)
				m := wrapNew(t, k)
				assert.Len(t, m.EncryptedDataKeys, c.edks)
				assert.Equal(t, c.calls, calls(s))

				// Every region unwraps on its own, without asking another.
				for i := range arns {
					s.ResetCalls()
					near := append([]string{arns[i]}, slices.Delete(slices.Clone(arns), i, i+1)...)
					unwraps(t, newMultiRegion(t, s, near, nil), m)
					var want [3]int
					want[i] = 1
					assert.Equal(t, want, calls(s))
				}
			})
		})
	}
}

func TestMultiRegionEncryptOutage(t *testing.T) {
	for name, outage := range outages {
		run := func(what string, test func(*testing.T, *kmstest.Server)) {
			t.Run(name+"/"+what, func(t *testing.T) {
				inBubble(t, func(t *testing.T, s *kmstest.Server) {
					s.Outage(east, outage)
					test(t, s)
				})
			})
		}
		run("replicas", func(t *testing.T, s *kmstest.Server) {
			var seen events
			k := newMultiRegion(t, s, replicas(s), func(c *awskms.MultiRegionConfig) { c.OnEvent = seen.add })
			wrapNew(t, k)
			m := wrapNew(t, k)
			require.Len(t, m.EncryptedDataKeys, 1)
			assert.Contains(t, string(m.EncryptedDataKeys[0].ProviderInfo), west)
			unwraps(t, k, m)
			assert.Empty(t, seen.of(awskms.Degraded), "any replica unwraps for all")
			assert.Len(t, seen.of(awskms.RegionDown), 1)

			s.ResetCalls()
			wrapNew(t, k)
			unwraps(t, k, m)
			assert.Zero(t, s.Calls(kmstest.Match{Region: east}), "the dead region was asked again")
		})
		run("all are required", func(t *testing.T, s *kmstest.Server) {
			k := newMultiRegion(t, s, independent(s), nil)
			m := &keyring.EncryptionMaterials{Suite: suite, Context: testContext}
			err := k.OnEncrypt(t.Context(), m)
			var e *awskms.Error
			require.ErrorAs(t, err, &e)
			assert.True(t, e.Unavailable())
			assert.Equal(t, east, e.Region)
			assert.ErrorContains(t, err, "for 2 regions of the 3 that are required, not for ["+east+"]")
			assert.Nil(t, m.DataKey)
			assert.Empty(t, m.EncryptedDataKeys)
		})
		for minimum := 1; minimum <= 2; minimum++ {
			run("some are required", func(t *testing.T, s *kmstest.Server) {
				var seen events
				k := newMultiRegion(t, s, independent(s), func(c *awskms.MultiRegionConfig) {
					c.OnEvent, c.MinRegions = seen.add, minimum
				})
				m := wrapNew(t, k)
				assert.Len(t, m.EncryptedDataKeys, 2)
				degraded := seen.of(awskms.Degraded)
				require.Len(t, degraded, 1)
				assert.Equal(t, []string{east}, degraded[0].Missing)
				assert.Error(t, degraded[0].Err)
				unwraps(t, k, m)
			})
		}
		run("too few are left", func(t *testing.T, s *kmstest.Server) {
			s.Outage(west, outage)
			k := newMultiRegion(t, s, independent(s), func(c *awskms.MultiRegionConfig) { c.MinRegions = 2 })
			require.ErrorContains(t, k.OnEncrypt(t.Context(), &keyring.EncryptionMaterials{Suite: suite}),
				"for 1 regions of the 2 that are required")
		})
	}
}

func TestMultiRegionDecryptOutage(t *testing.T) {
	for name, outage := range outages {
		for kind, arns := range map[string]func(*kmstest.Server) []string{"replicas": replicas, "independent": independent} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				inBubble(t, func(t *testing.T, s *kmstest.Server) {
					var seen events
					k := newMultiRegion(t, s, arns(s), func(c *awskms.MultiRegionConfig) { c.OnEvent = seen.add })
					m := wrapNew(t, k)
					s.Outage(east, outage)
					unwraps(t, k, m)
					unwraps(t, k, m)
					// A timeout is enough to be down; what costs less must come twice.
					failed := seen.of(awskms.RegionFailed)
					require.Len(t, failed, map[bool]int{true: 1, false: 2}[outage == kmstest.Hang])
					assert.Equal(t, east, failed[0].Region)
					assert.Len(t, seen.of(awskms.RegionDown), 1)
					s.ResetCalls()
					for range 10 {
						unwraps(t, k, m)
					}
					assert.Equal(t, [3]int{0, 10, 0}, calls(s), "the dead region was asked again")

					s.Outage(west, outage)
					s.Outage(south, outage)
					err := refuses(t, k, m.EncryptedDataKeys)
					var noMatch *keyring.NoMatchError
					require.ErrorAs(t, err, &noMatch)
					assert.Len(t, noMatch.Reasons, 3, "every region's reason")
				})
			})
		}
	}
}

func TestMultiRegionThrottling(t *testing.T) {
	inBubble(t, func(t *testing.T, s *kmstest.Server) {
		k := newMultiRegion(t, s, replicas(s), nil)
		m := wrapNew(t, k)
		defer s.Throttle(kmstest.Match{Region: east}, 0)()
		s.ResetCalls()
		unwraps(t, k, m)
		assert.Equal(t, [3]int{1, 1, 0}, calls(s), "the next region is the retry")
	})
}

// TestMultiRegionCauses has the first region refuse, which must not be covered
// up by what another region says.
func TestMultiRegionCauses(t *testing.T) {
	for kind, arns := range map[string]func(*kmstest.Server) []string{"replicas": replicas, "independent": independent} {
		for name, c := range map[string]struct {
			do   func(s *kmstest.Server, arn string)
			ec   keyring.EncryptionContext
			says string
		}{
			"denied":        {func(s *kmstest.Server, arn string) { s.Deny("", arn) }, testContext, "denied"},
			"disabled":      {(*kmstest.Server).Disable, testContext, "disabled"},
			"wrong context": {func(*kmstest.Server, string) {}, keyring.EncryptionContext{"tenant": "43"}, "another encryption context"},
		} {
			t.Run(kind+"/"+name, func(t *testing.T) {
				inBubble(t, func(t *testing.T, s *kmstest.Server) {
					arns := arns(s)
					k := newMultiRegion(t, s, arns, func(c *awskms.MultiRegionConfig) { c.MinRegions = 1 })
					m := wrapNew(t, k)
					c.do(s, arns[0])
					s.ResetCalls()
					err := k.OnDecrypt(t.Context(), &keyring.DecryptionMaterials{Suite: suite, Context: c.ec}, m.EncryptedDataKeys)
					require.ErrorIs(t, err, keyring.ErrNoMatchingKey)
					assert.ErrorContains(t, err, c.says)
					assert.Equal(t, [3]int{1, 0, 0}, calls(s))

					if name != "wrong context" {
						err = k.OnEncrypt(t.Context(), &keyring.EncryptionMaterials{Suite: suite})
						assert.ErrorContains(t, err, c.says)
					}
				})
			})
		}
	}
	t.Run("a further region refuses", func(t *testing.T) {
		inBubble(t, func(t *testing.T, s *kmstest.Server) {
			arns := independent(s)
			s.Deny("kms:Encrypt", arns[1])
			var seen events
			k := newMultiRegion(t, s, arns, func(c *awskms.MultiRegionConfig) { c.MinRegions, c.OnEvent = 2, seen.add })
			wrapNew(t, k)
			require.Len(t, seen.of(awskms.Degraded), 1)
			assert.ErrorContains(t, seen.of(awskms.Degraded)[0].Err, "denied")

			k = newMultiRegion(t, s, arns, nil)
			assert.ErrorContains(t, k.OnEncrypt(t.Context(), &keyring.EncryptionMaterials{Suite: suite}), "denied")
		})
	})
}

func TestMultiRegionRecovers(t *testing.T) {
	inBubble(t, func(t *testing.T, s *kmstest.Server) {
		var seen events
		k := newMultiRegion(t, s, replicas(s), func(c *awskms.MultiRegionConfig) {
			c.Cooldown, c.OnEvent = 200*time.Millisecond, seen.add
		})
		m := wrapNew(t, k)
		s.Outage(east, kmstest.Refuse)
		unwraps(t, k, m)
		unwraps(t, k, m)
		time.Sleep(250 * time.Millisecond)
		unwraps(t, k, m) // tries east again, in vain
		assert.Len(t, seen.of(awskms.RegionFailed), 3)
		assert.Len(t, seen.of(awskms.RegionDown), 1)
		s.Restore(east)
		time.Sleep(250 * time.Millisecond)
		s.ResetCalls()
		unwraps(t, k, m)
		unwraps(t, k, m)
		assert.Equal(t, [3]int{2, 0, 0}, calls(s))
		assert.Len(t, seen.of(awskms.RegionUp), 1)
	})
}

// TestMultiRegionHedge has the first region answer slowly, and not fail.
func TestMultiRegionHedge(t *testing.T) {
	inBubble(t, func(t *testing.T, s *kmstest.Server) {
		k := newMultiRegion(t, s, replicas(s), func(c *awskms.MultiRegionConfig) {
			c.HedgeAfter, c.AttemptTimeout = 150*time.Millisecond, 10*time.Second
		})
		m := wrapNew(t, k)
		s.ResetCalls()
		unwraps(t, k, m)
		assert.Equal(t, [3]int{1, 0, 0}, calls(s), "hedged without need")

		s.Latency(east, 5*time.Second)
		start := time.Now()
		unwraps(t, k, m)
		assert.Equal(t, 150*time.Millisecond, time.Since(start))
		assert.Equal(t, 1, s.Calls(kmstest.Match{Region: west}))

		// A refusal from the hedge does not cover up the answer that was asked for
		// first, and asks nobody else.
		s.Latency(east, 250*time.Millisecond)
		allow := s.Deny("", replicasOf(m, west))
		unwraps(t, k, m)
		assert.Zero(t, s.Calls(kmstest.Match{Region: south}))
		allow()

		// A region that is always beaten is down, and not asked each time.
		s.Latency(east, 5*time.Second)
		for range 5 {
			unwraps(t, k, m)
		}
		s.ResetCalls()
		unwraps(t, k, m)
		assert.Equal(t, [3]int{0, 1, 0}, calls(s))
	})
}

// TestMultiRegionProbesOneAtATime has a region hang past its cooldown: one call
// waits for it, and the others go on elsewhere.
func TestMultiRegionProbesOneAtATime(t *testing.T) {
	inBubble(t, func(t *testing.T, s *kmstest.Server) {
		k := newMultiRegion(t, s, replicas(s), func(c *awskms.MultiRegionConfig) {
			c.AttemptTimeout, c.Cooldown = time.Second, time.Millisecond
		})
		m := wrapNew(t, k)
		s.Outage(east, kmstest.Hang)
		unwraps(t, k, m)
		time.Sleep(10 * time.Millisecond)
		s.ResetCalls()
		var done sync.WaitGroup
		for range 50 {
			done.Go(func() { unwraps(t, k, m) })
			time.Sleep(5 * time.Millisecond)
		}
		assert.Equal(t, 1, s.Calls(kmstest.Match{Region: east}))
		done.Wait()
	})
}

// TestMultiRegionEncryptSparesTheDead has enough independent keys without the
// region that is down.
func TestMultiRegionEncryptSparesTheDead(t *testing.T) {
	inBubble(t, func(t *testing.T, s *kmstest.Server) {
		k := newMultiRegion(t, s, independent(s), func(c *awskms.MultiRegionConfig) { c.MinRegions = 2 })
		s.Outage(west, kmstest.Hang)
		wrapNew(t, k) // pays the timeout
		s.ResetCalls()
		for range 5 {
			assert.Len(t, wrapNew(t, k).EncryptedDataKeys, 2)
		}
		assert.Equal(t, [3]int{5, 0, 5}, calls(s))

		// Where all are required, that it is down is said at once.
		k = newMultiRegion(t, s, independent(s), nil)
		require.Error(t, k.OnEncrypt(t.Context(), &keyring.EncryptionMaterials{Suite: suite}))
		s.ResetCalls()
		err := k.OnEncrypt(t.Context(), &keyring.EncryptionMaterials{Suite: suite})
		assert.ErrorContains(t, err, west+" is not asked, since it is down")
		assert.ErrorContains(t, err, "timed out")
		assert.Zero(t, s.Calls(kmstest.Match{Region: west}))
	})
}

// TestMultiRegionShortDeadline has callers with less time than a region may take:
// each region gets a share of it, and none is down for what that was too short for.
func TestMultiRegionShortDeadline(t *testing.T) {
	inBubble(t, func(t *testing.T, s *kmstest.Server) {
		k := newMultiRegion(t, s, replicas(s), func(c *awskms.MultiRegionConfig) { c.AttemptTimeout = time.Minute })
		m := wrapNew(t, k)
		s.Outage(east, kmstest.Hang)
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			got := &keyring.DecryptionMaterials{Suite: suite, Context: testContext}
			require.NoError(t, k.OnDecrypt(ctx, got, m.EncryptedDataKeys))
			cancel()
		}
		assert.Equal(t, 3, s.Calls(kmstest.Match{Region: east, Operation: "Decrypt"}))
	})
}

// TestMultiRegionHostileHeader lists wrapped keys that each region refuses, one
// after another: the regions are not to blame.
func TestMultiRegionHostileHeader(t *testing.T) {
	inBubble(t, func(t *testing.T, s *kmstest.Server) {
		var seen events
		k := newMultiRegion(t, s, replicas(s), func(c *awskms.MultiRegionConfig) {
			c.AttemptTimeout, c.OnEvent = 300*time.Millisecond, seen.add
		})
		broken := wrapNew(t, k).EncryptedDataKeys[0]
		broken.Ciphertext = slices.Clone(broken.Ciphertext)
		broken.Ciphertext[20] ^= 1
		s.Latency(east, 50*time.Millisecond)
		err := refuses(t, k, slices.Repeat([]keyring.EncryptedDataKey{broken}, 10))
		assert.ErrorContains(t, err, "altered")
		assert.Equal(t, 10, s.Calls(kmstest.Match{Operation: "Decrypt"}))
		assert.Empty(t, seen.of(awskms.RegionFailed))
	})
}

// TestMultiRegionReasons has a region down and the next refuse: what decided
// comes first, and nothing is lost.
func TestMultiRegionReasons(t *testing.T) {
	inBubble(t, func(t *testing.T, s *kmstest.Server) {
		arns := replicas(s)
		k := newMultiRegion(t, s, arns, nil)
		m := wrapNew(t, k)
		s.Outage(east, kmstest.Refuse)
		s.Disable(arns[1])
		err := refuses(t, k, m.EncryptedDataKeys)
		var e *awskms.Error
		require.ErrorAs(t, err, &e)
		assert.Equal(t, "DisabledException", e.Code)
		assert.ErrorContains(t, err, "cannot be reached")
		err = k.OnEncrypt(t.Context(), &keyring.EncryptionMaterials{Suite: suite})
		require.ErrorAs(t, err, &e)
		assert.Equal(t, "DisabledException", e.Code)
		assert.ErrorContains(t, err, "cannot be reached")
	})
}

// replicasOf returns the ARN of a wrapped key's replica in a region.
func replicasOf(m *keyring.EncryptionMaterials, region string) string {
	parts := strings.Split(string(m.EncryptedDataKeys[0].ProviderInfo), ":")
	parts[3] = region
	return strings.Join(parts, ":")
}

// TestMultiRegionOutageInTheMiddle makes 1,000 decrypts from several goroutines
// across an outage that starts and ends among them.
func TestMultiRegionOutageInTheMiddle(t *testing.T) {
	for name, outage := range outages {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *kmstest.Server) {
				k := newMultiRegion(t, s, replicas(s), func(c *awskms.MultiRegionConfig) {
					c.AttemptTimeout, c.Cooldown = 2*time.Second, 100*time.Millisecond
				})
				m := wrapNew(t, k)
				s.ResetCalls()
				s.Latency(east, 10*time.Millisecond)
				s.Latency(west, 15*time.Millisecond)
				const goroutines, total = 4, 1000
				var done sync.WaitGroup
				step := make(chan int)
				go func() {
					defer close(step)
					for i := range total {
						switch i {
						case total / 4:
							s.Outage(east, outage)
						case 3 * total / 4:
							s.Restore(east)
						}
						step <- i
					}
				}()
				for range goroutines {
					done.Go(func() {
						for range step {
							got, err := unwrap(t, k, m.EncryptedDataKeys)
							if assert.NoError(t, err) {
								assert.Equal(t, m.DataKey, got)
							}
						}
					})
				}
				done.Wait()
				inEast, inWest := s.Calls(kmstest.Match{Region: east}), s.Calls(kmstest.Match{Region: west})
				t.Logf("calls: %d in %s, %d in %s", inEast, east, inWest, west)
				assert.GreaterOrEqual(t, inEast+inWest, total)
				// During the outage only the calls under way when it began, and one
				// each cooldown, ask the dead region.
				assert.GreaterOrEqual(t, inWest, total/2-goroutines)
				assert.Less(t, inEast+inWest, total+total/10)
			})
		})
	}
}

func TestMultiRegionContextEnds(t *testing.T) {
	inBubble(t, func(t *testing.T, s *kmstest.Server) {
		k := newMultiRegion(t, s, replicas(s), func(c *awskms.MultiRegionConfig) {
			c.AttemptTimeout, c.HedgeAfter = time.Minute, 10*time.Millisecond
		})
		m := wrapNew(t, k)
		for _, region := range []string{east, west, south} {
			s.Outage(region, kmstest.Hang)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		start := time.Now()
		err := k.OnDecrypt(ctx, &keyring.DecryptionMaterials{Suite: suite, Context: testContext}, m.EncryptedDataKeys)
		require.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, 50*time.Millisecond, time.Since(start))
		err = k.OnEncrypt(ctx, &keyring.EncryptionMaterials{Suite: suite})
		require.ErrorIs(t, err, context.Canceled)

		// A caller that went away says nothing about the regions.
		for _, region := range []string{east, west, south} {
			s.Restore(region)
		}
		s.ResetCalls()
		unwraps(t, k, m)
		assert.Equal(t, 1, s.Calls(kmstest.Match{Region: east}))
	})
}

func TestEventKinds(t *testing.T) {
	assert.Equal(t, "region failed, region down, region up, degraded, EventKind(9)", strings.Join([]string{
		awskms.RegionFailed.String(), awskms.RegionDown.String(), awskms.RegionUp.String(), awskms.Degraded.String(), awskms.EventKind(9).String(),
	}, ", "))
}
