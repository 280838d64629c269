package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"testing/iotest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/peerkey"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/branchkey"
	"github.com/go-sealring/sealring/keyring/branchkey/dynamostore"
)

// ours is this library. It keeps the keyrings that it makes.
type ours struct {
	mu       sync.Mutex
	keyrings map[string]peerkey.Keyring
	branches []*branchkey.Keyring
}

func newOurs() *ours { return &ours{keyrings: map[string]peerkey.Keyring{}} }

func (o *ours) close() {
	for _, b := range o.branches {
		_ = b.Close()
	}
}

func (o *ours) keyring(ctx context.Context, s *peerkey.Spec) (peerkey.Keyring, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return peerkey.Keyring{}, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if k, has := o.keyrings[string(b)]; has {
		return k, nil
	}
	k, err := s.Open(func(s *peerkey.Spec) (peerkey.Keyring, error) { return o.service(ctx, s) })
	if err == nil {
		o.keyrings[string(b)] = k
	}
	return k, err
}

var login = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: "any", SecretAccessKey: "any"}, nil
})

func kmsClient(region, endpoint string) *kms.Client {
	return kms.New(kms.Options{Region: region, BaseEndpoint: &endpoint, Credentials: login})
}

func dynamoClient(region, endpoint string) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{Region: region, BaseEndpoint: &endpoint, Credentials: login})
}

// service makes the keyrings that ask a service.
func (o *ours) service(ctx context.Context, s *peerkey.Spec) (k peerkey.Keyring, err error) {
	kind := s.Kind
	if kind == "master-key" {
		kind = s.Of
	}
	client := kmsClient(s.Region, s.Endpoint)
	switch kind {
	case "kms", "kms-mrk":
		return both(awskms.New(awskms.Config{Client: client, KeyID: s.Key, MRKAware: kind == "kms-mrk"}))
	case "kms-discovery", "kms-mrk-discovery":
		k.Decrypter, err = awskms.NewDiscovery(awskms.DiscoveryConfig{
			Client: client, Partition: s.Partition, Accounts: s.Accounts, MRKAware: kind == "kms-mrk-discovery",
		})
		return k, err
	case "kms-rsa":
		public, err := s.PublicRSA()
		if err != nil {
			return k, err
		}
		return both(awskms.NewRSA(awskms.RSAConfig{
			Client: client, KeyARN: s.Key, PublicKey: public, Algorithm: types.EncryptionAlgorithmSpec(s.Algorithm),
		}))
	case "kms-ecdh":
		return ecdhKeyring(ctx, s, client)
	case "branch-key":
		store, err := keyStore(s.Region, s.DynamoDB, s.KMS, s.KMSKey)
		if err != nil {
			return k, err
		}
		b, err := branchkey.New(branchkey.Config{KeyStore: store, ID: s.BranchKey, Limits: cache.Limits{MaxAge: time.Hour}})
		if err != nil {
			return k, err
		}
		o.branches = append(o.branches, b)
		return both(b, nil)
	}
	return k, fmt.Errorf("no keyring of kind %q", s.Kind)
}

func both[K keyring.Keyring](k K, err error) (peerkey.Keyring, error) { return peerkey.Both(k, err) }

func ecdhKeyring(ctx context.Context, s *peerkey.Spec, client *kms.Client) (k peerkey.Keyring, err error) {
	c := awskms.ECDHConfig{Client: client, KeyID: s.Key}
	if s.Schema == "discovery" {
		k.Decrypter, err = awskms.NewECDHDecrypter(ctx, c)
		return k, err
	}
	if c.PublicKey, err = peerkey.PublicECDH(s.Sender); err != nil {
		return k, err
	}
	if c.Peer, err = peerkey.PublicECDH(s.Recipient); err != nil {
		return k, err
	}
	return both(awskms.NewECDH(ctx, c))
}

const tableName, logicalName = "branch-keys", "the logical name"

// keyStore returns the table of branch keys.
func keyStore(region, dynamo, kmsURL, keyARN string) (*branchkey.KeyStore, error) {
	table, err := dynamostore.New(dynamostore.Config{Client: dynamoClient(region, dynamo), Table: tableName})
	if err != nil {
		return nil, err
	}
	return branchkey.NewKeyStore(branchkey.KeyStoreConfig{
		Store: table, Name: logicalName, KeyARN: keyARN, Client: kmsClient(region, kmsURL),
	})
}

// manager returns one that holds required pairs to be required, if there are any.
func (o *ours) manager(ctx context.Context, s *peerkey.Spec, required []string) (keyring.MaterialsManager, error) {
	k, err := o.keyring(ctx, s)
	if err != nil {
		return nil, err
	}
	m, err := keyring.NewManager(k)
	if err != nil || len(required) == 0 {
		return m, err
	}
	return keyring.NewRequiredContextManager(m, required...)
}

// encrypt writes a message, in memory or with a Writer.
func (o *ours) encrypt(ctx context.Context, x *exchange, plaintext []byte, stream bool) ([]byte, error) {
	m, err := o.manager(ctx, x.writes, x.required)
	if err != nil {
		return nil, err
	}
	e, err := envelope.NewEncrypterFromManager(m, &envelope.Options{Suite: x.suite, CommitmentPolicy: x.writerPolicy, FrameLength: x.frame})
	if err != nil {
		return nil, err
	}
	if !stream {
		return e.Encrypt(ctx, plaintext, x.context)
	}
	var msg bytes.Buffer
	w, err := e.NewWriter(ctx, &msg, x.context)
	if err != nil {
		return nil, err
	}
	if _, err := w.ReadFrom(iotest.HalfReader(bytes.NewReader(plaintext))); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return msg.Bytes(), nil
}

// A way is one of reading a message.
type way struct {
	name string
	read func(ctx context.Context, d *envelope.Decrypter, msg []byte, ec keyring.EncryptionContext) ([]byte, error)
}

var inMemory = way{"Decrypt", func(ctx context.Context, d *envelope.Decrypter, msg []byte, ec keyring.EncryptionContext) ([]byte, error) {
	return d.Decrypt(ctx, msg, ec)
}}

// ways are all of them.
var ways = []way{
	inMemory,
	{"Reader", func(ctx context.Context, d *envelope.Decrypter, msg []byte, ec keyring.EncryptionContext) ([]byte, error) {
		r, err := d.NewReader(ctx, iotest.HalfReader(bytes.NewReader(msg)), ec)
		if err != nil {
			return nil, err
		}
		b, err := io.ReadAll(r)
		if err != nil {
			return nil, err // what came before is no plaintext of the message
		}
		return b, nil
	}},
	{"ReaderAt", func(ctx context.Context, d *envelope.Decrypter, msg []byte, ec keyring.EncryptionContext) ([]byte, error) {
		r, err := d.NewReaderAt(ctx, bytes.NewReader(msg), int64(len(msg)), ec)
		if err != nil {
			return nil, err
		}
		return io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
	}},
}

// decrypter returns one that reads an exchange's message.
func (o *ours) decrypter(ctx context.Context, x *exchange) (*envelope.Decrypter, error) {
	m, err := o.manager(ctx, x.reads, x.required)
	if err != nil {
		return nil, err
	}
	return envelope.NewDecrypterFromManager(m, &envelope.Options{CommitmentPolicy: x.readerPolicy})
}
