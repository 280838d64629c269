// Package branchkey has a keyring whose wrapping keys are branch keys: one for each
// tenant, kept in a table, each wrapped by a KMS key. AWS calls it the hierarchical
// keyring, and the AWS Encryption SDKs read what it writes and share its tables.
//
//	keys, err := branchkey.NewKeyStore(branchkey.KeyStoreConfig{
//		Store: store, Client: kmsClient, KeyARN: keyARN, Name: "tenant-keys",
//	})
//	if err != nil {
//		log.Fatal(err)
//	}
//	kr, err := branchkey.New(branchkey.Config{
//		KeyStore: keys,
//		Supplier: func(ec keyring.EncryptionContext) (string, error) { return ec["tenant"], nil },
//		Limits:   cache.Limits{MaxAge: time.Hour},
//	})
//	if err != nil {
//		log.Fatal(err)
//	}
//	defer kr.Close()
//	client, err := envelope.New(kr, nil)
//
// KMS is asked once for each branch key and Limits.MaxAge, and not for each message or each
// encryption context: the same answer serves to encrypt, and to decrypt what is under the
// active version. An older version that is read costs a call of its own.
//
// [KeyStore.Create] makes a branch key, [KeyStore.Version] gives it a new version, under
// which all that is encrypted from then on is wrapped, and
// [KeyStore.Destroy] deletes all versions, so that nothing under them can be read again.
//
// # What keeps a branch key
//
// A [Store] is a table. Each branch key is several items of it: one for each version, one
// that says which version is active, and one with a key for searchable HMACs. All
// attributes of an item are bound to its wrapped key by KMS, and so is the logical name of
// the key store: whoever alters one makes the item unreadable. What the table cannot tell
// is that an older item was put back in the place of a newer one.
//
// Package sqlstore has a Store for PostgreSQL, MySQL, MariaDB and SQLite, and package
// dynamostore one for DynamoDB, whose tables AWS's releases can share.
//
// # Shredding
//
// To make all of a tenant's data unreadable at once, wherever copies of it are:
//
//  1. Stop writing for the tenant, and have Supplier refuse its context: a process that still
//     holds the branch key would go on to write under it.
//  2. Call [KeyStore.Destroy] until it returns nil.
//  3. In every process, drop what is kept: [Keyring.Purge] with the ID and, of each data-key
//     cache before a keyring, its PurgeKey with the ID. Without that, keys are used on for
//     up to MaxAge, and while the table or KMS is out for up to MaxAge and StaleFor, of the
//     keyring and then of the cache. A Reader that was begun reads its message to the end.
//  4. Delete the branch key's items from what else holds the table: backups, point-in-time
//     recovery, replicas, exports and logs of changes. As long as one is left, and KMS
//     would unwrap it, the data can be read again. Where that cannot be done, a KMS key for
//     each group of tenants that go together can be, by kms:ScheduleKeyDeletion.
//  5. Data that is not under the branch key alone stays readable: messages of a multi-keyring
//     have other wrapped keys, beacons and blind indexes tell what was equal, and names,
//     sizes and encryption contexts are in the clear.
//
// The example of KeyStore.Destroy has two processes.
//
// # Permissions
//
// The actions that IAM policy or key policy must allow the caller:
//
//	Create              kms:GenerateDataKeyWithoutPlaintext, kms:ReEncryptFrom, kms:ReEncryptTo
//	Version             the same
//	Active, ByVersion,  kms:Decrypt
//	Beacon, a Keyring
//	List, Destroy       none
//
// KMS is sent the item's attributes as encryption context, with the logical name as
// "tablename". A policy can test them, as kms:EncryptionContext:branch-key-id.
package branchkey
