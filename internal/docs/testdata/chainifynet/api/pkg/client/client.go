// Package client and those beside it declare what main.go uses of
// github.com/chainifynet/aws-encryption-sdk-go v0.5.0, with its names and types and nothing
// behind them: so main.go compiles where that module is not to be had. Take no behaviour from
// here.
package client

import (
	"context"

	"github.com/chainifynet/aws-encryption-sdk-go/pkg/model"
	"github.com/chainifynet/aws-encryption-sdk-go/pkg/model/format"
	"github.com/chainifynet/aws-encryption-sdk-go/pkg/suite"
)

type Client struct{}

func NewClient() *Client { panic("declared only") }

func (*Client) Encrypt(context.Context, []byte, suite.EncryptionContext, model.CryptoMaterialsManager, ...EncryptOptionFunc) ([]byte, format.MessageHeader, error) {
	panic("declared only")
}

func (*Client) Decrypt(context.Context, []byte, model.CryptoMaterialsManager, ...DecryptOptionFunc) ([]byte, format.MessageHeader, error) {
	panic("declared only")
}

type (
	EncryptOptions    struct{}
	DecryptOptions    struct{}
	EncryptOptionFunc func(*EncryptOptions) error
	DecryptOptionFunc func(*DecryptOptions) error
)

func WithAlgorithm(*suite.AlgorithmSuite) EncryptOptionFunc { panic("declared only") }

func WithFrameLength(int) EncryptOptionFunc { panic("declared only") }
