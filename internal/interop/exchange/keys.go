package main

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"

	"github.com/go-sealring/sealring/internal/peerkey"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

// A keyPair is one wrapping key, in the hands of who writes and of who reads.
type keyPair struct {
	name          string
	writes, reads *peerkey.Spec
}

func same(name string, s *peerkey.Spec) keyPair { return keyPair{name, s, s} }

// must is for errors that no input can bring about.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func aesSpec(namespace, name string, size int) *peerkey.Spec {
	key := make([]byte, size)
	rand.Read(key)
	return &peerkey.Spec{Kind: "raw-aes", Namespace: namespace, Name: name, Key: base64.StdEncoding.EncodeToString(key)}
}

// rsaKeys are made once, since that takes long.
var rsaKeys = sync.OnceValue(func() (keys [2]*rsa.PrivateKey) {
	for i := range keys {
		keys[i] = must(rsa.GenerateKey(rand.Reader, 2048))
	}
	return keys
})

func rsaSpec(padding string, key *rsa.PrivateKey) *peerkey.Spec {
	return &peerkey.Spec{
		Kind: "raw-rsa", Namespace: "interop", Name: "rsa", Padding: padding,
		Public: must(peerkey.PublicPEM(&key.PublicKey)), Private: must(peerkey.PrivatePEM(key)),
	}
}

// ecdhPairs has two parties with static keys, one that sends to the other's static key with
// an ephemeral one, and one that reads whatever was sent to its key.
func ecdhPairs(curve string) []keyPair {
	alice, bob := must(peerkey.Curves[curve].GenerateKey(rand.Reader)), must(peerkey.Curves[curve].GenerateKey(rand.Reader))
	spec := func(schema string, private *ecdh.PrivateKey, public *ecdh.PublicKey) *peerkey.Spec {
		s := &peerkey.Spec{Kind: "raw-ecdh", Schema: schema, Curve: curve}
		if private != nil {
			s.Private = must(peerkey.PrivatePEM(private))
		}
		if public != nil {
			s.Public = must(peerkey.PublicDER(public))
		}
		return s
	}
	static, discovery := spec("static", alice, bob.PublicKey()), spec("discovery", bob, nil)
	name := "ECDH " + curve
	return []keyPair{
		{name + " static", static, spec("static", bob, alice.PublicKey())},
		same(name+" static, sender reads", static),
		{name + " static to discovery", static, discovery},
		{name + " ephemeral to discovery", spec("ephemeral", nil, bob.PublicKey()), discovery},
	}
}

// multiPairs has messages that several keys wrap read by all of them together, and by some
// alone.
func multiPairs(name string, children []keyPair, alone ...int) []keyPair {
	multi := func(of func(keyPair) *peerkey.Spec) *peerkey.Spec {
		s := &peerkey.Spec{Kind: "multi", Generator: of(children[0])}
		for _, c := range children[1:] {
			s.Children = append(s.Children, of(c))
		}
		return s
	}
	writes := multi(func(k keyPair) *peerkey.Spec { return k.writes })
	pairs := []keyPair{{name, writes, multi(func(k keyPair) *peerkey.Spec { return k.reads })}}
	for _, i := range alone {
		pairs = append(pairs, keyPair{fmt.Sprintf("%s, read by number %d", name, i+1), writes, children[i].reads})
	}
	return pairs
}

// rawPairs are keys of all kinds that need no service.
func rawPairs() (pairs []keyPair) {
	for _, size := range []int{16, 24, 32} {
		pairs = append(pairs, same(fmt.Sprintf("AES-%d", 8*size), aesSpec("interop", "aes", size)))
	}
	pairs = append(pairs, same("AES of names past ASCII", aesSpec("ns-～", "name-🔑-é", 32)))
	for _, padding := range keysOf(peerkey.Paddings) {
		pairs = append(pairs, same("RSA "+padding, rsaSpec(padding, rsaKeys()[0])))
	}
	for _, curve := range keysOf(peerkey.Curves) {
		pairs = append(pairs, ecdhPairs(curve)...)
	}
	numbered := func(n int) (all []keyPair) {
		for i := range n {
			all = append(all, same("", aesSpec("interop", fmt.Sprintf("key %d", i+1), []int{32, 16, 24}[i%3])))
		}
		return all
	}
	pairs = append(pairs, multiPairs("multi of 2", numbered(2), 0, 1)...)
	pairs = append(pairs, multiPairs("multi of 20", numbered(20), 0, 9, 19)...)
	pairs = append(pairs, multiPairs("multi of AES and RSA", []keyPair{
		same("", aesSpec("interop", "first", 16)), same("", rsaSpec("OAEP-SHA256", rsaKeys()[0])), same("", rsaSpec("PKCS1", rsaKeys()[1])), same("", aesSpec("interop", "last", 32)),
	}, 0, 1, 3)...)
	return append(pairs, multiPairs("multi of AES and ECDH", []keyPair{
		same("", aesSpec("interop", "first", 16)), ecdhPairs("P-384")[0], same("", aesSpec("interop", "last", 32)),
	}, 0, 1, 2)...)
}

func account(arn string) string { return strings.Split(arn, ":")[4] }

func (s *services) symmetric(kind string) *peerkey.Spec {
	return &peerkey.Spec{Kind: kind, Key: s.kms.CreateKey(here, kmstest.SymmetricDefault), Region: here, Endpoint: s.kms.URL(here)}
}

func (s *services) discovery(kind, region, account string) *peerkey.Spec {
	return &peerkey.Spec{Kind: kind, Region: region, Endpoint: s.kms.URL(region), Partition: "aws", Accounts: []string{account}}
}

// multiRegion has what was written in one region read in another, with the replica there.
func (s *services) multiRegion() (writes, reads *peerkey.Spec) {
	arn := s.kms.CreateMultiRegionKey(here, kmstest.SymmetricDefault)
	replica := s.kms.Replicate(arn, there)
	return &peerkey.Spec{Kind: "kms-mrk", Key: arn, Region: here, Endpoint: s.kms.URL(here)},
		&peerkey.Spec{Kind: "kms-mrk", Key: replica, Region: there, Endpoint: s.kms.URL(there)}
}

func (s *services) rsa(algorithm string) *peerkey.Spec {
	arn := s.kms.CreateKey(here, kmstest.RSA2048)
	public := must(x509.ParsePKIXPublicKey(s.kms.PublicKey(arn)))
	return &peerkey.Spec{Kind: "kms-rsa", Key: arn, Region: here, Endpoint: s.kms.URL(here), Algorithm: algorithm, Public: must(peerkey.PublicPEM(public))}
}

func (s *services) ecdh(curve string, spec kmstest.KeySpec) []keyPair {
	alice, bob := s.kms.CreateKey(here, spec), s.kms.CreateKey(here, spec)
	of := func(schema, own, peer string) *peerkey.Spec {
		k := &peerkey.Spec{Kind: "kms-ecdh", Schema: schema, Curve: curve, Key: own, Region: here, Endpoint: s.kms.URL(here)}
		if schema == "static" {
			k.Sender = base64.StdEncoding.EncodeToString(s.kms.PublicKey(own))
			k.Recipient = base64.StdEncoding.EncodeToString(s.kms.PublicKey(peer))
		}
		return k
	}
	return []keyPair{
		{"KMS ECDH " + curve, of("static", alice, bob), of("static", bob, alice)},
		{"KMS ECDH " + curve + " discovery", of("static", alice, bob), of("discovery", bob, "")},
	}
}

// kmsPairs are keys in the KMS.
func (s *services) kmsPairs() []keyPair {
	key := s.symmetric("kms")
	mrk, replica := s.multiRegion()
	pairs := []keyPair{
		same("KMS key", key),
		{"KMS discovery", key, s.discovery("kms-discovery", here, account(key.Key))},
		{"KMS multi-Region key", mrk, replica},
		{"KMS multi-Region discovery", mrk, s.discovery("kms-mrk-discovery", there, account(mrk.Key))},
	}
	for _, algorithm := range []string{"RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"} {
		pairs = append(pairs, same("KMS "+algorithm, s.rsa(algorithm)))
	}
	pairs = append(pairs, s.ecdh("P-256", kmstest.ECCP256)...)
	pairs = append(pairs, s.ecdh("P-384", kmstest.ECCP384)...)
	pairs = append(pairs, s.ecdh("P-521", kmstest.ECCP521)...)
	return append(pairs, multiPairs("multi of KMS and AES", []keyPair{
		same("", s.symmetric("kms")), same("", aesSpec("interop", "aes", 32)), {"", mrk, replica},
	}, 0, 1, 2)...)
}

// branchKey returns a keyring for a branch key.
func (s *services) branchKey(id string) *peerkey.Spec {
	return &peerkey.Spec{
		Kind: "branch-key", Table: tableName, Logical: logicalName, KMSKey: s.branchARN, BranchKey: id,
		Region: here, KMS: s.kms.URL(here), DynamoDB: s.moto,
	}
}
