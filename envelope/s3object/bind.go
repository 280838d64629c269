package s3object

import (
	"maps"

	"github.com/go-sealring/sealring/keyring"
)

// A Binding says to what an object is bound by its encryption context: that is what it must
// be found under to open.
//
// Bound objects are copied and renamed with [Client.Copy]. S3's own copy to another key, and
// what is made of it, such as a rename in a console, yields objects that do not open there.
//
// The name of each object then is in its encryption context, and so in what a key service
// logs (CloudTrail for AWS KMS) and, if it is KMS, can be asked for by its policies. Each
// object has a data key of its own, also if there is a cache: one call to KMS to write it, and
// one to read it. With branch keys or a raw key there is no call.
type Binding int

const (
	// BindKey binds to the key, as the pair "s3-key". The object opens in every bucket, so
	// that replication and backups work. Whoever can write to a bucket can put in an object
	// of the same key from another one under the same keys.
	BindKey Binding = iota

	// BindBucketAndKey binds to the bucket too, as the pair "s3-bucket": by the name that
	// requests give, which differs for an access point. A replica in another bucket does not
	// open.
	BindBucketAndKey

	// BindNothing adds no pair. It is for objects that others read or write, which do not
	// know of the pairs, and for many small objects with a cache, which then share data keys.
	// Whoever can write to the bucket can put one object in another's place, unless the
	// caller's encryption context tells them apart.
	BindNothing
)

const (
	keyPair    = "s3-key"
	bucketPair = "s3-bucket"
)

// bound returns the encryption context of an object: that of the caller, and the pairs that
// bind it.
func (b Binding) bound(ec keyring.EncryptionContext, bucket, key string) (keyring.EncryptionContext, error) {
	pairs := b.pairs(bucket, key)
	for name, value := range pairs {
		if given, has := ec[name]; has && given != value {
			return nil, invalid("the pair %q of the encryption context: it is for the object's own name; leave it out", name)
		}
	}
	all := keyring.EncryptionContext{}
	maps.Copy(all, ec)
	maps.Copy(all, pairs)
	return all, nil
}

func (b Binding) pairs(bucket, key string) keyring.EncryptionContext {
	switch b {
	case BindNothing:
		return nil
	case BindBucketAndKey:
		return keyring.EncryptionContext{bucketPair: bucket, keyPair: key}
	default:
		return keyring.EncryptionContext{keyPair: key}
	}
}
