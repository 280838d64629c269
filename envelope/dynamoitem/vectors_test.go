package dynamoitem

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/testvectors/hierarchy"
	"github.com/go-sealring/sealring/keyring"
)

// vectorsDir is where the vectors lie beside a checkout: see the contributor
// notes in ARCHITECTURE.md.
const vectorsDir = "../../../shared/vectors/dbesdk"

func readVectors(t testing.TB, name string, to any) {
	b, err := os.ReadFile(filepath.Join(vectorsDir, name))
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("AWS's test vectors are not at %s", vectorsDir)
	}
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, to))
}

type rawVector struct {
	Name         string
	Table        string `json:"logical_table"`
	PartitionKey string `json:"partition_key"`
	SortKey      string `json:"sort_key"`
	Suite        string
	Actions      map[string]action
	Unsigned     []string
	Plaintext    map[string]jsonValue
	Encrypted    map[string]jsonValue
	Decrypted    map[string]jsonValue
	Context      map[string]string `json:"encryption_context"`
}

func (v *rawVector) config() Config {
	c := Config{Table: v.Table, PartitionKey: v.PartitionKey, SortKey: v.SortKey, Actions: actions(v.Actions), Unsigned: v.Unsigned}
	if v.Suite == "0x6700" {
		c.Suite = keyring.SuiteDBEAES256GCMHKDFSHA512CommitHMACSHA384
	}
	return c
}

func rawVectors(t testing.TB) ([]rawVector, keyring.Keyring) {
	var file struct {
		Namespace string `json:"key_namespace"`
		Name      string `json:"key_name"`
		Key       string `json:"key_hex"`
		Items     []rawVector
	}
	readVectors(t, "java-3.9.0-rawaes.json", &file)
	key, err := hex.DecodeString(file.Key)
	require.NoError(t, err)
	return file.Items, rawAES(t, file.Namespace, file.Name, key)
}

// TestVectorsRawAES opens items that AWS's Java release wrote under a raw key, and compares
// what comes back; what this library makes of the same plaintext opens to the same.
func TestVectorsRawAES(t *testing.T) {
	items, kr := rawVectors(t)
	require.Len(t, items, 5)
	for _, v := range items {
		t.Run(v.Name, func(t *testing.T) {
			table := newTable(t, manager(t, kr), v.config())
			got, err := table.Decrypt(t.Context(), plain(v.Encrypted))
			require.NoError(t, err)
			assert.Equal(t, plain(v.Decrypted), got)

			again, err := table.Encrypt(t.Context(), plain(v.Plaintext))
			require.NoError(t, err)
			got, err = table.Decrypt(t.Context(), again)
			require.NoError(t, err)
			assert.Equal(t, plain(v.Decrypted), got)
			head := func(it item) string {
				b, err := binaryOf(headAttribute, it[headAttribute])
				require.NoError(t, err)
				h, err := parseHead(b, 1)
				require.NoError(t, err)
				return string(h.legend)
			}
			assert.Equal(t, head(plain(v.Encrypted)), head(again))
		})
	}
}

// TestVectorsBranchKey opens items that AWS's Java releases wrote under a branch key. The
// 4th of each must fail: what was signed is unsigned by the reader's configuration.
func TestVectorsBranchKey(t *testing.T) {
	var keys struct {
		Keys map[string]struct {
			ID        string `json:"key-id"`
			Version   string `json:"branchKeyVersion"`
			BranchKey []byte
			BeaconKey []byte
		}
	}
	readVectors(t, "keys.json", &keys)
	k := keys.Keys["static-branch-key-1"]
	kr, end, err := hierarchy.New(k.ID, k.Version, k.BranchKey, k.BeaconKey)
	require.NoError(t, err)
	defer func() { require.NoError(t, end()) }()

	opened, refused := 0, 0
	for _, name := range []string{"decrypt_java_32.json", "decrypt_java_33.json"} {
		var file struct {
			Tests map[string]struct {
				Type      string
				Encrypted map[string]jsonValue
				Plaintext map[string]jsonValue
				Config    struct {
					Actions  map[string]action `json:"attributeActionsOnEncrypt"`
					Unsigned []string          `json:"allowedUnsignedAttributes"`
					Suite    string            `json:"algorithmSuiteId"`
				}
			}
		}
		readVectors(t, name, &file)
		for number, v := range file.Tests {
			t.Run(name+"/"+number, func(t *testing.T) {
				table := newTable(t, manager(t, kr.(keyring.Keyring)), Config{
					Table: "GazelleVectorTable", PartitionKey: "RecNum",
					Actions: actions(v.Config.Actions), Unsigned: v.Config.Unsigned,
				})
				got, err := table.Decrypt(t.Context(), plain(v.Encrypted))
				if v.Type != "positive-decrypt" {
					require.ErrorIs(t, err, envelope.ErrAuthentication)
					assert.Equal(t, "4", number)
					assert.Nil(t, got)
					refused++
					return
				}
				require.NoError(t, err)
				opened++
				assert.Len(t, got, len(v.Plaintext))
				for name, want := range v.Plaintext {
					assert.Equal(t, serialized(t, want.AttributeValue), serialized(t, got[name]), name)
				}
			})
		}
	}
	assert.Equal(t, 19, opened)
	assert.Equal(t, 2, refused)
}
