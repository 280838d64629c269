// Package fieldgorm seals and opens records of package field in GORM: creates and updates
// seal, queries open.
//
//	type Patient struct {
//		ID     string               `seal:",row"`
//		Tenant string               `seal:",context=tenant"`
//		SSN    field.Sealed[string] `seal:"ssn" gorm:"type:bytes"`
//		SSNIdx field.Index          `seal:"index=ssn,normalize=digits" gorm:"index"`
//	}
//
// After db.AutoMigrate, or a migration of your own:
//
//	patients, err := field.NewTable[Patient](cached, "patients", &field.Options{IndexKeys: keys})
//	if err != nil {
//		log.Fatal(err)
//	}
//	if err := db.Use(fieldgorm.New(fieldgorm.Table(patients))); err != nil {
//		log.Fatal(err)
//	}
//	if err := db.Create(&Patient{ID: "p-17", Tenant: "42", SSN: field.New("078-05-1120")}).Error; err != nil {
//		log.Fatal(err)
//	}
//	terms, err := patients.Terms("ssn", "078051120", keyring.EncryptionContext{"tenant": "42"})
//	if err != nil {
//		log.Fatal(err)
//	}
//	var p Patient
//	if err := db.Where("ssn_idx IN ?", terms).First(&p).Error; err != nil {
//		log.Fatal(err)
//	}
//	fmt.Println(p.SSN.Plaintext())
//
// GORM must be told what type a sealed column has: `gorm:"type:bytes"` is that of bytes in
// every database, and `gorm:"type:text"` goes with the option text of the seal tag. A field
// that is an association of GORM has the tag `seal:"-"` if its type has sealed fields: the
// records that it leads to are sealed and opened by a table of their own.
//
// # Writing
//
// Create, CreateInBatches, FirstOrCreate, Save, upserts by clause.OnConflict, associations,
// and Update, Updates, UpdateColumn and UpdateColumns seal before GORM makes the statement,
// after the hooks BeforeCreate, BeforeSave and BeforeUpdate. All records of a statement are
// sealed at once, and each value once. An index is written whenever its column is, whatever
// was selected or omitted. In a map, or as the value of Update, a sealed column takes a
// field.Sealed, or nil for NULL.
//
// An update must say which one row it is for: its key, and the fields of its context, are
// in the model, in the struct with the new values, or in conditions such as
// Where("id = ?", id). To update many rows, read them, set the new values and Save them. A
// row whose key or context changes is read, changed and saved too.
//
// A key that the database makes is not there yet when a new record is sealed, so that such a
// record cannot be created with sealed values. Make the key in BeforeCreate, such as a UUID;
// or create the record without them, set them, and update it, in a transaction; or see
// field.Options.WithoutRow.
//
// If a record cannot be sealed, nothing of the statement is written. The error is that of
// field, with the record's index, which CreateInBatches counts in each batch from 0. With
// gorm.Config.SkipDefaultTransaction, what comes before in the call is written nevertheless:
// associations, and other batches.
//
// # Reading
//
// Find, First, Last, Take, FindInBatches, FirstOrInit and FirstOrCreate open what they read,
// before the hook AfterFind; so do Preload, Joins of associations, Association.Find,
// Raw with Find, and clause.Returning. A column that was not selected stays NULL; the row's
// key and the fields of the context must be, or there is field's error. Of records that
// cannot be opened the error has the index, and the others are open.
//
// Scan, Row, Rows, ScanRows and Pluck do not open, since GORM calls no plugin when they have
// read: use Find, or call field.Table.Open. Nor does anything open a record of another type
// than that which is registered. Until it is open, to read a value is field.ErrNotOpened.
//
// # Conditions
//
// No condition finds a value in a sealed column. To compare one with plaintext is
// [ErrCondition]: in structs, maps and clauses, and in SQL with arguments or literals such
// as "ssn = ?", "lower(ssn) LIKE ?" or "? = ssn". So it is to compare an index with
// something else than bytes. Allowed are NULL, a field.Sealed that is sealed, which finds
// what has not changed since it was read, and subqueries.
//
// # What cannot be seen
//
// The plugin does not look into what Raw, Exec, Order and Select are given, nor into
// gorm.Expr in a condition. Their arguments are in the log if they are plaintext, as any
// argument is, and a sealed column that they write must be sealed by field.Table.Seal. SQL
// that computes with a column, such as "substr(ssn, 1, 3) = ?", is not understood. Where
// the plugin has sealed, the log shows ciphertext, or what the logger puts in its place.
package fieldgorm
