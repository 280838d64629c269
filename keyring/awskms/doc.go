// Package awskms has keyrings whose wrapping keys are in AWS KMS. What they write
// the AWS Encryption SDKs read, and the other way round.
//
//	kr, err := awskms.New(awskms.Config{Client: kmsClient, KeyID: keyARN})
//	if err != nil {
//		log.Fatal(err)
//	}
//	client, err := envelope.New(kr, nil)
//	if err != nil {
//		log.Fatal(err)
//	}
//
// [New] uses one key and [NewMulti] several. [NewDiscovery] decrypts with whatever key
// a message names, within accounts that the caller allows. With MRKAware in their
// configs, one replica of a multi-Region key unwraps what another wrapped.
// [NewMultiRegion] asks further regions when the nearest does not answer. [NewRSA] and
// [NewECDH] use asymmetric KMS keys.
//
// Every request names its key, and every answer's key is compared with the one that was
// asked for, as far as that was named. kms:Decrypt must be answered with one exact ARN.
// For other calls, a key ID is compared with the ARN's ID, and an alias ARN with its
// region and account. For an alias alone any key's ARN will do, since only KMS knows
// which key an alias stands for.
//
// MaxCalls bounds the calls to unwrap one message, for each keyring and each region,
// whatever the header lists. The SDK's own retries come on top.
//
// The package never loads configuration: make a client with the AWS SDK, by
// kms.NewFromConfig, and hand it over. Package kmstest has a KMS to run tests on.
//
// # Permissions
//
// The actions that IAM policy or key policy must allow the caller. A keyring that only
// encrypts, such as [NewEncrypter], needs those of the first column; one that only
// decrypts, such as [NewRSADecrypter], those of the second. MRKAware adds none: the
// replica in the caller's own region is asked.
//
//	                to encrypt                           to decrypt
//	New             kms:GenerateDataKey                  kms:Decrypt
//	NewMulti        kms:GenerateDataKey on the first     kms:Decrypt on one key
//	                key, kms:Encrypt on the others
//	NewMultiRegion  in each region kms:GenerateDataKey   kms:Decrypt in each region
//	                and, for keys that are no replicas,
//	                kms:Encrypt
//	NewDiscovery                                         kms:Decrypt on the keys to be used
//	NewRSA          nothing                              kms:Decrypt
//	NewECDH         kms:DeriveSharedSecret, and          the same
//	                kms:GetPublicKey for an alias or
//	                if no public key is given
//
// [ResolveKey] needs kms:DescribeKey.
//
// # A key policy
//
// Keyrings with symmetric keys send the whole encryption context to KMS, also pairs that
// the message does not store. So a policy can demand certain pairs. This statement lets a
// role use the key for one table of one tenant, and for nothing else:
//
//	{
//	  "Sid": "OrdersOfTenant42",
//	  "Effect": "Allow",
//	  "Principal": {"AWS": "arn:aws:iam::111122223333:role/orders"},
//	  "Action": ["kms:GenerateDataKey", "kms:Decrypt"],
//	  "Resource": "*",
//	  "Condition": {"StringEquals": {
//	    "kms:EncryptionContext:tenant": "42",
//	    "kms:EncryptionContext:table": "orders"
//	  }}
//	}
//
// The condition kms:EncryptionContext:KEY tests one pair, and kms:EncryptionContextKeys
// the keys of all pairs. CloudTrail logs the whole context in the clear. Signed messages
// add the pair aws-crypto-public-key, with another value for each data key: a condition
// that lists the keys must allow it. [NewRSA] and [NewECDH] bind the context to the wrapped
// key without KMS, and do not send it: no condition can test it there, and no log has it.
//
// # Aliases and rotation
//
// To rotate to a new key, make it Config.KeyID and list the old key's ARN in
// Config.DecryptKeys. To encrypt only, with [NewEncrypter], an alias as KeyID is enough.
// To decrypt too, with [New], list in DecryptKeys the ARNs of all keys that the alias
// stands for or has stood for, since messages name keys by ARN. [ResolveKey] tells the
// present one.
//
// # Errors
//
// A call to KMS that failed is an [*Error] with operation, key, region, code and request
// ID. Its methods Unavailable and Refused tell an outage from a refusal.
package awskms
