// Package field seals single fields of records, so that what is in a table's columns, in a
// JSON document or in another store can be read only by those who may use the keys.
//
//	type Patient struct {
//		ID     string               `seal:",row"`            // binds what is sealed to this row
//		Tenant string               `seal:",context=tenant"` // a pair of the encryption context
//		SSN    field.Sealed[string] `seal:"ssn"`
//		Notes  field.Sealed[string] `seal:"notes"`
//	}
//
//	patients, err := field.NewTable[Patient](cached, "patients", nil)
//	if err != nil {
//		log.Fatal(err)
//	}
//	p := Patient{ID: "p-17", Tenant: "42", SSN: field.New("078-05-1120")}
//	if err := patients.Seal(ctx, &p); err != nil { // then any driver, ORM or encoder writes p
//		log.Fatal(err)
//	}
//	if err := patients.Open(ctx, &p); err != nil { // after any of them has read it
//		log.Fatal(err)
//	}
//	ssn, err := p.SSN.Plaintext()
//	if err != nil {
//		log.Fatal(err)
//	}
//	fmt.Println(ssn)
//
// [Table.Seal] and [Table.Open] do the work, on one record or a hundred thousand. A
// [Sealed] itself moves ciphertext alone: it is a driver.Valuer, a sql.Scanner, and a JSON,
// text and binary marshaler. A value that was not sealed is an error there.
//
// # Tags
//
//	seal:"ssn"                  a Sealed: the column's name, which is bound into the values
//	seal:"ssn,text"             the column holds text: unpadded base64url
//	seal:"ssn,pad=64"           values are padded to a multiple of 64 bytes
//	seal:",row"                 the row's key; of several fields: row=1, row=2
//	seal:",context=tenant"      a pair of the encryption context
//	seal:"index=ssn"            an Index of the column ssn
//	seal:"index=ssn,bytes=8"    whose terms are 8 bytes long, and the version
//	seal:"index=ssn,normalize=fold"   made of normalized values
//	seal:",inline"              a struct whose fields are this record's too
//	seal:",inline,prefix=home_" whose columns' names begin with home_
//	seal:"-"                    nothing
//
// Embedded structs are inline by themselves. The names in tags, and that of the table, are
// for good: a value that was sealed under one name does not open under another. The names
// of Go's types and fields may change.
//
// A row's key is a string, an integer, bytes, or a type with MarshalText. A context pair is
// a string, an integer, which becomes its decimal digits, or a type with MarshalText. Both may
// be pointers to these; neither is a bool, a float or a time. They must be set: an empty one,
// a nil pointer, and zero, are refused; a pointer to zero is not. If the database makes the
// row's key, seal after the insert, or set Options.WithoutRow.
//
// The normalizers are for fields of strings. Two are built in:
//
//	fold    takes white space from both ends, newlines too, and makes letters alike that
//	        differ in case alone, by Unicode's simple folding: JÜRGEN is found by Jürgen. White
//	        space within stays, accents stay, and ß is not ss.
//	digits  leaves the digits 0 to 9 and drops all else, digits of other scripts, signs and
//	        decimal points too: -1.5 and 15 are one.
//
// Options.Normalizers adds others. A value of which a normalizer leaves nothing has no index
// term: its index is NULL. Without a normalizer values must be equal to the byte.
//
// # What is shared, and what it costs
//
// The encryption context of a field is its table and the pairs that tags add. A data key is
// wrapped for one context: so a cache needs one call of the key service for each tenant to
// write, and one to read, however many rows there are. Never make the row's key a context
// pair: that is a call for each row, but under branch keys (keyring/branchkey), where it
// is one for each tenant. What binds a value to its row and column is inside the
// message, and costs nothing.
//
// # The message
//
// A sealed field is one message of the AWS Encryption SDK, unsigned, with its context
// stored in it: every SDK can decrypt it. Its plaintext is
//
//	bytes  what
//	1      version: 01, or 02 with padding
//	16     binding: the first bytes of SHA-256 over the table, the column and the row's
//	       key, or each part of it, each with its length before it in 4 bytes, big-endian
//	n      the value's encoding
//	       in version 02: 80, then bytes 00 up to a multiple of pad=
//
// For the table patients, the column ssn, the row p-17 and the value 078-05-1120, what is
// hashed is
//
//	00000008 70617469656e7473 00000003 73736e 00000004 702d3137
//
// and the plaintext is
//
//	01 f7d02f873a27870c7bf7f21ca474d66f 3037382d30352d31313230
//
// Whoever decrypts with another SDK compares the binding with that of the place where the
// message was found.
//
// Values are encoded so: a string and []byte as they are; bool as true or false; an integer
// in decimal; a float in the fewest digits that mean it, as 0.1, 1e+06, NaN or -Inf;
// time.Time in UTC by RFC 3339 with up to nine digits of fraction; every other type, and
// every type with a marshaler of its own, by encoding/json.
//
// # What a field does not hide
//
// Its length, to a byte unless it is padded; whether it is NULL; when it was written; and
// with an [Index], which rows have the same value. Truncating an index makes different
// values share a term: among N rows with different values, a query finds about
// N/256^bytes more than it asked for, which it must sort out after opening.
package field
