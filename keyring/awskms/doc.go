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
// The keyrings with symmetric keys send KMS the whole encryption context, pairs that
// the message does not store included. So a statement can let a service use a key for
// its own tenant's table alone:
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
// Each pair can stand in a condition kms:EncryptionContext:KEY, the set of keys in
// kms:EncryptionContextKeys, and all of it is in CloudTrail in the clear. Signed
// messages add the pair aws-crypto-public-key, which differs for each data key: allow
// it where a condition lists the keys. [NewRSA] and [NewECDH] bind the context
// themselves and send KMS none: there it can be in no condition and in no log.
//
// # Aliases and rotation
//
// To rotate to a new key, make it Config.KeyID and list the old one's ARN in
// Config.DecryptKeys. An alias is enough to encrypt, with [NewEncrypter]. For [New],
// list in DecryptKeys the ARNs of the keys that the alias stands for or has stood for:
// messages name keys by ARN, and an alias can be pointed elsewhere.
//
// # Errors
//
// A call to KMS that failed is an [*Error] with operation, key, region, code and request
// ID. Its methods Unavailable and Refused tell an outage from a refusal.
package awskms
