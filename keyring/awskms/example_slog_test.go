package awskms_test

import (
	"context"
	"log"
	"log/slog"
	"os"
	"time"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

// A slogger logs what clients, caches and keyrings do: failures as warnings, the rest for
// debugging.
type slogger struct{ *slog.Logger }

func (l slogger) log(ctx context.Context, err error, what string, took time.Duration, attrs ...slog.Attr) {
	level := slog.LevelDebug
	if err != nil {
		level, attrs = slog.LevelWarn, append(attrs, slog.String("error", envelope.ErrorKind(err)))
	}
	l.LogAttrs(ctx, level, "sealring: "+what, append(attrs, slog.Duration("took", took))...)
}

func (l slogger) client(ctx context.Context, e envelope.Event) {
	l.log(ctx, e.Err, e.Operation.String(), e.Duration, slog.Int64("bytes", e.Bytes))
}

func (l slogger) cache(ctx context.Context, e cache.Event) {
	if e.Kind <= cache.Bypass || e.Err != nil { // how requests were answered, and loads that failed
		l.log(ctx, e.Err, "cache "+e.Kind.String(), e.Duration)
	}
}

func (l slogger) kms(ctx context.Context, e awskms.Event) {
	l.log(ctx, e.Err, "kms "+e.Kind.String(), e.Duration, slog.String("operation", e.Operation),
		slog.String("region", e.Region), slog.String("code", e.Code), slog.Any("missing", e.Missing))
}

// All that happens is logged with package slog.
func ExampleObserver() {
	ctx := context.Background()
	server, err := kmstest.New(kmstest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	keyARN := server.CreateKey("us-east-1", kmstest.SymmetricDefault)
	kmsClient := newClient(server, "us-east-1") // in a program: kms.NewFromConfig(cfg)

	l := slogger{slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: short}))}
	kr, err := awskms.New(awskms.Config{Client: kmsClient, KeyID: keyARN, Observer: awskms.Observer{OnEvent: l.kms}})
	if err != nil {
		log.Fatal(err)
	}
	cached, err := cache.New(kr, cache.Limits{MaxAge: 5 * time.Minute, OnEvent: l.cache})
	if err != nil {
		log.Fatal(err)
	}
	defer cached.Close()
	client, err := envelope.NewFromManager(cached, &envelope.Options{OnEvent: l.client})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.Encrypt(ctx, []byte("order"), nil); err != nil {
		log.Fatal(err)
	}
	server.Deny("kms:Decrypt", keyARN)
	if _, err := client.Decrypt(ctx, []byte("not a message"), nil); err == nil {
		log.Fatal("decrypted")
	}
	// Output:
	// level=DEBUG msg="sealring: kms call" operation=GenerateDataKey region=us-east-1
	// level=DEBUG msg="sealring: cache miss"
	// level=DEBUG msg="sealring: new_key"
	// level=DEBUG msg="sealring: encrypt" bytes=5
	// level=WARN msg="sealring: decrypt" error=malformed
}

// short leaves out what is empty, and what differs each time.
func short(_ []string, a slog.Attr) slog.Attr {
	switch s := a.Value.String(); {
	case a.Key == slog.TimeKey, a.Key == "took", s == "", s == "0", s == "[]":
		return slog.Attr{}
	}
	return a
}
