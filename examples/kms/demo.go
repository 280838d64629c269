package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

const (
	field   = "blood group 0+"
	fileLen = 16 << 20 // KMS by itself encrypts 4,096 bytes at most
)

// demo is what the steps share.
type demo struct {
	out    io.Writer
	kms    *kms.Client
	keyARN string
	server *kmstest.Server // nil on AWS

	client *envelope.Client
	sealed []byte // the field, encrypted
}

// fieldContext is bound to the encrypted field. KMS sees it too: policies can
// demand it, and the audit log has it.
func fieldContext() keyring.EncryptionContext {
	return keyring.EncryptionContext{"tenant": "clinic-42", "table": "patients"}
}

// basics are the steps that need no more than a key that may be used.
func (d *demo) basics(ctx context.Context) error {
	kr, err := awskms.New(awskms.Config{Client: d.kms, KeyID: d.keyARN})
	if err != nil {
		return err
	}
	if d.client, err = envelope.New(kr, nil); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "keyring  %v\n", kr)
	for _, step := range []func(context.Context) error{d.field, d.header, d.file, d.wrongContext} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) field(ctx context.Context) (err error) {
	fmt.Fprint(d.out, "\na field\n")
	if d.sealed, err = d.client.Encrypt(ctx, []byte(field), fieldContext()); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "  encrypted  %d bytes to %d\n", len(field), len(d.sealed))
	return d.reads(ctx, d.client, d.sealed)
}

// reads checks that a message decrypts to the field.
func (d *demo) reads(ctx context.Context, client *envelope.Client, msg []byte) error {
	got, err := client.Decrypt(ctx, msg, fieldContext())
	if err != nil {
		return err
	}
	if string(got) != field {
		return errors.New("decrypted to something else than the field")
	}
	fmt.Fprint(d.out, "  decrypted  equal\n")
	return nil
}

// header shows what anybody can read in the message, and checks that the key
// which wrapped the data key is the one that was asked to.
func (d *demo) header(context.Context) error {
	h, err := envelope.ParseHeader(bytes.NewReader(d.sealed), nil)
	if err != nil {
		return err
	}
	fmt.Fprint(d.out, "\nits header, readable without a key\n")
	fmt.Fprintf(d.out, "  suite        %v\n", h.Suite)
	fmt.Fprintf(d.out, "  context      %v\n", h.Context)
	for _, k := range h.EncryptedDataKeys {
		fmt.Fprintf(d.out, "  wrapped key  by %s, %d bytes\n", k.KeyName(), len(k.Ciphertext))
	}
	return wrappedBy(d.sealed, d.keyARN)
}

// wrappedBy checks that one key, and no other, can unwrap a message's data key.
func wrappedBy(msg []byte, keyARN string) error {
	h, err := envelope.ParseHeader(bytes.NewReader(msg), nil)
	if err != nil {
		return err
	}
	if k := h.EncryptedDataKeys; len(k) != 1 || k[0].ProviderID != awskms.ProviderID || k[0].KeyName() != keyARN {
		return fmt.Errorf("the header does not name %s alone", keyARN)
	}
	return nil
}

// file encrypts and decrypts a payload as a stream. Only its data key goes
// through KMS, in one call each way.
func (d *demo) file(ctx context.Context) error {
	content := make([]byte, fileLen)
	rand.Read(content)
	ec := keyring.EncryptionContext{"tenant": "clinic-42", "purpose": "scan"}
	before := d.count()

	var sealed bytes.Buffer // a file or an upload in a program of yours
	w, err := d.client.NewWriter(ctx, &sealed, ec)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, bytes.NewReader(content)); err != nil {
		return err
	}
	if err := w.Close(); err != nil { // writes the end of the message
		return err
	}
	fmt.Fprint(d.out, "\na file, as a stream\n")
	fmt.Fprintf(d.out, "  encrypted  %d bytes to %d\n", len(content), sealed.Len())

	r, err := d.client.NewReader(ctx, &sealed, ec)
	if err != nil {
		return err
	}
	var got bytes.Buffer
	if _, err := io.Copy(&got, r); err != nil {
		return err
	}
	if !bytes.Equal(got.Bytes(), content) {
		return errors.New("decrypted to something else than the file")
	}
	fmt.Fprint(d.out, "  decrypted  equal\n")
	if n := d.count() - before; d.server != nil && n != 2 {
		return fmt.Errorf("the file took %d calls to KMS, want 2", n)
	}
	return nil
}

// wrongContext takes the field for another tenant's, first as a program that
// mixed up its rows would, then as an attacker who can rewrite the message.
func (d *demo) wrongContext(ctx context.Context) error {
	fmt.Fprint(d.out, "\nrefused\n")
	other := fieldContext()
	other["tenant"] = "clinic-43"
	before := d.count()
	_, err := d.client.Decrypt(ctx, d.sealed, other)
	if !errors.Is(err, envelope.ErrContextMismatch) {
		return fmt.Errorf("wrong context: got %v, want %v", err, envelope.ErrContextMismatch)
	}
	if d.count() != before {
		return errors.New("wrong context: KMS was asked all the same")
	}
	d.refusal("wrong context, found before KMS is asked", err)

	rewritten := bytes.Replace(d.sealed, []byte("clinic-42"), []byte("clinic-43"), 1)
	return d.refusedByKMS(ctx, "wrong context, and the header rewritten to match", rewritten, other, "InvalidCiphertextException")
}

// refusedByPolicyAndState needs the embedded KMS.
func (d *demo) refusedByPolicyAndState(ctx context.Context) error {
	allow := d.server.Deny("kms:Decrypt", d.keyARN)
	err := d.refusedByKMS(ctx, "kms:Decrypt denied", d.sealed, fieldContext(), "AccessDeniedException")
	allow()
	if err != nil {
		return err
	}
	d.server.Disable(d.keyARN)
	err = d.refusedByKMS(ctx, "key disabled", d.sealed, fieldContext(), "DisabledException")
	d.server.Enable(d.keyARN)
	if err != nil {
		return err
	}
	fmt.Fprint(d.out, "\nallowed and enabled again\n")
	return d.reads(ctx, d.client, d.sealed)
}

// refusedByKMS checks that a message is not decrypted, and that the cause which
// KMS gave can be told from the error.
func (d *demo) refusedByKMS(ctx context.Context, what string, msg []byte, ec keyring.EncryptionContext, code string) error {
	_, err := d.client.Decrypt(ctx, msg, ec)
	var e *awskms.Error
	if !errors.As(err, &e) || e.Code != code {
		return fmt.Errorf("%s: got %v, want %s", what, err, code)
	}
	d.refusal(what, err)
	return nil
}

func (d *demo) refusal(what string, err error) {
	fmt.Fprintf(d.out, "  %s:\n    %v\n", what, err)
}

// alias encrypts under an alias, points it at a new key, as keys with imported
// material are rotated, and reads what was encrypted before and after. It needs
// the embedded KMS.
func (d *demo) alias(ctx context.Context) error {
	const name = "alias/patients"
	fmt.Fprintf(d.out, "\n%s\n", name)
	d.server.Alias(name, d.keyARN)

	// The alias alone does not say which keys a message may name. It is enough to
	// encrypt.
	byAlias := awskms.Config{Client: d.kms, KeyID: name}
	_, err := awskms.New(byAlias)
	if !errors.Is(err, envelope.ErrInvalidArgument) {
		return fmt.Errorf("alias without a list of keys: got %v, want %v", err, envelope.ErrInvalidArgument)
	}
	d.refusal("refused, for want of a list of keys", err)
	kr, err := awskms.NewEncrypter(byAlias)
	if err != nil {
		return err
	}
	encrypter, err := envelope.NewEncrypter(kr, nil)
	if err != nil {
		return err
	}
	before, err := encrypter.Encrypt(ctx, []byte(field), fieldContext())
	if err != nil {
		return err
	}
	if err := wrappedBy(before, d.keyARN); err != nil {
		return err
	}

	newARN := d.server.CreateKey(d.kms.Options().Region, kmstest.SymmetricDefault)
	d.server.Alias(name, newARN)
	resolved, err := awskms.ResolveKey(ctx, d.kms, name)
	if err != nil {
		return err
	}
	if resolved != newARN {
		return fmt.Errorf("%s stands for %s, want %s", name, resolved, newARN)
	}
	fmt.Fprintf(d.out, "  pointed at %s\n", resolved)

	// A program of yours has the list in its configuration, the old keys with
	// the new.
	listed, err := clientFor(awskms.Config{Client: d.kms, KeyID: name, DecryptKeys: []string{resolved, d.keyARN}})
	if err != nil {
		return err
	}
	after, err := listed.Encrypt(ctx, []byte(field), fieldContext())
	if err != nil {
		return err
	}
	if err := wrappedBy(after, newARN); err != nil {
		return err
	}
	fmt.Fprint(d.out, "  a message of the old key\n")
	if err := d.reads(ctx, listed, before); err != nil {
		return err
	}
	fmt.Fprint(d.out, "  a message of the new key\n")
	return d.reads(ctx, listed, after)
}

func clientFor(c awskms.Config) (*envelope.Client, error) {
	kr, err := awskms.New(c)
	if err != nil {
		return nil, err
	}
	return envelope.New(kr, nil)
}

// count returns how many calls the embedded KMS has had, and zero on AWS.
func (d *demo) count() int {
	if d.server == nil {
		return 0
	}
	return d.server.Calls(kmstest.Match{})
}

// calls prints what the embedded KMS was asked.
func (d *demo) calls() {
	made, failed := map[string]int{}, map[string]int{}
	for _, c := range d.server.Log(kmstest.Match{}) {
		made[c.Operation]++
		if c.Error != "" {
			failed[c.Operation]++
		}
	}
	fmt.Fprint(d.out, "\ncalls to KMS\n")
	for _, op := range slices.Sorted(maps.Keys(made)) {
		fmt.Fprintf(d.out, "  %-15s  %d", op, made[op])
		if n := failed[op]; n > 0 {
			fmt.Fprintf(d.out, ", %d of them refused", n)
		}
		fmt.Fprintln(d.out)
	}
}
