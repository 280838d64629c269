package main

import (
	"context"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/go-sealring/sealring/keyring/awskms"
)

// A countingClient counts the calls that a keyring makes in one region. A keyring
// takes any value with these three methods, so that this works on AWS too.
type countingClient struct {
	awskms.Client
	n atomic.Int64
}

func (c *countingClient) calls() int { return int(c.n.Load()) }

func (c *countingClient) GenerateDataKey(ctx context.Context, in *kms.GenerateDataKeyInput, o ...func(*kms.Options)) (*kms.GenerateDataKeyOutput, error) {
	c.n.Add(1)
	return c.Client.GenerateDataKey(ctx, in, o...)
}

func (c *countingClient) Encrypt(ctx context.Context, in *kms.EncryptInput, o ...func(*kms.Options)) (*kms.EncryptOutput, error) {
	c.n.Add(1)
	return c.Client.Encrypt(ctx, in, o...)
}

func (c *countingClient) Decrypt(ctx context.Context, in *kms.DecryptInput, o ...func(*kms.Options)) (*kms.DecryptOutput, error) {
	c.n.Add(1)
	return c.Client.Decrypt(ctx, in, o...)
}
