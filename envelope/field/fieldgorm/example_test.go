package fieldgorm_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/glebarez/sqlite"
	"gorm.io/gorm"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope/field"
	"github.com/go-sealring/sealring/envelope/field/fieldgorm"
	"github.com/go-sealring/sealring/keyring"
)

func Example() {
	key := make([]byte, 32)
	rand.Read(key)
	kr, err := keyring.NewRawAES("clinic", "kek-2026", key) // or KMS: package awskms
	if err != nil {
		log.Fatal(err)
	}
	cached, err := cache.New(kr, cache.Limits{MaxAge: 5 * time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	defer cached.Close()
	keys := field.NewIndexKeys() // a service keeps them: IndexKeys.Seal
	db, err := gorm.Open(sqlite.Open(":memory:"), nil)
	if err != nil {
		log.Fatal(err)
	}

	type Patient struct {
		ID     string               `seal:",row"`
		Tenant string               `seal:",context=tenant"`
		SSN    field.Sealed[string] `seal:"ssn" gorm:"type:bytes"`
		SSNIdx field.Index          `seal:"index=ssn,normalize=digits" gorm:"index"`
	}
	if err := db.AutoMigrate(&Patient{}); err != nil {
		log.Fatal(err)
	}

	patients, err := field.NewTable[Patient](cached, "patients", &field.Options{IndexKeys: keys})
	if err != nil {
		log.Fatal(err)
	}
	if err := db.Use(fieldgorm.New(fieldgorm.Table(patients))); err != nil {
		log.Fatal(err)
	}
	if err := db.Create(&Patient{ID: "p-17", Tenant: "42", SSN: field.New("078-05-1120")}).Error; err != nil {
		log.Fatal(err)
	}
	terms, err := patients.Terms("ssn", "078051120", keyring.EncryptionContext{"tenant": "42"})
	if err != nil {
		log.Fatal(err)
	}
	var p Patient
	if err := db.Where("ssn_idx IN ?", terms).First(&p).Error; err != nil {
		log.Fatal(err)
	}
	fmt.Println(p.SSN.Plaintext())

	err = db.Model(&p).Updates(Patient{SSN: field.New("219-09-9999")}).Error
	fmt.Println(err)
	fmt.Println(db.Where("ssn_idx IN ?", terms).Find(&[]Patient{}).RowsAffected)

	err = db.First(&p, "ssn = ?", "219-09-9999").Error
	fmt.Println(errors.Is(err, fieldgorm.ErrCondition))
	// Output:
	// 078-05-1120 <nil>
	// <nil>
	// 0
	// true
}
