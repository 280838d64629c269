package dynamoitem

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// javaFile has items that AWS's Java release 3.9.0 wrote:
//
//	go -C internal/dbesdk run . -items ../../envelope/dynamoitem/testdata/java.json
const javaFile = "testdata/java.json"

type javaItem struct {
	rawVector
	Version byte
	Prefix  string `json:"unsigned_prefix"`
	Keys    []struct {
		Namespace, Name string
		Key             []byte
	}
}

func javaItems(t testing.TB) (all []javaItem) {
	b, err := os.ReadFile(javaFile)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &all))
	return all
}

func (j *javaItem) config() Config {
	c := j.rawVector.config()
	c.UnsignedPrefix = j.Prefix
	return c
}

// TestJavaItems opens Java's items under each of the keys that wrapped theirs, and none that
// was altered: at every seventh byte, since other tests alter each.
func TestJavaItems(t *testing.T) {
	items := javaItems(t)
	require.Len(t, items, 10)
	kinds := map[[2]byte]int{}
	for _, j := range items {
		t.Run(j.Name, func(t *testing.T) {
			in := plain(j.Encrypted)
			head, err := binaryOf(headAttribute, in[headAttribute])
			require.NoError(t, err)
			h, err := parseHead(head, len(j.Keys))
			require.NoError(t, err)
			assert.Equal(t, j.Suite, fmt.Sprintf("0x%04X", uint16(h.suite)))
			assert.Equal(t, j.Version, h.version)
			assert.Equal(t, len(j.Keys), h.keyCount)
			kinds[[2]byte(head)]++

			for _, key := range j.Keys {
				r := newRefuser(t, manager(t, rawAES(t, key.Namespace, key.Name, key.Key)), j.config())
				got, err := r.table.Decrypt(t.Context(), in)
				require.NoError(t, err)
				assert.Equal(t, serialized(t, object(plain(j.Decrypted))), serialized(t, object(got)))

				out, err := r.table.Encrypt(t.Context(), plain(j.Plaintext))
				require.NoError(t, err)
				assert.Equal(t, slices.Sorted(maps.Keys(in)), slices.Sorted(maps.Keys(out)))
				got, err = r.table.Decrypt(t.Context(), out)
				require.NoError(t, err)
				assert.Equal(t, serialized(t, object(plain(j.Decrypted))), serialized(t, object(got)))

				if len(j.Keys) > 1 {
					continue // who has one of the keys cannot tell whether others' were altered
				}
				for name, v := range in {
					if r.table.config.isUnsigned(name) {
						continue
					}
					r.refuses(t, without(in, name), "without %q", name)
					if b, ok := v.(*types.AttributeValueMemberB); ok {
						for i := 0; i < len(b.Value); i += 7 {
							c := slices.Clone(b.Value)
							c[i] ^= 1
							r.refuses(t, with(in, name, &types.AttributeValueMemberB{Value: c}), "%q, byte %d", name, i)
						}
					}
				}
			}
			stranger := newRefuser(t, manager(t, rawAES(t, j.Keys[0].Namespace, j.Keys[0].Name, make([]byte, 32))), j.config())
			stranger.refuses(t, in, "another key")
		})
	}
	for _, kind := range [][2]byte{{version1, 0}, {version2, 0}, {version1, 1}, {version2, 1}} {
		assert.GreaterOrEqual(t, kinds[kind], 2, "version %d, suite %d", kind[0], kind[1])
	}
}
