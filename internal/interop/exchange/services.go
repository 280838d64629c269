package main

import (
	"context"
	"errors"

	"github.com/go-sealring/sealring/internal/mototest"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
	"github.com/go-sealring/sealring/keyring/branchkey/dynamostore"
)

const here, there = "us-east-1", "eu-west-1"

// services are an AWS KMS in memory, and moto's DynamoDB if it is installed.
type services struct {
	kms       *kmstest.Server
	moto      string // its URL, or empty
	branchARN string // the KMS key of the table of branch keys
}

// startServices starts them. They run until the context is done or stop is called.
func startServices(ctx context.Context) (s *services, stop func(), err error) {
	server, err := kmstest.New(kmstest.Config{Regions: []string{here, there}})
	if err != nil {
		return nil, nil, err
	}
	s = &services{kms: server, branchARN: server.CreateKey(here, kmstest.SymmetricDefault)}
	moto, stopMoto, err := mototest.Run(ctx)
	switch {
	case errors.Is(err, mototest.ErrNotInstalled):
		return s, server.Close, nil
	case err != nil:
		server.Close()
		return nil, nil, err
	}
	s.moto = moto
	stop = func() {
		server.Close()
		stopMoto()
	}
	table, err := dynamostore.New(dynamostore.Config{Client: dynamoClient(here, moto), Table: tableName})
	if err == nil {
		err = table.CreateTable(ctx)
	}
	if err != nil {
		stop()
		return nil, nil, err
	}
	return s, stop, nil
}

// createBranchKey makes a branch key in the table.
func (s *services) createBranchKey(id string) {
	store := must(keyStore(here, s.moto, s.kms.URL(here), s.branchARN))
	must(store.Create(context.Background(), id, keyring.EncryptionContext{"tenant": "42", "ключ": "значение 😀"}))
}
