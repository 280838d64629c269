// Command awspeer opens messages and unwraps data keys with AWS's Go release of the Encryption
// SDK, as package differential asks it to on its standard input.
package main

import (
	"bufio"
	"context"
	"crypto/ecdh"
	"crypto/x509"
	"encoding/gob"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	mpl "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographymaterialproviderssmithygenerated"
	mpltypes "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographymaterialproviderssmithygeneratedtypes"
	primitives "github.com/aws/aws-cryptographic-material-providers-library/releases/go/primitives/awscryptographyprimitivessmithygeneratedtypes"
	esdk "github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk/awscryptographyencryptionsdksmithygenerated"
	esdktypes "github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk/awscryptographyencryptionsdksmithygeneratedtypes"

	"github.com/go-sealring/sealring/internal/interop/differential"
	"github.com/go-sealring/sealring/keyring"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "awspeer:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	providers, err := mpl.NewClient(mpltypes.MaterialProvidersConfig{})
	if err != nil {
		return err
	}
	p := &peer{providers, map[string]any{}}
	requests := gob.NewDecoder(bufio.NewReader(in))
	buffered := bufio.NewWriter(out)
	answers := gob.NewEncoder(buffered)
	for {
		var req differential.Request
		if err := requests.Decode(&req); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if err := answers.Encode(p.answer(&req)); err != nil {
			return err
		}
		if err := buffered.Flush(); err != nil {
			return err
		}
	}
}

// A peer keeps what it made for earlier requests.
type peer struct {
	*mpl.Client
	made map[string]any
}

// once returns what is kept under a name, or makes it.
func once[T any](p *peer, name string, create func() (T, error)) (T, error) {
	if v, ok := p.made[name]; ok {
		return v.(T), nil
	}
	v, err := create()
	if err != nil {
		err = setupError{err}
	} else {
		p.made[name] = v
	}
	return v, err
}

// A setupError is of the peer itself, and no refusal.
type setupError struct{ error }

func (p *peer) answer(req *differential.Request) *differential.Answer {
	a, err := p.do(req)
	var failed setupError
	if errors.As(err, &failed) {
		fmt.Fprintln(os.Stderr, "awspeer:", failed)
		os.Exit(1)
	}
	var stopped panicked
	switch {
	case errors.As(err, &stopped):
		return &differential.Answer{Refused: stopped.Error(), Panicked: true}
	case err != nil:
		return &differential.Answer{Refused: fmt.Sprintf("refused: %.300s", err)}
	}
	return a
}

type panicked struct{ error }

func (p *peer) do(req *differential.Request) (a *differential.Answer, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = panicked{fmt.Errorf("panic: %.300v", v)}
		}
	}()
	if req.Unwrapper != "" {
		return p.unwrap(req)
	}
	client, err := once(p, fmt.Sprint("client", req.Policy, req.StrictHeaders), func() (*esdk.Client, error) {
		policy := policies[keyring.CommitmentPolicy(req.Policy)]
		config := esdktypes.AwsEncryptionSdkConfig{CommitmentPolicy: &policy}
		if req.StrictHeaders {
			forbid := esdktypes.NetV4_0_0_RetryPolicyForbidRetry
			config.NetV4_0_0_RetryPolicy = &forbid
		}
		return esdk.NewClient(config)
	})
	if err != nil {
		return nil, err
	}
	manager, err := once(p, fmt.Sprint("manager", req.Reader, req.Required), func() (mpltypes.ICryptographicMaterialsManager, error) {
		return p.manager(req)
	})
	if err != nil {
		return nil, err
	}
	out, err := client.Decrypt(context.Background(), esdktypes.DecryptInput{
		Ciphertext:        append([]byte{}, req.Message...), // nil is none, there
		EncryptionContext: req.Expected, MaterialsManager: manager,
	})
	if err != nil {
		return nil, err
	}
	return &differential.Answer{Plaintext: out.Plaintext, Context: out.EncryptionContext}, nil
}

// policies are AWS's names for the policies.
var policies = map[keyring.CommitmentPolicy]mpltypes.ESDKCommitmentPolicy{
	keyring.RequireEncryptRequireDecrypt: mpltypes.ESDKCommitmentPolicyRequireEncryptRequireDecrypt,
	keyring.RequireEncryptAllowDecrypt:   mpltypes.ESDKCommitmentPolicyRequireEncryptAllowDecrypt,
	keyring.ForbidEncryptAllowDecrypt:    mpltypes.ESDKCommitmentPolicyForbidEncryptAllowDecrypt,
}

func (p *peer) manager(req *differential.Request) (mpltypes.ICryptographicMaterialsManager, error) {
	var all []mpltypes.IKeyring
	for _, i := range differential.Orders[req.Reader] {
		k, err := p.aes(differential.WrappingKeys[i])
		if err != nil {
			return nil, err
		}
		all = append(all, k)
	}
	multi, err := p.CreateMultiKeyring(context.Background(), mpltypes.CreateMultiKeyringInput{Generator: all[0], ChildKeyrings: all[1:]})
	if err != nil {
		return nil, err
	}
	m, err := p.CreateDefaultCryptographicMaterialsManager(context.Background(),
		mpltypes.CreateDefaultCryptographicMaterialsManagerInput{Keyring: multi})
	if err != nil || len(req.Required) == 0 {
		return m, err
	}
	return p.CreateRequiredEncryptionContextCMM(context.Background(), mpltypes.CreateRequiredEncryptionContextCMMInput{
		UnderlyingCMM: m, RequiredEncryptionContextKeys: req.Required,
	})
}

func (p *peer) aes(k differential.WrappingKey) (mpltypes.IKeyring, error) {
	return p.CreateRawAesKeyring(context.Background(), mpltypes.CreateRawAesKeyringInput{
		KeyNamespace: k.Namespace, KeyName: k.Name, WrappingKey: k.Key,
		WrappingAlg: mpltypes.AesWrappingAlg(fmt.Sprintf("ALG_AES%d_GCM_IV12_TAG16", 8*len(k.Key))),
	})
}

func (p *peer) unwrap(req *differential.Request) (*differential.Answer, error) {
	k, err := once(p, req.Unwrapper, func() (mpltypes.IKeyring, error) { return p.unwrapper(req.Unwrapper) })
	if err != nil {
		return nil, err
	}
	ec := req.Context
	if ec == nil {
		ec = map[string]string{} // nil is none, there
	}
	m, err := p.InitializeDecryptionMaterials(context.Background(), mpltypes.InitializeDecryptionMaterialsInput{
		AlgorithmSuiteId:  &mpltypes.AlgorithmSuiteIdMemberESDK{Value: mpltypes.ESDKAlgorithmSuiteId(fmt.Sprintf("0x%04X", req.Suite))},
		EncryptionContext: ec, RequiredEncryptionContextKeys: []string{},
	})
	if err != nil {
		return nil, setupError{err}
	}
	in := mpltypes.OnDecryptInput{Materials: *m, EncryptedDataKeys: []mpltypes.EncryptedDataKey{}}
	for _, k := range req.Keys {
		in.EncryptedDataKeys = append(in.EncryptedDataKeys, mpltypes.EncryptedDataKey{
			KeyProviderId: k.Provider, KeyProviderInfo: append([]byte{}, k.Info...), Ciphertext: append([]byte{}, k.Ciphertext...),
		})
	}
	out, err := k.OnDecrypt(in)
	if err != nil {
		return nil, err
	}
	return &differential.Answer{Plaintext: out.Materials.PlaintextDataKey}, nil
}

// unwrapper returns the keyring of a name.
func (p *peer) unwrapper(name string) (mpltypes.IKeyring, error) {
	kind, detail, _ := strings.Cut(name, " ")
	switch kind {
	case "AES":
		for _, k := range differential.AESKeys {
			if detail == fmt.Sprint(8*len(k.Key)) {
				return p.aes(k)
			}
		}
	case "RSA":
		key, err := differential.FixedRSA()
		if err != nil {
			return nil, err
		}
		private, err := privatePEM(key)
		if err != nil {
			return nil, err
		}
		return p.CreateRawRsaKeyring(context.Background(), mpltypes.CreateRawRsaKeyringInput{
			KeyNamespace: "interop", KeyName: "rsa", PrivateKey: private, PaddingScheme: map[string]mpltypes.PaddingScheme{
				"PKCS1": mpltypes.PaddingSchemePkcs1, "OAEP-SHA1": mpltypes.PaddingSchemeOaepSha1Mgf1, "OAEP-SHA256": mpltypes.PaddingSchemeOaepSha256Mgf1,
				"OAEP-SHA384": mpltypes.PaddingSchemeOaepSha384Mgf1, "OAEP-SHA512": mpltypes.PaddingSchemeOaepSha512Mgf1,
			}[detail],
		})
	case "ECDH":
		curve, discovery := strings.CutPrefix(detail, "discovery ")
		return p.ecdh(curve, discovery)
	}
	return nil, fmt.Errorf("no unwrapper %q", name)
}

// ecdh returns Bob's keyring.
func (p *peer) ecdh(curve string, discovery bool) (mpltypes.IKeyring, error) {
	c := map[string]ecdh.Curve{"p256": ecdh.P256(), "p384": ecdh.P384(), "p521": ecdh.P521()}[curve]
	spec := map[string]primitives.ECDHCurveSpec{
		"p256": primitives.ECDHCurveSpecEccNistP256, "p384": primitives.ECDHCurveSpecEccNistP384, "p521": primitives.ECDHCurveSpecEccNistP521,
	}[curve]
	alice, err := differential.FixedECDH(c, "alice")
	if err != nil {
		return nil, err
	}
	bob, err := differential.FixedECDH(c, "bob")
	if err != nil {
		return nil, err
	}
	private, err := privatePEM(bob)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(alice.PublicKey())
	if err != nil {
		return nil, err
	}
	var scheme mpltypes.RawEcdhStaticConfigurations = &mpltypes.RawEcdhStaticConfigurationsMemberRawPrivateKeyToStaticPublicKey{
		Value: mpltypes.RawPrivateKeyToStaticPublicKeyInput{SenderStaticPrivateKey: private, RecipientPublicKey: public},
	}
	if discovery {
		scheme = &mpltypes.RawEcdhStaticConfigurationsMemberPublicKeyDiscovery{
			Value: mpltypes.PublicKeyDiscoveryInput{RecipientStaticPrivateKey: private},
		}
	}
	return p.CreateRawEcdhKeyring(context.Background(), mpltypes.CreateRawEcdhKeyringInput{CurveSpec: spec, KeyAgreementScheme: scheme})
}

func privatePEM(key any) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}
