// Package hierarchy makes keyrings for branch keys that a manifest has in the clear. It is
// apart from package vectors so that the tests of envelope, which run vectors, do not
// depend on the AWS SDK.
package hierarchy

import (
	"time"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/internal/testvectors/vectors"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/branchkey"
	"github.com/go-sealring/sealring/keyring/branchkey/branchkeytest"
)

// New is a [vectors.Hierarchy].
func New(id, version string, branchKey, beaconKey []byte) (k keyring.Decrypter, end func() error, err error) {
	store := branchkeytest.NewPlaintextStoreForTests()
	if err := store.Add(id, version, branchKey, beaconKey); err != nil {
		return nil, nil, err
	}
	made, err := branchkey.New(branchkey.Config{KeyStore: store.KeyStore(), ID: id, Limits: cache.Limits{MaxAge: time.Hour}})
	if err != nil {
		return nil, nil, err
	}
	return made, made.Close, nil
}

var _ vectors.Hierarchy = New
