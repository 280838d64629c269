package awskms_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

func TestKeyIDs(t *testing.T) {
	s := newServer(t)
	client := newClient(s, east)
	key := s.CreateKey(east, kmstest.SymmetricDefault)
	aliasARN := s.Alias("orders", key)
	byARN, err := awskms.New(awskms.Config{Client: client, KeyID: key})
	require.NoError(t, err)
	for name, id := range map[string]string{
		"ARN": key, "ID": key[strings.LastIndex(key, "/")+1:], "alias": "alias/orders", "alias ARN": aliasARN,
	} {
		t.Run(name, func(t *testing.T) {
			k, err := awskms.New(awskms.Config{Client: client, KeyID: id, DecryptKeys: []string{key}})
			require.NoError(t, err)
			m := wrapNew(t, k)
			require.Equal(t, key, string(m.EncryptedDataKeys[0].ProviderInfo), "the header must name the key's ARN")
			unwraps(t, k, m)
			unwraps(t, byARN, m)

			// What is asked for is what the caller named, never the header's.
			calls := s.Log(kmstest.Match{Operation: "GenerateDataKey"})
			assert.Equal(t, id, calls[len(calls)-1].KeyID)

			got, err := awskms.ResolveKey(t.Context(), client, id)
			require.NoError(t, err)
			assert.Equal(t, key, got)
		})
	}
	t.Run("ID alone decrypts", func(t *testing.T) {
		k, err := awskms.New(awskms.Config{Client: client, KeyID: key[strings.LastIndex(key, "/")+1:]})
		require.NoError(t, err)
		unwraps(t, k, wrapNew(t, byARN))
		other, err := awskms.New(awskms.Config{Client: client, KeyID: s.CreateKey(east, kmstest.SymmetricDefault)})
		require.NoError(t, err)
		refuses(t, k, wrapNew(t, other).EncryptedDataKeys)
	})
}

// TestAliasRepointed rotates a key the way imported keys are: the alias is
// pointed at another one.
func TestAliasRepointed(t *testing.T) {
	s := newServer(t)
	client := newClient(s, east)
	first, second := s.CreateKey(east, kmstest.SymmetricDefault), s.CreateKey(east, kmstest.SymmetricDefault)
	s.Alias("orders", first)
	config := awskms.Config{Client: client, KeyID: "alias/orders"}

	_, err := awskms.New(config)
	require.ErrorIs(t, err, keyring.ErrInvalidArgument)
	for _, says := range []string{"alias/orders", "Config.DecryptKeys", "ResolveKey", "NewEncrypter"} {
		assert.ErrorContains(t, err, says)
	}
	encrypter, err := awskms.NewEncrypter(config)
	require.NoError(t, err)
	before := wrapNew(t, encrypter)
	s.Alias("orders", second)
	after := wrapNew(t, encrypter)
	config.DecryptKeys = []string{first, second}
	k, err := awskms.New(config)
	require.NoError(t, err)
	unwraps(t, k, before)
	unwraps(t, k, after)

	config.DecryptKeys = []string{second}
	k, err = awskms.New(config)
	require.NoError(t, err)
	refuses(t, k, before.EncryptedDataKeys)
	unwraps(t, k, after)

	discovery, err := awskms.NewDiscovery(awskms.DiscoveryConfig{Client: client, Accounts: []string{"111122223333"}})
	require.NoError(t, err)
	unwraps(t, discovery, before)
	unwraps(t, discovery, after)
}

func TestRotation(t *testing.T) {
	s := newServer(t)
	key := s.CreateKey(east, kmstest.SymmetricDefault)
	k, err := awskms.New(awskms.Config{Client: newClient(s, east), KeyID: key})
	require.NoError(t, err)
	before := wrapNew(t, k)
	s.Rotate(key)
	after := wrapNew(t, k)
	unwraps(t, k, before)
	unwraps(t, k, after)
}

func TestMRKAware(t *testing.T) {
	s := newServer(t)
	mrk := s.CreateMultiRegionKey(east, kmstest.SymmetricDefault)
	replica := s.Replicate(mrk, west)
	config := func(region, arn string) awskms.Config {
		return awskms.Config{Client: newClient(s, region), KeyID: arn, MRKAware: true}
	}
	inEast, err := awskms.New(config(east, mrk))
	require.NoError(t, err)
	inWest, err := awskms.New(config(west, replica))
	require.NoError(t, err)
	strictWest, err := awskms.New(awskms.Config{Client: newClient(s, west), KeyID: replica})
	require.NoError(t, err)

	m := wrapNew(t, inEast)
	s.ResetCalls()
	unwraps(t, inWest, m)
	assert.Zero(t, s.Calls(kmstest.Match{Region: east}), "a call across regions")
	call, ok := s.LastCall(kmstest.Match{Region: west})
	require.True(t, ok)
	assert.Equal(t, replica, call.KeyID)
	refuses(t, strictWest, m.EncryptedDataKeys)
	unwraps(t, inEast, wrapNew(t, inWest))

	// A key that is not multi-Region is bound to its region.
	single := s.CreateKey(east, kmstest.SymmetricDefault)
	inEast, err = awskms.New(config(east, single))
	require.NoError(t, err)
	bare, err := awskms.New(config(west, mrk[strings.LastIndex(mrk, "/")+1:]))
	require.NoError(t, err)
	unwraps(t, bare, m)
	elsewhere, err := awskms.New(config(west, strings.Replace(single, east, west, 1)))
	require.NoError(t, err)
	refuses(t, elsewhere, wrapNew(t, inEast).EncryptedDataKeys)
}

// TestMultiMRKAware has a keyring of several keys, each of which is MRKAware or not.
func TestMultiMRKAware(t *testing.T) {
	s := newServer(t)
	mrk, single := s.CreateMultiRegionKey(east, kmstest.SymmetricDefault), s.CreateKey(east, kmstest.SymmetricDefault)
	replica := s.Replicate(mrk, west)
	config := func(region, arn string, mrkAware bool) awskms.Config {
		return awskms.Config{Client: newClient(s, region), KeyID: arn, MRKAware: mrkAware}
	}
	writer, err := awskms.New(config(west, replica, false))
	require.NoError(t, err)
	byReplica := wrapNew(t, writer)

	for name, c := range map[string]struct {
		generator, other awskms.Config
		unwraps          bool // what a replica in the west wrapped, though the west is out
	}{
		"the generator":        {config(east, mrk, true), config(east, single, false), true},
		"the other":            {config(east, single, false), config(east, mrk, true), true},
		"neither":              {config(east, mrk, false), config(east, single, false), false},
		"one of two replicas":  {config(east, mrk, true), config(west, replica, false), true},
		"none of two replicas": {config(east, mrk, false), config(west, replica, false), false},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := awskms.NewMulti(c.generator, c.other)
			require.NoError(t, err)
			m := wrapNew(t, k)
			require.Len(t, m.EncryptedDataKeys, 2)
			unwraps(t, k, m)
			s.Outage(west, kmstest.InternalError)
			defer s.Restore(west)
			if c.unwraps {
				unwraps(t, k, byReplica)
			} else {
				refuses(t, k, byReplica.EncryptedDataKeys)
			}
		})
	}
}

func TestDiscovery(t *testing.T) {
	s := newServer(t)
	wrap := func(region, key string) []keyring.EncryptedDataKey {
		k, err := awskms.New(awskms.Config{Client: newClient(s, region), KeyID: key})
		require.NoError(t, err)
		return wrapNew(t, k).EncryptedDataKeys
	}
	inEast, inWest := wrap(east, s.CreateKey(east, kmstest.SymmetricDefault)), wrap(west, s.CreateKey(west, kmstest.SymmetricDefault))
	mrk := s.CreateMultiRegionKey(east, kmstest.SymmetricDefault)
	s.Replicate(mrk, west)
	mrkInEast := wrap(east, mrk)

	const own, strange = "111122223333", "444455556666"
	for name, c := range map[string]struct {
		config  awskms.DiscoveryConfig
		mrk     bool
		keys    []keyring.EncryptedDataKey
		unwraps bool
	}{
		"own account":              {awskms.DiscoveryConfig{Accounts: []string{strange, own}}, false, inEast, true},
		"any account":              {awskms.DiscoveryConfig{AnyAccount: true}, false, inEast, true},
		"another account":          {awskms.DiscoveryConfig{Accounts: []string{strange}}, false, inEast, false},
		"another partition":        {awskms.DiscoveryConfig{Accounts: []string{own}, Partition: "aws-cn"}, false, inEast, false},
		"another region":           {awskms.DiscoveryConfig{Accounts: []string{own}}, false, inWest, false},
		"another region, MRK":      {awskms.DiscoveryConfig{Accounts: []string{own}}, true, inWest, false},
		"replica":                  {awskms.DiscoveryConfig{Client: newClient(s, west), Accounts: []string{own}}, true, mrkInEast, true},
		"replica, not MRK-aware":   {awskms.DiscoveryConfig{Client: newClient(s, west), Accounts: []string{own}}, false, mrkInEast, false},
		"replica, another account": {awskms.DiscoveryConfig{Client: newClient(s, west), Accounts: []string{strange}}, true, mrkInEast, false},
		"region without a replica": {awskms.DiscoveryConfig{Client: newClient(s, south), Accounts: []string{own}}, true, mrkInEast, false},
	} {
		t.Run(name, func(t *testing.T) {
			if c.config.Client == nil {
				c.config.Client = newClient(s, east)
			}
			c.config.MRKAware = c.mrk
			k, err := awskms.NewDiscovery(c.config)
			require.NoError(t, err)
			if !c.unwraps {
				refuses(t, k, c.keys)
				return
			}
			_, err = unwrap(t, k, c.keys)
			require.NoError(t, err)
		})
	}
}

func TestConfigsRefused(t *testing.T) {
	s := newServer(t)
	client := newClient(s, east)
	key := s.CreateKey(east, kmstest.SymmetricDefault)
	mrk := s.CreateMultiRegionKey(east, kmstest.SymmetricDefault)
	rsaKey := s.CreateKey(east, kmstest.RSA2048)
	public := rsaPublicKey(t, s, rsaKey)
	ecKey, otherCurve := s.CreateKey(east, kmstest.ECCP256), s.CreateKey(east, kmstest.ECCP384)
	peer := ecdhPublicKey(t, s, ecKey)
	accounts := []string{"111122223333"}

	newKey := func(c awskms.Config) func() error {
		return func() error {
			_, err := awskms.New(c)
			c.MRKAware = true
			_, errMRK := awskms.New(c)
			require.Equal(t, err == nil, errMRK == nil)
			return err
		}
	}
	newDiscovery := func(c awskms.DiscoveryConfig) func() error {
		return func() error { _, err := awskms.NewDiscovery(c); return err }
	}
	newRegions := func(c awskms.MultiRegionConfig) func() error {
		return func() error { _, err := awskms.NewMultiRegion(c); return err }
	}
	newRSA := func(c awskms.RSAConfig) func() error {
		return func() error { _, err := awskms.NewRSA(c); return err }
	}
	newECDH := func(c awskms.ECDHConfig) func() error {
		return func() error { _, err := awskms.NewECDH(t.Context(), c); return err }
	}
	one := []awskms.RegionKey{{Client: client, KeyARN: key}}
	cases := map[string]func() error{
		"no client":             newKey(awskms.Config{KeyID: key}),
		"alias to decrypt with": newKey(awskms.Config{Client: client, KeyID: key, DecryptKeys: []string{"alias/orders"}}),
		"negative calls":        newKey(awskms.Config{Client: client, KeyID: key, MaxCalls: -1}),
		"several, one bad": func() error {
			_, err := awskms.NewMulti(awskms.Config{Client: client, KeyID: key}, awskms.Config{})
			return err
		},
		"several, one twice": func() error {
			_, err := awskms.NewMulti(awskms.Config{Client: client, KeyID: key}, awskms.Config{Client: client, KeyID: key})
			return err
		},
		"replicas of one key": func() error {
			_, err := awskms.NewMulti(awskms.Config{Client: client, KeyID: mrk, MRKAware: true},
				awskms.Config{Client: newClient(s, west), KeyID: s.Replicate(mrk, west), MRKAware: true})
			return err
		},
		"client of another region": newKey(awskms.Config{Client: newClient(s, west), KeyID: key}),
		"discovery, other region":  newDiscovery(awskms.DiscoveryConfig{Client: client, Region: west, Accounts: accounts}),
		"regions, other region":    newRegions(awskms.MultiRegionConfig{Regions: []awskms.RegionKey{{Client: newClient(s, west), KeyARN: key}}}),
		"silently degraded": newRegions(awskms.MultiRegionConfig{MinRegions: 1, Regions: []awskms.RegionKey{
			one[0], {Client: newClient(s, west), KeyARN: s.CreateKey(west, kmstest.SymmetricDefault)},
		}}),
		"ID without a region":   newKey(awskms.Config{Client: struct{ awskms.Client }{client}, KeyID: "mrk-1234"}),
		"several, first bad":    func() error { _, err := awskms.NewMulti(awskms.Config{}); return err },
		"discovery, no client":  newDiscovery(awskms.DiscoveryConfig{Accounts: accounts}),
		"discovery, no account": newDiscovery(awskms.DiscoveryConfig{Client: client}),
		"discovery, empty":      newDiscovery(awskms.DiscoveryConfig{Client: client, Accounts: []string{""}}),
		"discovery, both":       newDiscovery(awskms.DiscoveryConfig{Client: client, Accounts: accounts, AnyAccount: true}),
		"discovery, no region":  newDiscovery(awskms.DiscoveryConfig{Client: struct{ awskms.DecryptClient }{client}, Accounts: accounts}),
		"discovery, calls":      newDiscovery(awskms.DiscoveryConfig{Client: client, Accounts: accounts, MaxCalls: -1}),
		"no region":             newRegions(awskms.MultiRegionConfig{}),
		"region twice":          newRegions(awskms.MultiRegionConfig{Regions: []awskms.RegionKey{one[0], {Client: client, KeyARN: mrk}}}),
		"duplicate key":         newRegions(awskms.MultiRegionConfig{Regions: []awskms.RegionKey{one[0], one[0]}}),
		"region without client": newRegions(awskms.MultiRegionConfig{Regions: []awskms.RegionKey{{KeyARN: key}}}),
		"region with an alias":  newRegions(awskms.MultiRegionConfig{Regions: []awskms.RegionKey{{Client: client, KeyARN: "alias/orders"}}}),
		"too many to require":   newRegions(awskms.MultiRegionConfig{Regions: one, MinRegions: 2}),
		"negative to require":   newRegions(awskms.MultiRegionConfig{Regions: one, MinRegions: -1}),
		"negative timeout":      newRegions(awskms.MultiRegionConfig{Regions: one, AttemptTimeout: -1}),
		"regions, calls":        newRegions(awskms.MultiRegionConfig{Regions: one, MaxCalls: -1}),
		"RSA, no client":        newRSA(awskms.RSAConfig{KeyARN: rsaKey, PublicKey: public}),
		"RSA, no key":           newRSA(awskms.RSAConfig{Client: client, PublicKey: public}),
		"RSA, alias":            newRSA(awskms.RSAConfig{Client: client, KeyARN: "alias/orders", PublicKey: public}),
		"RSA, no public key":    newRSA(awskms.RSAConfig{Client: client, KeyARN: rsaKey}),
		"RSA, algorithm":        newRSA(awskms.RSAConfig{Client: client, KeyARN: rsaKey, PublicKey: public, Algorithm: "SYMMETRIC_DEFAULT"}),
		"RSA, calls":            newRSA(awskms.RSAConfig{Client: client, KeyARN: rsaKey, PublicKey: public, MaxCalls: -1}),
		"ECDH, no client":       newECDH(awskms.ECDHConfig{KeyID: ecKey, Peer: peer}),
		"ECDH, no peer":         newECDH(awskms.ECDHConfig{Client: client, KeyID: ecKey}),
		"ECDH, other key":       newECDH(awskms.ECDHConfig{Client: client, KeyID: s.Alias("agreement", s.CreateKey(east, kmstest.ECCP256)), PublicKey: peer, Peer: peer}),
		"ECDH, other curve":     newECDH(awskms.ECDHConfig{Client: client, KeyID: otherCurve, Peer: peer}),
		"ECDH, not for it":      newECDH(awskms.ECDHConfig{Client: client, KeyID: rsaKey, Peer: peer}),
		"ECDH, calls":           newECDH(awskms.ECDHConfig{Client: client, KeyID: ecKey, Peer: peer, MaxCalls: -1}),
		"ECDH decrypter, peer": func() error {
			_, err := awskms.NewECDHDecrypter(t.Context(), awskms.ECDHConfig{Client: client, KeyID: ecKey, Peer: peer})
			return err
		},
		"resolve without client": func() error { _, err := awskms.ResolveKey(t.Context(), nil, key); return err },
		"resolve nothing":        func() error { _, err := awskms.ResolveKey(t.Context(), client, ""); return err },
	}
	for i, id := range []string{
		"", "alias/", "alias", "key/1234", "arn:aws:kms", "arn:aws:s3:us-east-1:111122223333:key/1234",
		"arn:aws:kms::111122223333:key/1234", "arn:aws:kms:us-east-1::key/1234", "arn:aws:kms:us-east-1:111122223333:key/",
		"arn:aws:kms:us-east-1:111122223333:grant/1234", "arn:aws:kms:us-east-1:111122223333:key/a\nb", key + " ", "alias/\x1b[2J", "arn::kms:us-east-1:111122223333:key/1234", "a b", strings.Repeat("x/", 10_000),
	} {
		if id != "alias" { // a key ID, for all that can be told
			cases[fmt.Sprintf("key ID %d", i)] = newKey(awskms.Config{Client: client, KeyID: id})
		}
	}
	for name, try := range cases {
		t.Run(name, func(t *testing.T) {
			err := try()
			require.ErrorIs(t, err, keyring.ErrInvalidArgument)
			assert.Less(t, len(err.Error()), 500)
		})
	}
}

// TestECDHAlias pins the key that an alias stands for.
func TestECDHAlias(t *testing.T) {
	s := newServer(t)
	client := newClient(s, east)
	mine, theirs := s.CreateKey(east, kmstest.ECCP256), s.CreateKey(east, kmstest.ECCP256)
	aliasARN := s.Alias("agreement", mine)
	for _, id := range []string{"alias/agreement", aliasARN} {
		s.Alias("agreement", mine)
		k, err := awskms.NewECDH(t.Context(), awskms.ECDHConfig{Client: client, KeyID: id, Peer: ecdhPublicKey(t, s, theirs)})
		require.NoError(t, err)
		other, err := awskms.NewECDHDecrypter(t.Context(), awskms.ECDHConfig{Client: client, KeyID: theirs})
		require.NoError(t, err)
		s.Alias("agreement", s.CreateKey(east, kmstest.ECCP256))
		m := wrapNew(t, k)
		unwraps(t, k, m)
		unwraps(t, other, m)
	}
}
