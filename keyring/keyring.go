// Package keyring makes and unwraps data keys: the keys that package envelope
// encrypts messages with.
//
// A keyring wraps data keys under a wrapping key, and unwraps them. [NewRawAES],
// [NewRawRSA] and [NewRawECDH] return keyrings whose wrapping keys are in the program, and
// [NewMulti] combines several keyrings. Those for AWS KMS are in package awskms. Most
// programs make a keyring, hand it to envelope.New, and use nothing else from here.
//
//	kr, err := keyring.NewRawAES("payments", "kek-2026", key)
//	if err != nil {
//		log.Fatal(err)
//	}
//	client, err := envelope.New(kr, nil)
//	if err != nil {
//		log.Fatal(err)
//	}
//
// To write a keyring of your own, implement [Encrypter], [Decrypter] or both,
// and run package keyringtest over it.
package keyring

import "context"

// An Encrypter makes data keys and wraps them.
type Encrypter interface {
	// OnEncrypt wraps the data key of m and appends the result to
	// m.EncryptedDataKeys. If m.DataKey is nil it first generates one, as
	// [EncryptionMaterials.GenerateDataKey] does, and never one that it has given
	// before: under the suites of items, where it is an intermediate key, a second data
	// key wrapped under the same one would repeat a nonce of AES-GCM. Otherwise it wraps
	// the one that is there and leaves it alone.
	//
	// On error m is as it was. When ctx is done the error wraps ctx's.
	// OnEncrypt does not change or keep m.Context, and is safe for concurrent
	// use with different m.
	OnEncrypt(ctx context.Context, m *EncryptionMaterials) error
}

// A Decrypter unwraps data keys.
type Decrypter interface {
	// OnDecrypt unwraps one of keys, trying in order those that it has the
	// wrapping key for, and sets m.DataKey to a new slice of
	// m.Suite.DataKeyLen bytes. It fails if m.DataKey is already set.
	//
	// When none can be unwrapped the error wraps [ErrNoMatchingKey] and the
	// reasons; a [NoMatchError] does that. On error m is as it was. When ctx is
	// done the error wraps ctx's. OnDecrypt does not change or keep keys or
	// m.Context, and is safe for concurrent use with different m.
	OnDecrypt(ctx context.Context, m *DecryptionMaterials, keys []EncryptedDataKey) error
}

// A Keyring makes, wraps and unwraps data keys.
type Keyring interface {
	Encrypter
	Decrypter
}
