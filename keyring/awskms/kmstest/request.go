package kmstest

import (
	"encoding/json"
)

// A request holds the members of every operation's input. A name means the same
// in all operations that have it, so that one type does for all of them.
type request struct {
	AliasName                      string
	CiphertextBlob                 []byte
	CustomKeyStoreId               string
	CustomerMasterKeySpec          string
	Description                    string
	DestinationEncryptionAlgorithm string
	DestinationEncryptionContext   map[string]string
	DestinationKeyId               string
	DryRun                         bool
	EncryptionAlgorithm            string
	EncryptionContext              map[string]string
	GrantTokens                    []string
	KeyAgreementAlgorithm          string
	KeyId                          string
	KeySpec                        string
	KeyUsage                       string
	Limit                          *int64
	Marker                         *string
	MultiRegion                    bool
	NumberOfBytes                  *int64
	Origin                         string
	PendingWindowInDays            *int64
	Plaintext                      []byte
	Policy                         string
	PublicKey                      []byte
	Recipient                      json.RawMessage
	ReplicaRegion                  string
	RotationPeriodInDays           *int64
	SourceEncryptionAlgorithm      string
	SourceEncryptionContext        map[string]string
	SourceKeyId                    string
	Tags                           []tag
	TargetKeyId                    string
	XksKeyId                       string
}

type tag struct{ TagKey, TagValue string }

// An answer holds the members of an operation's output: strings, booleans,
// numbers, []byte for blobs, float64 for timestamps, []string, answer and []answer.
type answer = map[string]any

const (
	maxContext     = 8192 // bytes of all names and values, as in the service
	maxGrantTokens = 10
	maxGrantToken  = 8192
	maxKeyID       = 2048
	maxPlaintext   = 4096
	maxCiphertext  = 6144
	maxPublicKey   = 8192
	maxPolicy      = 131072
	maxDescription = 8192
)

func decodeRequest(body []byte) (*request, error) {
	r := new(request)
	if len(body) == 0 {
		return r, nil
	}
	if err := json.Unmarshal(body, r); err != nil {
		// The decoder's own message may quote the body.
		return new(request), fault("SerializationException", "the request is not a JSON object of the operation's shape")
	}
	if string(r.Recipient) == "null" {
		r.Recipient = nil
	}
	return r, nil
}

// check holds what is the same for every operation.
func (r *request) check() error {
	if len(r.GrantTokens) > maxGrantTokens {
		return checkLength("grantTokens", len(r.GrantTokens), 0, maxGrantTokens)
	}
	for _, t := range r.GrantTokens {
		if err := checkLength("grantTokens", len(t), 1, maxGrantToken); err != nil {
			return err
		}
	}
	for _, ec := range []map[string]string{r.EncryptionContext, r.SourceEncryptionContext, r.DestinationEncryptionContext} {
		if contextSize(ec) > maxContext {
			return validation("Encryption context may not exceed %d bytes", maxContext)
		}
	}
	if len(r.Recipient) > 0 {
		return unsupported("Recipient is not supported")
	}
	return nil
}

func contextSize(ec map[string]string) int {
	n := 0
	for k, v := range ec {
		n += len(k) + len(v)
	}
	return n
}
