package fieldgorm_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/glebarez/sqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope/field"
	"github.com/go-sealring/sealring/envelope/field/fieldgorm"
	"github.com/go-sealring/sealring/internal/pgtest"
	"github.com/go-sealring/sealring/keyring"
)

type Doctor struct {
	ID      string                 `seal:",row"`
	Licence field.Sealed[string]   `seal:"licence,text" gorm:"type:text"`
	Grades  field.Sealed[[]string] `seal:"grades" gorm:"type:bytes"`
}

type Note struct {
	ID        string `seal:",row"`
	PatientID string
	Text      field.Sealed[string] `seal:"text" gorm:"type:bytes"`
}

type Patient struct {
	ID       string `seal:",row"`
	Tenant   string `seal:",context=tenant"`
	Name     string
	SSN      field.Sealed[string] `seal:"ssn" gorm:"type:bytes"`
	SSNIdx   field.Index          `seal:"index=ssn,normalize=digits"`
	Remarks  field.Sealed[string] `seal:"remarks" gorm:"type:bytes"`
	DoctorID *string
	Doctor   *Doctor `seal:"-"`
	Notes    []Note
}

// Visit has a key that the database makes.
type Visit struct {
	ID     uint                 `seal:",row"`
	Reason field.Sealed[string] `seal:"reason" gorm:"type:bytes"`
}

// Event has such a key too, and is bound to table and column alone.
type Event struct {
	ID   uint
	What field.Sealed[string] `seal:"what" gorm:"type:bytes"`
}

// Stranger is not registered.
type Stranger struct {
	ID   string               `seal:",row"`
	Word field.Sealed[string] `seal:"word" gorm:"type:bytes"`
}

// Contact has structs within.
type Contact struct {
	ID   string   `seal:",row"`
	Home Address  `seal:",inline,prefix=home_" gorm:"embedded;embeddedPrefix:home_"`
	Work *Address `seal:",inline,prefix=work_" gorm:"embedded;embeddedPrefix:work_"`
}

type Address struct {
	Phone    field.Sealed[string] `seal:"phone" gorm:"type:bytes"`
	PhoneIdx field.Index          `seal:"index=phone"`
}

// counting counts how many fields are sealed and opened, by their materials.
type counting struct {
	keyring.MaterialsManager
	sealed atomic.Int64
}

func (c *counting) EncryptionMaterials(ctx context.Context, r keyring.EncryptionRequest) (*keyring.EncryptionMaterials, error) {
	c.sealed.Add(1)
	return c.MaterialsManager.EncryptionMaterials(ctx, r)
}

type fixture struct {
	*gorm.DB
	patients *field.Table[Patient]
	manager  *counting
	log      *bytes.Buffer
}

func table[T any](t testing.TB, m keyring.MaterialsManager, name string, o field.Options) *field.Table[T] {
	made, err := field.NewTable[T](m, name, &o)
	require.NoError(t, err)
	return made
}

// onEach runs a test on SQLite, and on PostgreSQL if it is there.
func onEach(t *testing.T, test func(t *testing.T, f *fixture)) {
	t.Run("SQLite", func(t *testing.T) { test(t, newSQLite(t)) })
	t.Run("PostgreSQL", func(t *testing.T) {
		if postgresURL == "" {
			postgresURL = pgtest.Database(t)
		}
		f := newFixture(t, postgres.Open(postgresURL))
		require.NoError(t, f.Exec("TRUNCATE doctors, patients, notes, visits, events, strangers, contacts RESTART IDENTITY").Error)
		f.log.Reset()
		test(t, f)
	})
}

// postgresURL leads to the database that tests use one after the other.
var postgresURL string

func newSQLite(t testing.TB, more ...func(f *fixture) fieldgorm.Model) *fixture {
	return newFixture(t, sqlite.Open("file::memory:"), more...)
}

func newFixture(t testing.TB, d gorm.Dialector, more ...func(f *fixture) fieldgorm.Model) *fixture {
	key := make([]byte, 32)
	rand.Read(key)
	kr, err := keyring.NewRawAES("test", "a", key)
	require.NoError(t, err)
	cached, err := cache.New(kr, cache.Limits{MaxAge: time.Hour})
	require.NoError(t, err)
	t.Cleanup(func() { cached.Close() })

	f := &fixture{manager: &counting{MaterialsManager: cached}, log: new(bytes.Buffer)}
	keys := field.Options{IndexKeys: field.NewIndexKeys()}
	f.patients = table[Patient](t, f.manager, "patients", keys)
	models := []fieldgorm.Model{
		fieldgorm.Table(f.patients),
		fieldgorm.Table(table[Doctor](t, f.manager, "doctors", keys)),
		fieldgorm.Table(table[Note](t, f.manager, "notes", keys)),
		fieldgorm.Table(table[Visit](t, f.manager, "visits", keys)),
		fieldgorm.Table(table[Event](t, f.manager, "events", field.Options{WithoutRow: true})),
		fieldgorm.Table(table[Contact](t, f.manager, "contacts", keys)),
	}
	for _, m := range more {
		models = append(models, m(f))
	}
	f.DB = open(t, d, f.log)
	require.NoError(t, f.Use(fieldgorm.New(models...)))
	if !f.Migrator().HasTable(&Contact{}) {
		f.migrate(t)
	}
	f.log.Reset()
	return f
}

func (f *fixture) migrate(t testing.TB) {
	require.NoError(t, f.AutoMigrate(&Doctor{}, &Patient{}, &Note{}, &Visit{}, &Event{}, &Stranger{}, &Contact{}))
}

// open opens a database that logs each statement.
func open(t testing.TB, d gorm.Dialector, to io.Writer) *gorm.DB {
	db, err := gorm.Open(d, &gorm.Config{
		Logger: logger.New(log.New(to, "", 0), logger.Config{LogLevel: logger.Info}),
	})
	require.NoError(t, err)
	sqlDB, err := db.DB()
	require.NoError(t, err)
	sqlDB.SetMaxOpenConns(1) // a database in memory is its connection's
	t.Cleanup(func() { sqlDB.Close() })
	return db
}

const secret = "078-05-11" // what all values here begin with, and nothing else

func value(i int) field.Sealed[string] { return field.New(fmt.Sprintf("%s%02d", secret, i)) }

func patient(i int) Patient {
	return Patient{ID: fmt.Sprint("p", i), Tenant: "t", Name: "n", SSN: value(i)}
}

func plaintext[T any](t testing.TB, s field.Sealed[T]) T {
	t.Helper()
	v, err := s.Plaintext()
	require.NoError(t, err)
	return v
}

func (f *fixture) terms(t testing.TB, value string) [][]byte {
	terms, err := f.patients.Terms("ssn", value, keyring.EncryptionContext{"tenant": "t"})
	require.NoError(t, err)
	return terms
}

// find returns the patients that are found by the index of a value.
func (f *fixture) find(t testing.TB, value string) []string {
	var found []Patient
	require.NoError(t, f.Order("id").Find(&found, "ssn_idx IN ?", f.terms(t, value)).Error)
	ids := []string{}
	for _, p := range found {
		assert.Equal(t, value, plaintext(t, p.SSN))
		ids = append(ids, p.ID)
	}
	return ids
}

// noPlaintext holds that neither the log nor the database has a value.
func (f *fixture) noPlaintext(t testing.TB) {
	t.Helper()
	assert.NotContains(t, f.log.String(), secret)
	var stored []map[string]any
	require.NoError(t, f.Table("patients").Find(&stored).Error)
	assert.NotContains(t, fmt.Sprintf("%s", stored), secret)
	assert.NotContains(t, strings.ToLower(fmt.Sprintf("%x", stored)), fmt.Sprintf("%x", secret))
}
