package interop

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"sync"
	"testing"

	mpltypes "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographymaterialproviderssmithygeneratedtypes"
	primitives "github.com/aws/aws-cryptographic-material-providers-library/releases/go/primitives/awscryptographyprimitivessmithygeneratedtypes"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring"
)

// A keyPair is one wrapping key in the hands of both sides. Where writer and reader
// hold different halves, each has two keyrings.
type keyPair struct {
	name                      string
	oursWrites, oursReads     keyring.Keyring
	theirsWrites, theirsReads mpltypes.IKeyring
}

func same(name string, o keyring.Keyring, a mpltypes.IKeyring) keyPair {
	return keyPair{name, o, o, a, a}
}

func aesPair(t *testing.T, namespace, name string, size int) keyPair {
	key := make([]byte, size)
	rand.Read(key)
	o, err := keyring.NewRawAES(namespace, name, key)
	require.NoError(t, err)
	a, err := awsProviders(t).CreateRawAesKeyring(t.Context(), mpltypes.CreateRawAesKeyringInput{
		KeyNamespace: namespace,
		KeyName:      name,
		WrappingKey:  key,
		WrappingAlg:  mpltypes.AesWrappingAlg(fmt.Sprintf("ALG_AES%d_GCM_IV12_TAG16", 8*size)),
	})
	require.NoError(t, err)
	return same(fmt.Sprintf("AES-%d %s", 8*size, name), o, a)
}

var rsaPaddings = map[mpltypes.PaddingScheme]keyring.RSAPadding{
	mpltypes.PaddingSchemePkcs1:          keyring.RSAPKCS1,
	mpltypes.PaddingSchemeOaepSha1Mgf1:   keyring.RSAOAEPSHA1,
	mpltypes.PaddingSchemeOaepSha256Mgf1: keyring.RSAOAEPSHA256,
	mpltypes.PaddingSchemeOaepSha384Mgf1: keyring.RSAOAEPSHA384,
	mpltypes.PaddingSchemeOaepSha512Mgf1: keyring.RSAOAEPSHA512,
}

// rsaKey is made once, since that takes long.
var rsaKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func rsaPair(t *testing.T, padding mpltypes.PaddingScheme) keyPair {
	key, err := rsaKey()
	require.NoError(t, err)
	o, err := keyring.NewRawRSA("interop", "rsa", &key.PublicKey, key, rsaPaddings[padding])
	require.NoError(t, err)
	a, err := awsProviders(t).CreateRawRsaKeyring(t.Context(), mpltypes.CreateRawRsaKeyringInput{
		KeyNamespace:  "interop",
		KeyName:       "rsa",
		PaddingScheme: padding,
		PrivateKey:    privatePEM(t, key),
		PublicKey:     publicPEM(t, &key.PublicKey),
	})
	require.NoError(t, err)
	return same("RSA "+string(padding), o, a)
}

var curves = map[primitives.ECDHCurveSpec]ecdh.Curve{
	primitives.ECDHCurveSpecEccNistP256: ecdh.P256(),
	primitives.ECDHCurveSpecEccNistP384: ecdh.P384(),
	primitives.ECDHCurveSpecEccNistP521: ecdh.P521(),
}

// ecdhPairs has two parties with static keys, one that sends to the other's static
// key with an ephemeral one, and one that reads whatever was sent to its key.
func ecdhPairs(t *testing.T, spec primitives.ECDHCurveSpec) []keyPair {
	alice, err := curves[spec].GenerateKey(rand.Reader)
	require.NoError(t, err)
	bob, err := curves[spec].GenerateKey(rand.Reader)
	require.NoError(t, err)

	create := func(scheme mpltypes.RawEcdhStaticConfigurations) mpltypes.IKeyring {
		k, err := awsProviders(t).CreateRawEcdhKeyring(t.Context(), mpltypes.CreateRawEcdhKeyringInput{
			CurveSpec: spec, KeyAgreementScheme: scheme,
		})
		require.NoError(t, err)
		return k
	}
	static := func(private *ecdh.PrivateKey, public *ecdh.PublicKey) (keyring.Keyring, mpltypes.IKeyring) {
		o, err := keyring.NewRawECDH(private, public)
		require.NoError(t, err)
		return o, create(&mpltypes.RawEcdhStaticConfigurationsMemberRawPrivateKeyToStaticPublicKey{
			Value: mpltypes.RawPrivateKeyToStaticPublicKeyInput{
				SenderStaticPrivateKey: privatePEM(t, private), RecipientPublicKey: publicDER(t, public),
			},
		})
	}
	aliceOurs, aliceTheirs := static(alice, bob.PublicKey())
	bobOurs, bobTheirs := static(bob, alice.PublicKey())

	sender, err := keyring.NewRawECDHEncrypter(bob.PublicKey())
	require.NoError(t, err)
	ephemeral := create(&mpltypes.RawEcdhStaticConfigurationsMemberEphemeralPrivateKeyToStaticPublicKey{
		Value: mpltypes.EphemeralPrivateKeyToStaticPublicKeyInput{RecipientPublicKey: publicDER(t, bob.PublicKey())},
	})
	recipient, err := keyring.NewRawECDHDecrypter(bob)
	require.NoError(t, err)
	discovery := create(&mpltypes.RawEcdhStaticConfigurationsMemberPublicKeyDiscovery{
		Value: mpltypes.PublicKeyDiscoveryInput{RecipientStaticPrivateKey: privatePEM(t, bob)},
	})
	name := "ECDH " + string(spec)
	return []keyPair{
		{name + " static", aliceOurs, bobOurs, aliceTheirs, bobTheirs},
		same(name+" static, sender reads", aliceOurs, aliceTheirs),
		{name + " static to discovery", aliceOurs, half{nil, recipient}, aliceTheirs, discovery},
		{name + " ephemeral to discovery", half{sender, nil}, half{nil, recipient}, ephemeral, discovery},
	}
}

// half is a keyring of which the test uses one side.
type half struct {
	keyring.Encrypter
	keyring.Decrypter
}

// multiPairs has messages that several keys wrap read by each of them.
func multiPairs(t *testing.T, children ...keyPair) []keyPair {
	var ours []keyring.Keyring
	var theirs []mpltypes.IKeyring
	for _, c := range children {
		ours, theirs = append(ours, c.oursWrites), append(theirs, c.theirsWrites)
	}
	o, err := keyring.NewMulti(ours[0], ours[1:]...)
	require.NoError(t, err)
	a, err := awsProviders(t).CreateMultiKeyring(t.Context(), mpltypes.CreateMultiKeyringInput{
		Generator: theirs[0], ChildKeyrings: theirs[1:],
	})
	require.NoError(t, err)
	pairs := []keyPair{same("multi", o, a)}
	for _, c := range children {
		pairs = append(pairs, keyPair{"multi, read by " + c.name, o, c.oursReads, a, c.theirsReads})
	}
	return pairs
}

func allKeyPairs(t *testing.T) []keyPair {
	pairs := []keyPair{aesPair(t, "ns-～", "name-🔑-é", 32)}
	for _, size := range []int{16, 24, 32} {
		pairs = append(pairs, aesPair(t, "interop", "aes", size))
	}
	for padding := range rsaPaddings {
		pairs = append(pairs, rsaPair(t, padding))
	}
	for spec := range curves {
		pairs = append(pairs, ecdhPairs(t, spec)...)
	}
	return append(pairs, multiPairs(t,
		aesPair(t, "interop", "first", 16), rsaPair(t, mpltypes.PaddingSchemeOaepSha256Mgf1),
		ecdhPairs(t, primitives.ECDHCurveSpecEccNistP384)[0], aesPair(t, "interop", "last", 32))...)
}
