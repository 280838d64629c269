// Command sealring encrypts and decrypts files and streams in the AWS Encryption SDK's
// message format, shows what a message says of itself, and makes the branch keys that
// tenants have.
//
//	sealring encrypt -k aws-kms:alias/orders?region=eu-west-1 -c tenant=42 -o a.sealed a.csv
//	sealring decrypt -k aws-kms:alias/orders?region=eu-west-1 -c tenant=42 -o a.csv a.sealed
//	sealring inspect a.sealed
//
// The manual is in sealring.1 beside this file, and sealring help COMMAND has a part of it.
package main

import (
	"context"
	"os"
)

//go:generate sh -c "go run . man >sealring.1"

func main() {
	ctx, settle := interruptible(context.Background())
	err := run(ctx, os.Args[1:])
	settle()
	os.Exit(report(os.Stderr, err))
}

// run runs the command that the arguments name.
func run(ctx context.Context, args []string) error {
	started := false
	root := newRoot(&started)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil && !started {
		err = usageError{err}
	}
	return err
}
