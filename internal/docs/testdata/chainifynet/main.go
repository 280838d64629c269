// Command chainifynet writes a message with github.com/chainifynet/aws-encryption-sdk-go
// under a static key, and one under a KMS key at an endpoint. The program is in testdata since
// a module proxy may not have that module: it is run by hand, TestChainifynetCompiles compiles
// it with what api declares, and TestChainifynet reads what it wrote.
//
//	go run . >../chainifynet.json
package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"log"
	"os"

	"github.com/chainifynet/aws-encryption-sdk-go/pkg/client"
	"github.com/chainifynet/aws-encryption-sdk-go/pkg/materials"
	"github.com/chainifynet/aws-encryption-sdk-go/pkg/model"
	"github.com/chainifynet/aws-encryption-sdk-go/pkg/providers/kmsprovider"
	"github.com/chainifynet/aws-encryption-sdk-go/pkg/providers/rawprovider"
	"github.com/chainifynet/aws-encryption-sdk-go/pkg/suite"
)

// A message has the key that opens it, which protects nothing else.
type message struct {
	Name      string
	Namespace string
	KeyName   string
	Key       string // hexadecimal
	Context   map[string]string
	Plaintext string
	Message   []byte
}

func underKMS(ctx context.Context, keyARN string, plaintext []byte) ([]byte, error) {
	provider, err := kmsprovider.New(keyARN)
	if err != nil {
		return nil, err
	}
	manager, err := materials.NewDefault(provider)
	if err != nil {
		return nil, err
	}
	sdk := client.NewClient()

	msg, _, err := sdk.Encrypt(ctx, plaintext, map[string]string{"tenant": "42"}, manager)
	if err != nil {
		return nil, err
	}
	plaintext, header, err := sdk.Decrypt(ctx, msg, manager)
	if err != nil {
		return nil, err
	}
	if got, ok := header.AADData().EncryptionContext()["tenant"]; !ok || got != "42" {
		log.Fatal("another tenant's")
	}
	return msg, nil
}

func underStaticKey(ctx context.Context, key, plaintext []byte, options ...client.EncryptOptionFunc) ([]byte, error) {
	provider, err := rawprovider.NewWithOpts("raw", rawprovider.WithStaticKey("static1", key))
	if err != nil {
		return nil, err
	}
	manager, err := materials.NewDefault(provider)
	if err != nil {
		return nil, err
	}
	sdk := client.NewClient()
	msg, _, err := sdk.Encrypt(ctx, plaintext, map[string]string{"tenant": "42"}, manager, options...)
	return msg, err
}

var _ model.CryptoMaterialsManager = (*materials.DefaultCryptoMaterialsManager)(nil)

func main() {
	ctx := context.Background()
	key := []byte("0123456789abcdef0123456789abcdef")
	var all []message
	for name, options := range map[string][]client.EncryptOptionFunc{
		"default":  nil,
		"unsigned": {client.WithAlgorithm(suite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY)},
		"frames":   {client.WithFrameLength(128)},
	} {
		plaintext := []byte("attack at dawn")
		if name == "frames" {
			plaintext = []byte(hex.EncodeToString(make([]byte, 200)))
		}
		msg, err := underStaticKey(ctx, key, plaintext, options...)
		if err != nil {
			log.Fatal(err)
		}
		all = append(all, message{name, "raw", "static1", hex.EncodeToString(key), map[string]string{"tenant": "42"}, string(plaintext), msg})
	}
	if len(os.Args) > 1 { // a key's ARN; AWS_ENDPOINT_URL_KMS says where
		msg, err := underKMS(ctx, os.Args[1], []byte("attack at dawn"))
		if err != nil {
			log.Fatal(err)
		}
		all = append(all, message{Name: "kms", KeyName: os.Args[1], Context: map[string]string{"tenant": "42"}, Plaintext: "attack at dawn", Message: msg})
	}
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", "\t")
	if err := out.Encode(all); err != nil {
		log.Fatal(err)
	}
}
