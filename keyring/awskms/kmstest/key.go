package kmstest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"
)

// A key is one KMS key in one region. Its fields are guarded by store.mu, but for
// those that never change: id, arn, region, spec, created.
type key struct {
	*family
	arn, region, description string
	created                  time.Time
	state                    string
	deletion                 time.Time // of a key in statePendingDeletion
	window                   int64     // of a key in statePendingReplicaDeletion, in days
}

// The states of keys, by the service's names.
const (
	stateEnabled                = "Enabled"
	stateDisabled               = "Disabled"
	statePendingDeletion        = "PendingDeletion"
	statePendingReplicaDeletion = "PendingReplicaDeletion"
)

// A family is what a multi-region key's primary and replicas share. A key of one
// region is a family of its own.
type family struct {
	id          string
	spec        *keySpec
	multiRegion bool
	primary     string          // region
	members     map[string]*key // by region; guarded by store.mu

	// Symmetric: the last one encrypts, all decrypt. Guarded by store.mu; only
	// ever appended to, so that a slice taken under the lock stays good.
	materials []*material

	rsa  *rsa.PrivateKey  // RSA only
	ecdh *ecdh.PrivateKey // elliptic curves only
}

// A material is one version of a symmetric key.
type material struct {
	id   string
	aead cipher.AEAD // draws its nonces itself
}

func newMaterial() (*material, error) {
	var k [32]byte
	var id [32]byte
	rand.Read(k[:])
	rand.Read(id[:])
	block, err := aes.NewCipher(k[:])
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &material{hex.EncodeToString(id[:]), aead}, nil
}

// newFamily makes the key material, which takes a while for RSA: call it without
// holding a lock.
func newFamily(spec *keySpec, multiRegion bool) (*family, error) {
	f := &family{id: newUUID(), spec: spec, multiRegion: multiRegion, members: map[string]*key{}}
	if multiRegion {
		var id [16]byte
		rand.Read(id[:])
		f.id = "mrk-" + hex.EncodeToString(id[:])
	}
	var err error
	switch {
	case spec.rsaBits > 0:
		f.rsa, err = rsa.GenerateKey(rand.Reader, spec.rsaBits)
	case spec.curve != nil:
		f.ecdh, err = spec.curve.GenerateKey(rand.Reader)
	default:
		var m *material
		m, err = newMaterial()
		f.materials = []*material{m}
	}
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	return f, nil
}

func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// replicas returns the regions of the family's replicas, sorted.
func (f *family) replicas() []string {
	regions := slices.Sorted(maps.Keys(f.members))
	return slices.DeleteFunc(regions, func(r string) bool { return r == f.primary })
}

// usable reports the state of a key that cannot be used for cryptography.
func (k *key) usable() error {
	switch k.state {
	case stateEnabled:
		return nil
	case stateDisabled:
		return fault("DisabledException", "%s is disabled.", k.arn)
	default:
		return k.notPending()
	}
}

// notPending reports the state of a key that is to be deleted.
func (k *key) notPending() error {
	switch k.state {
	case statePendingDeletion:
		return invalidState(k.arn, "is pending deletion")
	case statePendingReplicaDeletion:
		return invalidState(k.arn, "is pending replica deletion")
	}
	return nil
}

// metadata is the KeyMetadata of DescribeKey.
func (k *key) metadata(account string) answer {
	m := answer{
		"AWSAccountId":          account,
		"Arn":                   k.arn,
		"CreationDate":          epoch(k.created),
		"CustomerMasterKeySpec": string(k.spec.name),
		"Description":           k.description,
		"Enabled":               k.state == stateEnabled,
		"KeyId":                 k.id,
		"KeyManager":            "CUSTOMER",
		"KeySpec":               string(k.spec.name),
		"KeyState":              k.state,
		"KeyUsage":              k.spec.usage,
		"MultiRegion":           k.multiRegion,
		"Origin":                "AWS_KMS",
	}
	k.algorithms(m)
	if k.spec.symmetric() {
		m["CurrentKeyMaterialId"] = k.materials[len(k.materials)-1].id
	}
	if k.state == statePendingDeletion {
		m["DeletionDate"] = epoch(k.deletion)
	}
	if k.state == statePendingReplicaDeletion {
		m["PendingDeletionWindowInDays"] = k.window
	}
	if k.multiRegion {
		member := func(region string) answer {
			// The primary is there too: it is not deleted before its replicas.
			return answer{"Arn": k.members[region].arn, "Region": region}
		}
		kind := "REPLICA"
		if k.region == k.primary {
			kind = "PRIMARY"
		}
		replicas := []answer{}
		for _, r := range k.replicas() {
			replicas = append(replicas, member(r))
		}
		m["MultiRegionConfiguration"] = answer{
			"MultiRegionKeyType": kind,
			"PrimaryKey":         member(k.primary),
			"ReplicaKeys":        replicas,
		}
	}
	return m
}

// algorithms adds the list of algorithms that the key's usage has.
func (k *key) algorithms(m answer) {
	name := "EncryptionAlgorithms"
	if k.spec.usage == keyAgreement {
		name = "KeyAgreementAlgorithms"
	}
	m[name] = slices.Clone(k.spec.algorithms)
}

// epoch is a timestamp as the protocol carries it: seconds, with milliseconds.
func epoch(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
