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
// [NewRecords] does both with structs, whose tags take the place of Actions. [NewClient]
// does both around a client of the SDK's, in its own methods.
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
// # Beacons
//
// Config.Beacons lets items be found by encrypted attributes. Encrypt adds a short hash of
// the value, under a key of its own, as aws_dbe_b_ and the beacon's name. [Client.Find] asks
// a global secondary index that has that attribute as its key. Rows of other values come
// back too, since hashes are cut short, and Find leaves them out once they are decrypted:
//
//	want := map[string]types.AttributeValue{"phone": &types.AttributeValueMemberS{Value: "555-0100"}}
//	for person, err := range client.Find(ctx, &dynamoitem.FindInput{
//		TableName: "people", IndexName: "by-phone", PartitionKey: "phone", Want: want,
//	}) {
//		...
//	}
//
// A compound beacon, with readable and hashed parts, can be the index's sort key, of which
// Find compares the first parts. [Table.Beacon] and [Table.Filter] are for what Find does not
// do: beacons that are sets, for scans, and parallel queries.
//
// Where each tenant has a branch key, Config.BeaconKeySupplier tells it from an item, and
// from what is wanted. An item is then found by those alone who say whose it is.
//
// Cutting them short is the protection that there is. Whoever can read the table sees
// which items have the same beacon, and how often each is there: of a value that is much
// more frequent than others, the beacon tells the value, whatever its length. [BeaconBits]
// has AWS's advice on lengths, and [BeaconCollisions] what they cost. Do not make beacons
// of attributes with few or with very uneven values, nor of two that tell of each other.
//
// Beacons are not signed: that is AWS's format. Whoever can write to the table can give an
// item the beacon of another one, so that it is found where it does not belong, and can
// change or take away a beacon, so that an item is not found. Decrypt notices neither.
// Against the first, all rows must be decrypted and then filtered, as Find does, and no
// decision be made on a beacon alone. Against the second there is nothing: that a query
// found nothing does not prove that there is no such item, so that a beacon cannot enforce
// that a value is there once. Nor does a table's index know of a beacon that was
// configured later: items have those of the time when they were written, and must be
// written again.
//
// The beacon key of a branch key never changes, and all beacons are under it: those of one
// name are the same for the same value in all tables, so that who reads two tables can join
// them. Give beacons other names where that must not be. A [branchkey.Keyring] as
// Config.BeaconKeys keeps it for its Limits.MaxAge, with what was derived from it, and drops
// it with the branch key when that is destroyed.
//
// # What it costs
//
// The encryption context of an item has its key, so that each item has a data key of its
// own. A keyring for AWS KMS calls KMS for each item that is written or read. Package
// branchkey calls it once for each branch key and hour instead; with [BranchKeySupplier]
// each tenant has a branch key.
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
// A standard beacon is HMAC-SHA384 of the serialized value, without its type, under
// HKDF-SHA512 of the beacon key with the info AWS_DBE_SCAN_BEACON and the beacon's name, 64
// bytes: of its first 8 bytes the last bits, in lower-case hexadecimal digits, as many as
// hold them. In a compound beacon the value is hashed as text. aws_dbe_v_1 is a space in
// each item that was written with beacons.
//
// Source: specification/structured-encryption, specification/searchable-encryption and
// specification/dynamodb-encryption-client of
// github.com/aws/aws-database-encryption-sdk-dynamodb; where they and the releases differ,
// the releases.
package dynamoitem
