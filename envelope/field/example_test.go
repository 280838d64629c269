package field_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope/field"
	"github.com/go-sealring/sealring/keyring"
)

// exampleKeys returns a cache over a keyring. With KMS the keyring would be awskms.New's.
func exampleKeys() *cache.Cache {
	key := make([]byte, 32)
	rand.Read(key)
	kr, err := keyring.NewRawAES("app", "kek-2026", key)
	if err != nil {
		log.Fatal(err)
	}
	cached, err := cache.New(kr, cache.Limits{MaxAge: 5 * time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	return cached
}

// A record is sealed before it is written, and opened after it was read.
func Example() {
	ctx := context.Background()
	cached := exampleKeys()
	defer cached.Close()

	type Patient struct {
		ID     string               `seal:",row"`            // binds what is sealed to this row
		Tenant string               `seal:",context=tenant"` // a pair of the encryption context
		SSN    field.Sealed[string] `seal:"ssn"`
		Notes  field.Sealed[string] `seal:"notes"`
	}

	patients, err := field.NewTable[Patient](cached, "patients", nil)
	if err != nil {
		log.Fatal(err)
	}
	p := Patient{ID: "p-17", Tenant: "42", SSN: field.New("078-05-1120")}
	if err := patients.Seal(ctx, &p); err != nil { // then any driver, ORM or encoder writes p
		log.Fatal(err)
	}
	if err := patients.Open(ctx, &p); err != nil { // after any of them has read it
		log.Fatal(err)
	}
	ssn, err := p.SSN.Plaintext()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ssn)

	fmt.Println(p) // as in a log
	// Output:
	// 078-05-1120
	// {p-17 42 [sealed] [sealed]}
}

// A blind index finds the rows that have a value, without opening any.
func ExampleTable_Terms() {
	ctx := context.Background()
	cached := exampleKeys()
	defer cached.Close()

	type Patient struct {
		ID     string               `seal:",row"`
		Tenant string               `seal:",context=tenant"`
		SSN    field.Sealed[string] `seal:"ssn"`
		SSNIdx field.Index          `seal:"index=ssn,normalize=digits"`
	}
	patients, err := field.NewTable[Patient](cached, "patients", &field.Options{
		IndexKeys: field.NewIndexKeys(), // a program opens those that it has: OpenIndexKeys
	})
	if err != nil {
		log.Fatal(err)
	}
	rows := []*Patient{
		{ID: "p-17", Tenant: "42", SSN: field.New("078-05-1120")},
		{ID: "p-18", Tenant: "42", SSN: field.New("219-09-9999")},
		{ID: "p-19", Tenant: "43", SSN: field.New("078-05-1120")},
	}
	if err := patients.Seal(ctx, rows...); err != nil { // fills SSNIdx too
		log.Fatal(err)
	}

	terms, err := patients.Terms("ssn", "078 05 1120", keyring.EncryptionContext{"tenant": "42"})
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range rows { // SELECT … WHERE tenant = '42' AND ssn_idx = ANY ($1)
		for _, term := range terms {
			if bytes.Equal(p.SSNIdx, term) {
				fmt.Println(p.ID)
			}
		}
	}
	// The term of another tenant's row is another.
	fmt.Println(bytes.Equal(rows[0].SSNIdx, rows[2].SSNIdx))
	// Output:
	// p-17
	// false
}

// Index keys rotate while records are found: every process takes a step before any takes
// the next.
func ExampleIndexKeys() {
	ctx := context.Background()
	cached := exampleKeys()
	defer cached.Close()

	type Patient struct {
		ID     string               `seal:",row"`
		SSN    field.Sealed[string] `seal:"ssn"`
		SSNIdx field.Index          `seal:"index=ssn"`
	}
	table := func(keys *field.IndexKeys) *field.Table[Patient] {
		patients, err := field.NewTable[Patient](cached, "patients", &field.Options{IndexKeys: keys})
		if err != nil {
			log.Fatal(err)
		}
		return patients
	}

	// Once: make them, and keep what Seal returns.
	kept, err := field.NewIndexKeys().Seal(ctx, cached)
	if err != nil {
		log.Fatal(err)
	}
	// At each start: open them.
	keys, err := field.OpenIndexKeys(ctx, cached, kept)
	if err != nil {
		log.Fatal(err)
	}
	p := Patient{ID: "p-17", SSN: field.New("078-05-1120")}
	if err := table(keys).Seal(ctx, &p); err != nil {
		log.Fatal(err)
	}
	fmt.Println("version", p.SSNIdx[0])

	// Step 1: from now on, find by both.
	keys, err = keys.Add()
	if err != nil {
		log.Fatal(err)
	}
	terms, err := table(keys).Terms("ssn", "078-05-1120", nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("terms", len(terms), "found", bytes.Equal(p.SSNIdx, terms[0]))

	// Step 2: write the new one.
	keys, err = keys.Use(2)
	if err != nil {
		log.Fatal(err)
	}
	// Step 3: give all records new terms. Rotate does it over a whole table.
	fmt.Println("stale", table(keys).Stale(&p))
	if err := table(keys).Seal(ctx, &p); err != nil {
		log.Fatal(err)
	}
	fmt.Println("version", p.SSNIdx[0], "found", bytes.Equal(p.SSNIdx, terms[1]))

	// Step 4: forget the old one.
	keys, err = keys.Remove(1)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("versions", keys.Versions())
	// Output:
	// version 1
	// terms 2 found true
	// stale true
	// version 2 found true
	// versions [2]
}

// One bad row does not keep the others from being read.
func ExampleErrors() {
	ctx := context.Background()
	cached := exampleKeys()
	defer cached.Close()

	type Patient struct {
		ID  string               `seal:",row"`
		SSN field.Sealed[string] `seal:"ssn"`
	}
	patients, err := field.NewTable[Patient](cached, "patients", nil)
	if err != nil {
		log.Fatal(err)
	}
	rows := []*Patient{
		{ID: "p-17", SSN: field.New("078-05-1120")},
		{ID: "p-18", SSN: field.New("219-09-9999")},
		{ID: "p-19", SSN: field.New("457-55-5462")},
	}
	if err := patients.Seal(ctx, rows...); err != nil {
		log.Fatal(err)
	}

	// Somebody copies the number of p-17 over that of p-18.
	column, err := rows[0].SSN.Value()
	if err != nil {
		log.Fatal(err)
	}
	if err := rows[1].SSN.Scan(column); err != nil {
		log.Fatal(err)
	}

	err = patients.Open(ctx, rows...)
	var failed field.Errors
	if errors.As(err, &failed) {
		for _, e := range failed {
			fmt.Println(rows[e.Index].ID, e.Column, errors.Is(e, field.ErrBinding))
		}
	}
	for _, p := range rows {
		ssn, err := p.SSN.Plaintext()
		fmt.Printf("%s %q %v\n", p.ID, ssn, err)
	}
	// Output:
	// p-18 ssn true
	// p-17 "078-05-1120" <nil>
	// p-18 "" field: the value is not opened: call Table.Open before reading it
	// p-19 "457-55-5462" <nil>
}

// With padding, the length of a column tells only which multiple it is.
func ExampleTable_Seal_padding() {
	ctx := context.Background()
	cached := exampleKeys()
	defer cached.Close()

	type Patient struct {
		ID     string               `seal:",row"`
		Plain  field.Sealed[string] `seal:"plain"`
		Padded field.Sealed[string] `seal:"padded,pad=64"`
	}
	patients, err := field.NewTable[Patient](cached, "patients", nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, diagnosis := range []string{"flu", "influenza A", "acute lymphoblastic leukaemia"} {
		p := Patient{ID: "p-17", Plain: field.New(diagnosis), Padded: field.New(diagnosis)}
		if err := patients.Seal(ctx, &p); err != nil {
			log.Fatal(err)
		}
		plain, err := p.Plain.MarshalBinary()
		if err != nil {
			log.Fatal(err)
		}
		padded, err := p.Padded.MarshalBinary()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(len(plain), len(padded))
	}
	// Output:
	// 256 317
	// 264 317
	// 282 317
}

// The key of a row may have several parts: all of them bind.
func ExampleTable_Seal_compositeKey() {
	ctx := context.Background()
	cached := exampleKeys()
	defer cached.Close()

	type Result struct {
		Order  string               `seal:",row=1"`
		Line   int                  `seal:",row=2"`
		Result field.Sealed[string] `seal:"result"`
	}
	results, err := field.NewTable[Result](cached, "results", nil)
	if err != nil {
		log.Fatal(err)
	}
	r := Result{Order: "o-9", Line: 1, Result: field.New("negative")}
	if err := results.Seal(ctx, &r); err != nil {
		log.Fatal(err)
	}
	column, err := r.Result.Value()
	if err != nil {
		log.Fatal(err)
	}
	for line := 1; line <= 2; line++ {
		read := Result{Order: "o-9", Line: line}
		if err := read.Result.Scan(column); err != nil {
			log.Fatal(err)
		}
		fmt.Println(line, results.Open(ctx, &read))
	}
	// Output:
	// 1 <nil>
	// 2 field: table results: record 0: column result: the value was sealed for another row or column
}

// A column that holds plaintext is moved while it is in use.
func ExampleTable_PlaintextsRead() {
	ctx := context.Background()
	cached := exampleKeys()
	defer cached.Close()

	type Patient struct {
		ID  string               `seal:",row"`
		SSN field.Sealed[string] `seal:"ssn"`
	}
	patients, err := field.NewTable[Patient](cached, "patients", &field.Options{ReadPlaintext: true})
	if err != nil {
		log.Fatal(err)
	}
	read := Patient{ID: "p-17"}
	if err := read.SSN.Scan([]byte("078-05-1120")); err != nil { // as it was stored before
		log.Fatal(err)
	}
	if err := patients.Open(ctx, &read); err != nil {
		log.Fatal(err)
	}
	ssn, err := read.SSN.Plaintext()
	fmt.Println(ssn, err, "read in plaintext:", patients.PlaintextsRead())

	_, err = read.SSN.Value() // it does not go back as it came
	fmt.Println(err)
	if err := patients.Seal(ctx, &read); err != nil {
		log.Fatal(err)
	}
	column, err := read.SSN.MarshalBinary()
	fmt.Println(hex.EncodeToString(column[:3]), err)

	// When nothing is counted any more: a table that takes no plaintext.
	strict, err := field.NewTable[Patient](cached, "patients", nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := read.SSN.Scan([]byte("078-05-1120")); err != nil {
		log.Fatal(err)
	}
	fmt.Println(strict.Open(ctx, &read))
	// Output:
	// 078-05-1120 <nil> read in plaintext: 1
	// field: the value is not sealed: call Table.Seal before writing it
	// 020478 <nil>
	// field: table patients: record 0: column ssn: the column holds no sealed value: its 11 bytes do not begin as one
}

// A table is moved to a new wrapping key, here a table in memory. Whoever writes a record
// meanwhile keeps what was written.
func ExampleTable_Rotate() {
	ctx := context.Background()
	rawKey := func(name string) keyring.Keyring {
		key := make([]byte, 32)
		rand.Read(key)
		kr, err := keyring.NewRawAES("app", name, key)
		if err != nil {
			log.Fatal(err)
		}
		return kr
	}
	type Patient struct {
		ID  string               `seal:",row"`
		SSN field.Sealed[string] `seal:"ssn"`
	}
	table := func(kr keyring.Keyring) *field.Table[Patient] {
		cached, err := cache.New(kr, cache.Limits{MaxAge: 5 * time.Minute})
		if err != nil {
			log.Fatal(err)
		}
		patients, err := field.NewTable[Patient](cached, "patients", nil)
		if err != nil {
			log.Fatal(err)
		}
		return patients
	}
	column := func(p *Patient) []byte {
		b, err := p.SSN.MarshalBinary()
		if err != nil {
			log.Fatal(err)
		}
		return b
	}

	// The database: the column ssn of five rows.
	last := rawKey("kek-2025")
	stored := map[string][]byte{}
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		p := Patient{ID: id, SSN: field.New("078-05-1120")}
		if err := table(last).Seal(ctx, &p); err != nil {
			log.Fatal(err)
		}
		stored[id] = column(&p)
	}

	// The new key wraps, and the last one still unwraps.
	next := rawKey("kek-2026")
	either, err := keyring.NewMultiDecrypter(next, last)
	if err != nil {
		log.Fatal(err)
	}
	patients := table(struct {
		keyring.Encrypter
		keyring.Decrypter
	}{next, either})
	progress, err := patients.Rotate(ctx, field.Rotation[Patient]{
		Keys:        []string{"kek-2026"}, // what is to wrap each column, and nothing else
		Concurrency: 1,
		Read: func(ctx context.Context, after string) (page []*Patient, next string, err error) {
			// SELECT id, ssn FROM patients WHERE id > $1 ORDER BY id LIMIT 2
			for _, id := range []string{"a", "b", "c", "d", "e"} {
				if id > after && len(page) < 2 {
					p := &Patient{ID: id}
					if err := p.SSN.Scan(stored[id]); err != nil {
						return nil, "", err
					}
					page, next = append(page, p), id
				}
			}
			return page, next, nil
		},
		Write: func(ctx context.Context, page []field.Resealed[Patient]) (lost int, err error) {
			for _, p := range page {
				// UPDATE patients SET ssn = $1 WHERE id = $2 AND ssn = $3
				if !bytes.Equal(stored[p.Record.ID], column(&p.Before)) {
					lost++
					continue
				}
				stored[p.Record.ID] = column(p.Record)
			}
			return lost, nil
		},
		Checkpoint: func(ctx context.Context, at string, so field.Progress) error {
			fmt.Println("done up to", at, "sealed", so.Sealed)
			return nil
		},
	}, "")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%+v\n", progress)
	// Output:
	// done up to b sealed 2
	// done up to d sealed 4
	// done up to e sealed 5
	// {Read:5 Fresh:0 Sealed:5 Lost:0 Failed:0}
}
