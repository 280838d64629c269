// Package dynamoitem encrypts and decrypts the items of DynamoDB tables in the format of
// AWS's Database Encryption SDK, whose releases for Java, .NET and Rust read what it
// writes, and write what it reads.
//
//	manager, err := keyring.NewManager(kr) // any keyring: AWS KMS, branch keys, raw keys
//	if err != nil {
//		log.Fatal(err)
//	}
//	orders, err := dynamoitem.NewTable(manager, dynamoitem.Config{
//		Table:        "orders",
//		PartitionKey: "customer",
//		SortKey:      "order",
//		Actions: map[string]dynamoitem.Action{
//			"customer": dynamoitem.SignOnly,
//			"order":    dynamoitem.SignOnly,
//			"address":  dynamoitem.EncryptAndSign,
//			"status":   dynamoitem.SignOnly,
//		},
//		UnsignedPrefix: ":",
//	})
//	if err != nil {
//		log.Fatal(err)
//	}
//	encrypted, err := orders.Encrypt(ctx, item) // then PutItem
//	item, err = orders.Decrypt(ctx, encrypted)  // after GetItem
//
// [NewClient] does both around a client of the SDK's, in its own methods.
//
// # What is protected
//
// The attributes of an item are encrypted, signed or left alone one by one: see [Action].
// A map or a list is one attribute. Names, types and, to a byte, lengths stay readable.
// Signatures bind all signed attributes to each other, to the table's logical name and to
// the item's key: an item that was altered, or that lies under another key or in another
// table, is refused before anything is decrypted. An older state of the same item is not:
// whoever can write to the table can put one back.
//
// What one has to know of DynamoDB: UpdateItem cannot change a signed attribute, since
// the signatures would not fit any more; conditions and filters see ciphertext; and an
// item, which is at most 400 KB, grows by 18 bytes for each encrypted attribute and some
// hundred for the head and the foot.
//
// # What it costs
//
// The encryption context of an item has its key, so that each item has a data key of its
// own. A keyring for AWS KMS calls KMS for each item that is written or read. Package
// branchkey calls it once for each branch key and hour instead.
//
// # The format
//
// aws_dbe_head holds, numbers big-endian:
//
//	bytes  field
//	1      version: 01, or 02 if an attribute has SignAndIncludeInContext
//	1      second byte of the suite's ID: 00 or 01
//	32     message ID
//	2      length of the legend; for each signed attribute, in canonical order, a letter:
//	         e encrypted, s signed, c signed and in the encryption context
//	2      number of stored pairs of the encryption context; for each, in the order of
//	       the keys' bytes:
//	         2  length of the key, and the key in UTF-8
//	         2  length of the value, and the value in UTF-8
//	1      number of encrypted data keys, at least one; for each:
//	         2  length of the provider ID, and the provider ID in UTF-8
//	         2  length of the provider information, and that
//	         2  length of the wrapped key, and that
//	32     commitment: HMAC-SHA512 of all before it under the commit key, its first bytes
//
// Commit key and root key are HKDF-SHA512 of the data key without a salt, the infos
// AWS_DBE_COMMIT_KEY and AWS_DBE_DERIVE_KEY, each before the message ID. The key stream of
// AES-256-CTR under the root key, from the counter block "AwsDbeField" 2c 00000000 on, has
// 48 bytes for each encrypted attribute, in canonical order: key, nonce and four that are
// not used. The attribute's value becomes its type and AES-256-GCM of its serialized
// value, with its canonical path as additional data.
//
// The canonical path is the table's name, the number 1 in 8 bytes, "$", the length of
// the attribute's name in units of UTF-16 in 8 bytes, and the name. Canonical order is
// that of the paths' bytes.
//
// aws_dbe_foot holds 48 bytes for each encrypted data key, HMAC-SHA384 of H under the
// symmetric signing key that came with it, and in suite 0x6701 an ECDSA signature in DER
// over the message H. H is SHA-384 of the head; of the length of the whole encryption
// context in 8 bytes, and that context as it would be stored; and of each signed
// attribute in canonical order: its path, the length of what is stored without the type
// in 8 bytes, ENCRYPTED or PLAINTEXT, its type, and its serialized or encrypted value.
//
// Source: specification/structured-encryption and specification/dynamodb-encryption-client
// of github.com/aws/aws-database-encryption-sdk-dynamodb; where they and the releases
// differ, the releases.
package dynamoitem
