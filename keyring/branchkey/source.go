package branchkey

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/go-sealring/sealring/keyring"
)

// source is the materials manager whose "data keys" are branch keys, so that package cache
// can keep them: with its limits, its one load for all who wait, and its behaviour in an
// outage.
//
// A branch key is asked for as if a message were to be decrypted whose only wrapped key
// names it. That is so for the active version too, since an EncryptionRequest can name
// the branch key in its context alone, and a map takes longer to make than the rest of a
// hit. Limits.MaxMessages and MaxBytes do not count such requests.
type source struct {
	keys  *KeyStore
	loads *loads
}

// carrier is a suite for requests and materials that stand for no message: one that
// derives keys, and so is cached, and whose data keys are as long as branch keys.
const carrier = keyring.SuiteAES256GCMHKDFSHA512Commit

// beaconMark takes the place of a version, which is longer, in the request for a beacon key.
const beaconMark = "beacon"

// versionPair is the pair of the materials' context that has the 16 bytes of the version.
const versionPair = "version"

// appendRequest appends the request for a version of a branch key, for the active one if
// there is no version, or for the beacon key if that is beaconMark: what the header of a
// message stores that has no context and this wrapped key.
func appendRequest(b []byte, id string, version []byte) []byte {
	b = append(b, 0, 0, 0, 1)
	b = binary.BigEndian.AppendUint16(b, uint16(len(ProviderID)))
	b = append(b, ProviderID...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(id)))
	b = append(b, id...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(version)))
	return append(b, version...)
}

// DecryptionMaterials implements [keyring.DecryptionManager].
func (s source) DecryptionMaterials(ctx context.Context, req keyring.DecryptionRequest) (*keyring.DecryptionMaterials, error) {
	_, keys, err := req.Parse()
	if err != nil {
		return nil, err
	}
	itemType := typeActive
	switch version := keys[0].Ciphertext; {
	case string(version) == beaconMark:
		itemType = typeBeacon
	case len(version) > 0:
		itemType = versionPrefix + uuid(version).String()
	}
	k, err := s.keys.read(ctx, string(keys[0].ProviderInfo), itemType)
	if err != nil {
		return nil, err
	}
	m := &keyring.DecryptionMaterials{
		Suite:   carrier,
		Context: keyring.EncryptionContext{versionPair: string(k.version[:])},
		DataKey: k.secret()[:],
	}
	if itemType == typeBeacon {
		m.Context[loadedPair] = s.loads.begin()
	}
	return m, nil
}

// Dropped is called by the cache when it drops materials: what was derived from them goes too.
func (s source) Dropped(m *keyring.DecryptionMaterials) { s.loads.end(m) }

// EncryptionMaterials implements [keyring.EncryptionManager]. Nobody calls it.
func (s source) EncryptionMaterials(context.Context, keyring.EncryptionRequest) (*keyring.EncryptionMaterials, error) {
	return nil, errors.New("branchkey: branch keys are asked for by decryption requests")
}
