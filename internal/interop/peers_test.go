package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	mpltypes "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographymaterialproviderssmithygeneratedtypes"
	esdk "github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk/awscryptographyencryptionsdksmithygenerated"
	esdktypes "github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk/awscryptographyencryptionsdksmithygeneratedtypes"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/keyring"
)

// An opened is what came of a message.
type opened struct {
	err       error
	plaintext []byte
	context   map[string]string // stored pairs, and those that were reproduced
}

// The readers are clients of both sides, made once for all messages of a fuzz test.
type readers struct {
	ours   []keyring.Keyring // by scene.reader
	theirs []mpltypes.IKeyring

	clients  map[string]*envelope.Decrypter
	aws      map[keyring.CommitmentPolicy]*esdk.Client
	awsNo400 map[keyring.CommitmentPolicy]*esdk.Client // that do not try .NET 4.0.0's way
	managers map[string]mpltypes.ICryptographicMaterialsManager
}

func newReaders(t testing.TB) *readers {
	r := &readers{
		clients: map[string]*envelope.Decrypter{}, aws: map[keyring.CommitmentPolicy]*esdk.Client{},
		awsNo400: map[keyring.CommitmentPolicy]*esdk.Client{}, managers: map[string]mpltypes.ICryptographicMaterialsManager{},
	}
	var ours []keyring.Keyring
	var theirs []mpltypes.IKeyring
	for _, k := range wrappingKeys[:2] {
		o, err := keyring.NewRawAES(k.namespace, k.name, k.key)
		require.NoError(t, err)
		a, err := awsProviders(t).CreateRawAesKeyring(context.Background(), mpltypes.CreateRawAesKeyringInput{
			KeyNamespace: k.namespace, KeyName: k.name, WrappingKey: k.key,
			WrappingAlg: mpltypes.AesWrappingAlg(fmt.Sprintf("ALG_AES%d_GCM_IV12_TAG16", 8*len(k.key))),
		})
		require.NoError(t, err)
		ours, theirs = append(ours, o), append(theirs, a)
	}
	for _, order := range [][]int{{0}, {0, 1}, {1, 0}} {
		o, a := ours[order[0]], theirs[order[0]]
		if len(order) > 1 {
			var err error
			o, err = keyring.NewMulti(ours[order[0]], ours[order[1]])
			require.NoError(t, err)
			a, err = awsProviders(t).CreateMultiKeyring(context.Background(), mpltypes.CreateMultiKeyringInput{
				Generator: theirs[order[0]], ChildKeyrings: []mpltypes.IKeyring{theirs[order[1]]},
			})
			require.NoError(t, err)
		}
		r.ours, r.theirs = append(r.ours, o), append(r.theirs, a)
	}
	for p := range awsPolicies {
		r.aws[p] = awsClient(t, p)
		policy, forbid := awsPolicies[p], esdktypes.NetV4_0_0_RetryPolicyForbidRetry
		c, err := esdk.NewClient(esdktypes.AwsEncryptionSdkConfig{CommitmentPolicy: &policy, NetV4_0_0_RetryPolicy: &forbid})
		require.NoError(t, err)
		r.awsNo400[p] = c
	}
	return r
}

// client returns ours for a scene, with the default limits or with the greatest.
func (r *readers) client(t testing.TB, s *scene, concurrency int, unlimited bool) *envelope.Decrypter {
	name := fmt.Sprint(s.policy, s.reader, s.required, concurrency, unlimited)
	if c, ok := r.clients[name]; ok {
		return c
	}
	m, err := keyring.NewManager(r.ours[s.reader])
	require.NoError(t, err)
	manager := keyring.MaterialsManager(m)
	if len(s.required) > 0 {
		manager, err = keyring.NewRequiredContextManager(m, s.required...)
		require.NoError(t, err)
	}
	opts := &envelope.Options{CommitmentPolicy: s.policy, Concurrency: concurrency}
	if unlimited {
		opts.MaxEncryptedDataKeys, opts.MaxHeaderLength, opts.MaxFrameLength = math.MaxUint16, math.MaxInt32, math.MaxUint32
	}
	c, err := envelope.NewDecrypterFromManager(manager, opts)
	require.NoError(t, err)
	r.clients[name] = c
	return c
}

// open has the library open a message in every way that it knows. All must agree.
func (r *readers) open(t testing.TB, s *scene, msg []byte, unlimited bool) opened {
	ctx := context.Background()
	one, three := r.client(t, s, 1, unlimited), r.client(t, s, 3, unlimited)
	kept := bytes.Clone(msg)

	var want opened
	want.plaintext, want.err = one.Decrypt(ctx, msg, s.reproduced)
	if want.err != nil {
		require.Nil(t, want.plaintext)
	}
	agree := func(way string, plaintext []byte, err error) {
		if want.err == nil {
			require.NoError(t, err, way)
			require.True(t, bytes.Equal(want.plaintext, plaintext), "%s: another plaintext", way)
			return
		}
		// A stream parses the pairs as it reads the header; from memory, a message is first
		// refused for what costs less to find.
		if errors.Is(err, envelope.ErrMalformed) && (errors.Is(want.err, envelope.ErrPolicy) || errors.Is(want.err, envelope.ErrContextMismatch)) {
			return
		}
		require.EqualError(t, err, want.err.Error(), way)
	}

	before := []byte("before")
	got, err := three.AppendDecrypt(ctx, before, msg, s.reproduced)
	agree("AppendDecrypt on three cores", bytes.TrimPrefix(got, before), err)

	var released []byte // of a message that fails
	stream := func(way string, d *envelope.Decrypter, src io.Reader, read func(r *envelope.Reader) ([]byte, error)) {
		var plaintext []byte
		stream, err := d.NewReader(ctx, src, s.reproduced)
		if err == nil {
			plaintext, err = read(stream)
			want.context = maps.Clone(map[string]string(stream.Header().Context))
		}
		agree(way, plaintext, err)
		if err != nil {
			n := min(len(released), len(plaintext))
			require.True(t, bytes.Equal(released[:n], plaintext[:n]), "%s: other plaintext before the error", way)
			if len(plaintext) > n {
				released = plaintext
			}
		}
	}
	readAll := func(r *envelope.Reader) ([]byte, error) { return io.ReadAll(r) }
	inPieces := func(r *envelope.Reader) ([]byte, error) {
		var out []byte
		p := make([]byte, 61)
		for {
			n, err := r.Read(p)
			out = append(out, p[:n]...)
			if err == io.EOF {
				return out, nil
			}
			if err != nil {
				return out, err
			}
		}
	}
	writeTo := func(r *envelope.Reader) ([]byte, error) {
		var out bytes.Buffer
		_, err := r.WriteTo(&out)
		return out.Bytes(), err
	}
	stream("Reader of a part at a time", one, iotest.HalfReader(bytes.NewReader(msg)), readAll)
	stream("Reader of memory on three cores", three, bytes.NewReader(msg), writeTo)
	stream("Reader, with an error beside the last bytes", three, iotest.DataErrReader(bytes.NewReader(msg)), writeTo)
	if len(msg) < 4096 {
		stream("Reader of bytes, read in pieces", one, iotest.OneByteReader(bytes.NewReader(msg)), inPieces)
		stream("Reader of memory, read in pieces", three, bytes.NewReader(msg), inPieces)
	}

	item := envelope.Sealed{Message: msg, Context: s.reproduced}
	for _, o := range three.DecryptBatch(ctx, []envelope.Sealed{item, item}) {
		agree("DecryptBatch", o.Plaintext, o.Err)
	}

	// Ranges tell of what they touch alone. All of it is the whole message.
	whole, err := readWhole(ctx, three, msg, s.reproduced)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
	case want.err == nil:
		require.NoError(t, err, "ReaderAt")
		require.True(t, bytes.Equal(want.plaintext, whole), "ReaderAt: another plaintext")
	default:
		require.Error(t, err, "ReaderAt")
	}

	require.True(t, bytes.Equal(kept, msg), "the message was changed")
	if want.err != nil {
		want.context = nil
	} else {
		if want.context == nil {
			want.context = map[string]string{}
		}
		maps.Copy(want.context, s.reproduced)
	}
	return want
}

// readWhole reads a message through a ReaderAt.
func readWhole(ctx context.Context, d *envelope.Decrypter, msg []byte, ec map[string]string) ([]byte, error) {
	r, err := d.NewReaderAt(ctx, bytes.NewReader(msg), int64(len(msg)), ec)
	if err != nil {
		return nil, err
	}
	out := make([]byte, r.Size())
	_, err = r.ReadAt(out, 0)
	if err == io.EOF {
		err = nil
	}
	return out, err
}

// openAWS has AWS's SDK open a message. A panic there is a refusal.
func (r *readers) openAWS(t testing.TB, clients map[keyring.CommitmentPolicy]*esdk.Client, s *scene, msg []byte) (o opened) {
	defer func() {
		if p := recover(); p != nil {
			o = opened{err: panicked{fmt.Sprintf("%.300v", p)}}
		}
	}()
	name := fmt.Sprint(s.reader, s.required)
	m, ok := r.managers[name]
	if !ok {
		m = theirs{r.theirs[s.reader]}.manager(t, s.required)
		r.managers[name] = m
	}
	out, err := clients[s.policy].Decrypt(context.Background(), esdktypes.DecryptInput{
		Ciphertext: bytes.Clone(msg), EncryptionContext: s.reproduced, MaterialsManager: m,
	})
	if err != nil {
		return opened{err: err}
	}
	return opened{plaintext: out.Plaintext, context: out.EncryptionContext}
}

// A panicked is a panic of the peer's.
type panicked struct{ text string }

func (p panicked) Error() string { return "panic: " + p.text }

// firstLine is enough of an error to tell.
func firstLine(err error) string {
	if err == nil {
		return "opened"
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return fmt.Sprintf("%.200s", line)
}

// names are those of the mutations that a scene was played with.
func (s *scene) names() []string {
	var names []string
	for _, i := range s.played {
		names = append(names, mutations[i].name)
	}
	return slices.Compact(names)
}
