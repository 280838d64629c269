package awskms_test

import (
	"crypto/ecdh"
	"crypto/rand"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/stretchr/testify/require"

	suites "github.com/go-sealring/sealring/internal/suite"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
	"github.com/go-sealring/sealring/keyring/keyringtest"
)

func TestConformance(t *testing.T) {
	s := newServer(t)
	client := newClient(s, east)
	key, other := s.CreateKey(east, kmstest.SymmetricDefault), s.CreateKey(east, kmstest.SymmetricDefault)
	mrk := s.CreateMultiRegionKey(east, kmstest.SymmetricDefault)
	replica := s.Replicate(mrk, west)
	independent := s.CreateKey(west, kmstest.SymmetricDefault)
	strict := func(arn string) keyring.Keyring {
		k, err := awskms.New(awskms.Config{Client: client, KeyID: arn})
		require.NoError(t, err)
		return k
	}
	run := func(name string, k keyringtest.Keyring) {
		k.ContextBound = true
		t.Run(name, func(t *testing.T) { keyringtest.Run(t, k) })
	}

	run("key", keyringtest.Keyring{Encrypter: strict(key), Decrypter: strict(key), Stranger: strict(other)})

	alias, err := awskms.New(awskms.Config{Client: client, KeyID: s.Alias("orders", key), DecryptKeys: []string{key}})
	require.NoError(t, err)
	run("alias", keyringtest.Keyring{Encrypter: alias, Decrypter: alias, Stranger: strict(other)})

	multi, err := awskms.NewMulti(
		awskms.Config{Client: client, KeyID: key},
		awskms.Config{Client: newClient(s, west), KeyID: independent})
	require.NoError(t, err)
	run("several keys", keyringtest.Keyring{Encrypter: multi, Decrypter: multi, Stranger: strict(other)})

	discovery, err := awskms.NewDiscovery(awskms.DiscoveryConfig{Client: client, Accounts: []string{"111122223333"}})
	require.NoError(t, err)
	elsewhere, err := awskms.NewDiscovery(awskms.DiscoveryConfig{Client: client, Accounts: []string{"444455556666"}})
	require.NoError(t, err)
	run("discovery", keyringtest.Keyring{Encrypter: strict(key), Decrypter: discovery, Stranger: elsewhere})

	inEast, err := awskms.New(awskms.Config{Client: client, KeyID: mrk, MRKAware: true})
	require.NoError(t, err)
	inWest, err := awskms.New(awskms.Config{Client: newClient(s, west), KeyID: replica, MRKAware: true})
	require.NoError(t, err)
	run("multi-Region key", keyringtest.Keyring{LooseInfo: true, Encrypter: inEast, Decrypter: inWest, Stranger: strict(other)})

	mrkDiscovery, err := awskms.NewDiscovery(awskms.DiscoveryConfig{
		Client: newClient(s, west), Accounts: []string{"111122223333"}, MRKAware: true,
	})
	require.NoError(t, err)
	run("multi-Region discovery", keyringtest.Keyring{LooseInfo: true, Encrypter: inEast, Decrypter: mrkDiscovery, Stranger: elsewhere})

	for name, regions := range map[string][]awskms.RegionKey{
		"replicas":         {{Client: client, KeyARN: mrk}, {Client: newClient(s, west), KeyARN: replica}},
		"independent keys": {{Client: client, KeyARN: key}, {Client: newClient(s, west), KeyARN: independent}},
	} {
		k, err := awskms.NewMultiRegion(awskms.MultiRegionConfig{Regions: regions, AttemptTimeout: time.Hour})
		require.NoError(t, err)
		run("regions, "+name, keyringtest.Keyring{LooseInfo: name == "replicas", Encrypter: k, Decrypter: k, Stranger: strict(other)})
	}

	unsigned := slices.DeleteFunc(suites.IDs[keyring.Suite](), keyring.Suite.Signs)
	rsaKey, otherRSA := s.CreateKey(east, kmstest.RSA2048), s.CreateKey(east, kmstest.RSA2048)
	for _, algorithm := range []types.EncryptionAlgorithmSpec{"", types.EncryptionAlgorithmSpecRsaesOaepSha1} {
		k, err := awskms.NewRSA(awskms.RSAConfig{Client: client, KeyARN: rsaKey, PublicKey: rsaPublicKey(t, s, rsaKey), Algorithm: algorithm})
		require.NoError(t, err)
		stranger, err := awskms.NewRSADecrypter(awskms.RSAConfig{Client: client, KeyARN: otherRSA, Algorithm: algorithm})
		require.NoError(t, err)
		run("RSA "+string(algorithm), keyringtest.Keyring{Encrypter: k, Decrypter: k, Stranger: stranger, Suites: unsigned, MaxAlterations: 64})
	}

	for spec, curve := range map[kmstest.KeySpec]ecdh.Curve{
		kmstest.ECCP256: ecdh.P256(), kmstest.ECCP384: ecdh.P384(), kmstest.ECCP521: ecdh.P521(),
	} {
		mine, theirs := s.CreateKey(east, spec), s.CreateKey(east, spec)
		newECDH := func(id, peer string) keyring.Keyring {
			k, err := awskms.NewECDH(t.Context(), awskms.ECDHConfig{Client: client, KeyID: id, Peer: ecdhPublicKey(t, s, peer)})
			require.NoError(t, err)
			return k
		}
		here, there := newECDH(mine, theirs), newECDH(theirs, mine)
		discovery, err := awskms.NewECDHDecrypter(t.Context(), awskms.ECDHConfig{Client: client, KeyID: theirs})
		require.NoError(t, err)
		stranger, err := awskms.NewECDHDecrypter(t.Context(), awskms.ECDHConfig{Client: client, KeyID: s.CreateKey(east, spec)})
		require.NoError(t, err)
		local, err := curve.GenerateKey(rand.Reader)
		require.NoError(t, err)
		toKMS, err := keyring.NewRawECDHEncrypter(ecdhPublicKey(t, s, theirs))
		require.NoError(t, err)
		rawToKMS, err := keyring.NewRawECDH(local, ecdhPublicKey(t, s, theirs))
		require.NoError(t, err)
		kmsToRaw, err := awskms.NewECDH(t.Context(), awskms.ECDHConfig{Client: client, KeyID: theirs, Peer: local.PublicKey()})
		require.NoError(t, err)

		for name, k := range map[string]keyringtest.Keyring{
			"own":                {Encrypter: here, Decrypter: here},
			"other way":          {Encrypter: here, Decrypter: there},
			"static, discovered": {Encrypter: here, Decrypter: discovery},
			"raw, ephemeral":     {Encrypter: toKMS, Decrypter: discovery},
			"raw to KMS":         {Encrypter: rawToKMS, Decrypter: kmsToRaw},
			"KMS to raw":         {Encrypter: kmsToRaw, Decrypter: rawToKMS},
		} {
			k.Stranger, k.MaxAlterations = stranger, 64
			run("ECDH "+string(spec)+" "+name, k)
		}
	}
}
