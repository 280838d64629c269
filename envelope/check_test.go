package envelope_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

var checkContext = keyring.EncryptionContext{"tenant": "42"}

func rawAES(t testing.TB, name string) keyring.Keyring {
	k, err := keyring.NewRawAES("test", name, randomBytes(32))
	require.NoError(t, err)
	return k
}

// both is a keyring that encrypts with one and decrypts with another.
type both struct {
	keyring.Encrypter
	keyring.Decrypter
}

// refusing is a keyring that answers with an error.
type refusing struct{ err error }

func (r refusing) OnEncrypt(context.Context, *keyring.EncryptionMaterials) error { return r.err }

func (r refusing) OnDecrypt(context.Context, *keyring.DecryptionMaterials, []keyring.EncryptedDataKey) error {
	return r.err
}

var errArgumentsBad = errors.New("pkcs11: 0x7: CKR_ARGUMENTS_BAD")

// An hsm is a private key that unwraps what was wrapped with OAEP over SHA-1 alone, as
// some tokens do. Its public half wraps with every padding.
type hsm struct{ *rsa.PrivateKey }

func (h hsm) Decrypt(r io.Reader, ciphertext []byte, opts crypto.DecrypterOpts) ([]byte, error) {
	if o, ok := opts.(*rsa.OAEPOptions); ok && o.Hash != crypto.SHA1 {
		return nil, errArgumentsBad
	}
	return h.PrivateKey.Decrypt(r, ciphertext, opts)
}

func rawRSA(t testing.TB, padding keyring.RSAPadding) keyring.Keyring {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	k, err := keyring.NewRawRSA("hsm", "kek", &private.PublicKey, hsm{private}, padding)
	require.NoError(t, err)
	return k
}

func multi(t testing.TB, keyrings ...keyring.Keyring) keyring.Keyring {
	k, err := keyring.NewMulti(keyrings[0], keyrings[1:]...)
	require.NoError(t, err)
	return k
}

func TestCheck(t *testing.T) {
	first, other := rawAES(t, "first"), rawAES(t, "other")
	denied := errors.New("denied")
	for name, c := range map[string]struct {
		keyring keyring.Keyring
		opts    *envelope.Options
		op      string // that fails
		cause   error
	}{
		"works":                                {keyring: first},
		"works with signatures":                {keyring: first, opts: &envelope.Options{Sign: true}},
		"works with frames shorter than it":    {keyring: first, opts: &envelope.Options{FrameLength: 5}},
		"any child of a multi-keyring will do": {keyring: both{first, multi(t, other, first)}},
		"HSM with a padding that it can do":    {keyring: rawRSA(t, keyring.RSAOAEPSHA1)},
		"HSM with one that it cannot unwrap":   {keyring: rawRSA(t, keyring.RSAOAEPSHA256), op: "decrypt", cause: errArgumentsBad},
		"no permission to encrypt":             {keyring: both{refusing{denied}, first}, op: "encrypt", cause: denied},
		"no permission to decrypt":             {keyring: both{first, refusing{denied}}, op: "decrypt", cause: denied},
		"another key to decrypt":               {keyring: both{first, other}, op: "decrypt", cause: envelope.ErrNoMatchingKey},
		"signs and refuses signatures": {keyring: first, opts: &envelope.Options{Sign: true, RefuseSigned: true},
			op: "decrypt", cause: envelope.ErrPolicy},
	} {
		t.Run(name, func(t *testing.T) {
			client, err := envelope.New(c.keyring, c.opts)
			require.NoError(t, err)
			err = client.Check(t.Context(), checkContext)
			if c.op == "" {
				require.NoError(t, err)
				return
			}
			var failed *envelope.CheckError
			require.ErrorAs(t, err, &failed)
			assert.Equal(t, c.op, failed.Op)
			require.ErrorIs(t, err, c.cause)
			assert.Contains(t, err.Error(), "cannot "+c.op)
		})
	}
}

// TestCheckSaysWhichHalf holds that the halves of a client may have different managers and
// options.
func TestCheckSaysWhichHalf(t *testing.T) {
	kr := rawAES(t, "first")
	e, err := envelope.NewEncrypter(kr, &envelope.Options{CommitmentPolicy: keyring.ForbidEncryptAllowDecrypt})
	require.NoError(t, err)
	d, err := envelope.NewDecrypter(kr, nil)
	require.NoError(t, err)
	client := envelope.Client{Encrypter: e, Decrypter: d}
	err = client.Check(t.Context(), nil)
	require.ErrorIs(t, err, envelope.ErrPolicy)
	var failed *envelope.CheckError
	require.ErrorAs(t, err, &failed)
	assert.Equal(t, "decrypt", failed.Op)
}

func TestCheckContext(t *testing.T) {
	m, err := keyring.NewManager(rawAES(t, "first"))
	require.NoError(t, err)
	m, err = keyring.NewRequiredContextManager(m, "row")
	require.NoError(t, err)
	client, err := envelope.NewFromManager(m, nil)
	require.NoError(t, err)

	require.NoError(t, client.Check(t.Context(), keyring.EncryptionContext{"row": "7", "tenant": "42"}))
	_, err = client.CheckKeys(t.Context(), keyring.EncryptionContext{"row": "7"})
	require.NoError(t, err)
	require.ErrorIs(t, client.Check(t.Context(), checkContext), envelope.ErrInvalidArgument, "the pair that the manager requires")
	require.ErrorIs(t, client.Check(t.Context(), keyring.EncryptionContext{"aws-crypto-x": ""}), envelope.ErrInvalidArgument)
}

func TestCheckOfContextThatIsDone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	client := newClient(t, nil)
	require.ErrorIs(t, client.Check(ctx, nil), context.Canceled)
	_, err := client.CheckKeys(ctx, nil)
	require.ErrorIs(t, err, context.Canceled)
}

// alike is a keyring that unwraps to a data key of zeros.
type alike struct{ keyring.Keyring }

func (a alike) OnDecrypt(_ context.Context, m *keyring.DecryptionMaterials, _ []keyring.EncryptedDataKey) error {
	m.DataKey = make([]byte, m.Suite.DataKeyLen())
	m.DataKey[0] = 1
	return nil
}

func TestCheckOfWrongDataKey(t *testing.T) {
	client, err := envelope.New(alike{rawAES(t, "first")}, nil)
	require.NoError(t, err)
	require.ErrorIs(t, client.Check(t.Context(), nil), envelope.ErrCommitment)
}

func TestCheckKeys(t *testing.T) {
	first, second, escrow := rawAES(t, "first"), rawAES(t, "second"), rawAES(t, "escrow")
	client, err := envelope.New(multi(t, first, second), nil)
	require.NoError(t, err)
	checks, err := client.CheckKeys(t.Context(), checkContext)
	require.NoError(t, err)
	assert.Equal(t, []envelope.KeyCheck{
		{ProviderID: "test", Name: "first"},
		{ProviderID: "test", Name: "second"},
	}, checks)

	client, err = envelope.New(both{multi(t, first, escrow, second), multi(t, first, second)}, nil)
	require.NoError(t, err)
	require.NoError(t, client.Check(t.Context(), checkContext), "one wrapped key is enough to decrypt")
	checks, err = client.CheckKeys(t.Context(), checkContext)
	require.ErrorIs(t, err, envelope.ErrNoMatchingKey)
	assert.Contains(t, err.Error(), "wrapped key 2: ")
	require.Len(t, checks, 3)
	for i, c := range checks {
		assert.Equal(t, i == 1, c.Err != nil, c.Name)
	}
	var failed *envelope.CheckError
	require.ErrorAs(t, checks[1].Err, &failed)
	assert.Equal(t, "decrypt", failed.Op)

	client, err = envelope.New(both{refusing{errArgumentsBad}, first}, nil)
	require.NoError(t, err)
	checks, err = client.CheckKeys(t.Context(), checkContext)
	require.ErrorIs(t, err, errArgumentsBad)
	assert.Empty(t, checks)
}

// TestCheckKeysErrorIsOneLine holds that all causes stay reachable, on one line.
func TestCheckKeysErrorIsOneLine(t *testing.T) {
	denied := errors.New("denied")
	client, err := envelope.New(both{multi(t, rawAES(t, "a"), rawAES(t, "b")), refusing{denied}}, nil)
	require.NoError(t, err)
	checks, err := client.CheckKeys(t.Context(), nil)
	require.ErrorIs(t, err, checks[0].Err)
	require.ErrorIs(t, err, checks[1].Err)
	assert.NotContains(t, err.Error(), "\n")
}

// An asked manager notes what it is asked for.
type asked struct {
	keyring.MaterialsManager
	fresh []bool
	keys  []int
}

func (a *asked) EncryptionMaterials(ctx context.Context, req keyring.EncryptionRequest) (*keyring.EncryptionMaterials, error) {
	a.fresh = append(a.fresh, req.Fresh)
	return a.MaterialsManager.EncryptionMaterials(ctx, req)
}

func (a *asked) DecryptionMaterials(ctx context.Context, req keyring.DecryptionRequest) (*keyring.DecryptionMaterials, error) {
	_, keys, err := req.Parse()
	if err != nil {
		return nil, fmt.Errorf("test: %w", err)
	}
	a.fresh, a.keys = append(a.fresh, req.Fresh), append(a.keys, len(keys))
	return a.MaterialsManager.DecryptionMaterials(ctx, req)
}

func TestCheckAsksForFreshMaterials(t *testing.T) {
	m, err := keyring.NewManager(multi(t, rawAES(t, "a"), rawAES(t, "b")))
	require.NoError(t, err)
	a := &asked{MaterialsManager: m}
	client, err := envelope.NewFromManager(a, nil)
	require.NoError(t, err)
	require.NoError(t, client.Check(t.Context(), checkContext))
	assert.Equal(t, []bool{true, true}, a.fresh)
	assert.Equal(t, []int{2}, a.keys)

	*a = asked{MaterialsManager: m}
	_, err = client.CheckKeys(t.Context(), checkContext)
	require.NoError(t, err)
	assert.Equal(t, []bool{true, true, true}, a.fresh)
	assert.Equal(t, []int{1, 1}, a.keys)

	*a = asked{MaterialsManager: m}
	msg, err := client.Encrypt(t.Context(), nil, checkContext)
	require.NoError(t, err)
	_, err = client.Decrypt(t.Context(), msg, checkContext)
	require.NoError(t, err)
	assert.Equal(t, []bool{false, false}, a.fresh)
}
