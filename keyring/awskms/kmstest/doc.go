// Package kmstest is an AWS KMS for tests and examples, in the test's own process.
//
// A [Server] speaks the protocol of the real service (AWS JSON 1.1 over HTTP)
// with real cryptography under keys that it keeps in memory, in any number of
// regions. Each region has a TCP listener of its own, so that a region can fail
// as one fails in practice: refuse connections, accept them and stay silent, or
// answer with errors. Point an SDK client at it with its base endpoint:
//
//	s := kmstest.Start(t)
//	arn := s.CreateKey("us-east-1", kmstest.SymmetricDefault)
//	client := kms.New(kms.Options{
//		Region:       "us-east-1",
//		BaseEndpoint: aws.String(s.URL("us-east-1")),
//		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
//			return aws.Credentials{AccessKeyID: "any", SecretAccessKey: "any"}, nil
//		}),
//	})
//
// Timeouts, retries and outages are tested in the simulated time of testing/synctest, where
// they cost no time and a slow machine changes nothing: start the server in the bubble with
// [Config.NoNetwork], and give the SDK client [Server.Client] as its HTTPClient.
//
// It is no place for real secrets. A request must carry an Authorization header,
// but neither its signature nor the region in its scope is looked at: whoever
// reaches the port may use every key. It serves plain HTTP, on the loopback
// interface unless told otherwise. Keys are gone when the server is.
//
// # Where it differs from the service
//
//   - Policies, grants and tags are accepted and have no effect. Access is
//     refused by rules of the test: see [Server.Deny].
//   - What is eventual in the service is done when the call returns: a replica is
//     enabled, a rotation complete, an alias visible.
//   - Automatic rotation can be enabled, but only RotateKeyOnDemand rotates.
//   - Signing keys, HMAC keys, imported material, custom key stores and Nitro
//     Enclaves (Recipient) are refused with UnsupportedOperationException.
//   - There is one account: an ARN of another is answered with
//     AccessDeniedException.
//
// # Errors
//
// What a client sends is answered, never panicked on. Methods of [Server] meant
// for tests do panic when they are misused (a key that does not exist, a name
// that is not valid) or when a port cannot be opened, as net/http/httptest does:
// a test has nothing better to do with such an error.
package kmstest
