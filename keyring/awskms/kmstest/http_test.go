package kmstest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

func newRequest(t testing.TB, s *kmstest.Server, op, body string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL(east), strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("X-Amz-Target", "TrentService."+op)
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260102/elsewhere/kms/aws4_request, SignedHeaders=host, Signature=0")
	return req
}

// send checks what every answer has, and returns its status and members.
func send(t testing.TB, transport *http.Transport, req *http.Request) (int, map[string]any) {
	t.Helper()
	resp, err := transport.RoundTrip(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "application/x-amz-json-1.1", resp.Header.Get("Content-Type"))
	require.Regexp(t, `^[0-9a-f-]{36}$`, resp.Header.Get("x-amzn-RequestId"))
	if resp.StatusCode == http.StatusOK && len(body) == 0 {
		return resp.StatusCode, nil
	}
	members := map[string]any{}
	require.NoError(t, json.Unmarshal(body, &members), "%s", body)
	if resp.StatusCode != http.StatusOK {
		require.NotEmpty(t, members["__type"])
	}
	return resp.StatusCode, members
}

func TestProtocol(t *testing.T) {
	s := kmstest.Start(t)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	for name, tc := range map[string]struct {
		op, body string
		change   func(*http.Request)
		status   int
		code     string
	}{
		"unknown operation":    {op: "Sign", body: "{}", code: "UnknownOperationException"},
		"another service":      {op: "x", change: func(r *http.Request) { r.Header.Set("X-Amz-Target", "Other.Encrypt") }, code: "UnknownOperationException"},
		"no target":            {op: "x", change: func(r *http.Request) { r.Header.Del("X-Amz-Target") }, code: "UnknownOperationException"},
		"content type":         {op: "ListAliases", change: func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, code: "UnknownOperationException"},
		"GET":                  {op: "ListAliases", change: func(r *http.Request) { r.Method = http.MethodGet }, code: "UnknownOperationException"},
		"path":                 {op: "ListAliases", change: func(r *http.Request) { r.URL.Path = "/x" }, code: "UnknownOperationException"},
		"no authorization":     {op: "ListAliases", body: "{}", change: func(r *http.Request) { r.Header.Del("Authorization") }, code: "MissingAuthenticationTokenException"},
		"not JSON":             {op: "Encrypt", body: "<xml/>", code: "SerializationException"},
		"array":                {op: "Encrypt", body: "[]", code: "SerializationException"},
		"wrong type":           {op: "Encrypt", body: `{"KeyId":1}`, code: "SerializationException"},
		"not base64":           {op: "Encrypt", body: `{"KeyId":"x","Plaintext":"*"}`, code: "SerializationException"},
		"two values":           {op: "Encrypt", body: `{}{}`, code: "SerializationException"},
		"fraction":             {op: "GenerateDataKey", body: `{"NumberOfBytes":1.5}`, code: "SerializationException"},
		"empty body":           {op: "ListAliases", status: http.StatusOK},
		"null":                 {op: "ListAliases", body: "null", status: http.StatusOK},
		"unknown members":      {op: "ListAliases", body: `{"Nonsense":[1,{}],"Recipient":null}`, status: http.StatusOK},
		"charset":              {op: "ListAliases", body: "{}", change: func(r *http.Request) { r.Header.Set("Content-Type", "application/x-amz-json-1.1; charset=utf-8") }, status: http.StatusOK},
		"no plaintext":         {op: "Encrypt", body: `{"KeyId":"x"}`, code: "ValidationException"},
		"no ciphertext":        {op: "Decrypt", body: `{}`, code: "ValidationException"},
		"no ciphertext either": {op: "ReEncrypt", body: `{"DestinationKeyId":"x"}`, code: "ValidationException"},
		"no public key":        {op: "DeriveSharedSecret", body: `{"KeyId":"x","KeyAgreementAlgorithm":"ECDH"}`, code: "ValidationException"},
		"no agreement":         {op: "DeriveSharedSecret", body: `{"KeyId":"x","PublicKey":"AA=="}`, code: "ValidationException"},
		"no key":               {op: "DescribeKey", body: `{}`, code: "ValidationException"},
		"no alias":             {op: "CreateAlias", body: `{}`, code: "ValidationException"},
		"largest body":         {op: "ListAliases", body: "{}" + strings.Repeat(" ", 1<<20-2), status: http.StatusOK},
		"too large":            {op: "ListAliases", body: "{}" + strings.Repeat(" ", 1<<20-1), status: http.StatusRequestEntityTooLarge, code: "RequestEntityTooLargeException"},
	} {
		t.Run(name, func(t *testing.T) {
			req := newRequest(t, s, tc.op, tc.body)
			if tc.change != nil {
				tc.change(req)
			}
			status, members := send(t, transport, req)
			if tc.status == 0 {
				tc.status = http.StatusBadRequest
			}
			assert.Equal(t, tc.status, status)
			if tc.code != "" {
				assert.Equal(t, tc.code, members["__type"])
			}
		})
	}
}

// The shapes as they are on the wire, which the SDK's client partly hides.
func TestWireShapes(t *testing.T) {
	s := kmstest.Start(t, kmstest.Config{Clock: newClock().now})
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	arn := s.CreateKey(east, kmstest.SymmetricDefault)

	_, described := send(t, transport, newRequest(t, s, "DescribeKey", `{"KeyId":"`+arn+`"}`))
	assert.Equal(t, 1767323045.678, described["KeyMetadata"].(map[string]any)["CreationDate"])
	_, sealed := send(t, transport, newRequest(t, s, "Encrypt", `{"KeyId":"`+arn+`","Plaintext":"c2VjcmV0"}`))
	assert.Len(t, sealed, 3)
	_, opened := send(t, transport, newRequest(t, s, "Decrypt", `{"CiphertextBlob":"`+sealed["CiphertextBlob"].(string)+`"}`))
	assert.Equal(t, "c2VjcmV0", opened["Plaintext"])
	assert.Len(t, opened, 4)
	status, none := send(t, transport, newRequest(t, s, "DisableKey", `{"KeyId":"`+arn+`"}`))
	assert.Equal(t, http.StatusOK, status)
	assert.Nil(t, none)
	_, e := send(t, transport, newRequest(t, s, "Decrypt", `{"CiphertextBlob":"AAAA"}`))
	assert.Equal(t, map[string]any{"__type": "InvalidCiphertextException"}, e)
}

func TestRecipientIsRefused(t *testing.T) {
	s := kmstest.Start(t)
	c := newClient(t, s, east)
	arn := s.CreateKey(east, kmstest.SymmetricDefault)
	_, err := c.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: &arn, NumberOfBytes: aws.Int32(1), Recipient: &types.RecipientInfo{AttestationDocument: []byte{1}}})
	requireCode(t, err, "UnsupportedOperationException")
}

func FuzzBody(f *testing.F) {
	s := kmstest.Start(f)
	transport := &http.Transport{}
	f.Cleanup(transport.CloseIdleConnections)
	arn := s.CreateKey(east, kmstest.SymmetricDefault)
	ecc := s.CreateKey(east, kmstest.ECCP256)
	primary := s.CreateMultiRegionKey(east, kmstest.SymmetricDefault)
	s.Alias("app", arn)
	s.Throttle(kmstest.Match{Operation: "CreateKey"}, 0) // RSA keys take too long
	for op, body := range map[string]string{
		"CancelKeyDeletion":               `{"KeyId":"` + arn + `"}`,
		"CreateAlias":                     `{"AliasName":"alias/x","TargetKeyId":"` + arn + `"}`,
		"CreateKey":                       `{"KeySpec":"SYMMETRIC_DEFAULT","MultiRegion":true,"Tags":[{"TagKey":"a","TagValue":"b"}]}`,
		"Decrypt":                         `{"CiphertextBlob":"a210ASQ=","EncryptionContext":{"a":"b"}}`,
		"DeleteAlias":                     `{"AliasName":"alias/x"}`,
		"DeriveSharedSecret":              `{"KeyId":"` + ecc + `","KeyAgreementAlgorithm":"ECDH","PublicKey":"MFkw"}`,
		"DescribeKey":                     `{"KeyId":"alias/app"}`,
		"EnableKeyRotation":               `{"KeyId":"` + arn + `","RotationPeriodInDays":365}`,
		"Encrypt":                         `{"KeyId":"` + arn + `","Plaintext":"AAAA","EncryptionContext":{"":""},"GrantTokens":["x"],"DryRun":false}`,
		"GenerateDataKey":                 `{"KeyId":"` + arn + `","NumberOfBytes":1024}`,
		"GenerateDataKeyWithoutPlaintext": `{"KeyId":"` + arn + `","KeySpec":"AES_256"}`,
		"GetPublicKey":                    `{"KeyId":"` + ecc + `"}`,
		"ListAliases":                     `{"Limit":1,"Marker":"YWxpYXMvYQ=="}`,
		"ReEncrypt":                       `{"CiphertextBlob":"AAAA","DestinationKeyId":"` + arn + `"}`,
		"ReplicateKey":                    `{"KeyId":"` + primary + `","ReplicaRegion":"us-west-2"}`,
		"ScheduleKeyDeletion":             `{"KeyId":"` + primary + `","PendingWindowInDays":7}`,
		"UpdateAlias":                     `{"AliasName":"alias/app","TargetKeyId":"` + arn + `"}`,
		"Sign":                            `{"KeyId":` + strings.Repeat("[", 100),
	} {
		f.Add(op, []byte(body))
	}
	f.Fuzz(func(t *testing.T, op string, body []byte) {
		if strings.ContainsFunc(op, func(r rune) bool { return r < ' ' || r > '~' }) {
			return // no header
		}
		status, members := send(t, transport, newRequest(t, s, op, string(body)))
		if code := members["__type"]; code == "KMSInternalException" || status == http.StatusInternalServerError {
			t.Fatalf("%s with %q: %v", op, body, members)
		}
	})
}
