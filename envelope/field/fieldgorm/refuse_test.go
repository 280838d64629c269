package fieldgorm_test

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/glebarez/sqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/go-sealring/sealring/envelope/field"
	"github.com/go-sealring/sealring/envelope/field/fieldgorm"
)

const plain = secret + "01"

// TestRefused holds that what would write plaintext, leave an index stale or find nothing is
// an error, and that nothing reaches the database or the log.
func TestRefused(t *testing.T) {
	key := []clause.Column{{Name: "id"}}
	p1 := func() *Patient { return &Patient{ID: "p1", Tenant: "t"} }
	for name, c := range map[string]struct {
		do   func(db *gorm.DB) error
		kind error
		says string
	}{
		"update": {func(db *gorm.DB) error { return db.Model(p1()).Update("ssn", plain).Error },
			field.ErrUnsealed, "give it a field.Sealed[string], as field.New makes it, not a string"},
		"update by Go's name": {func(db *gorm.DB) error { return db.Model(p1()).Update("SSN", plain).Error }, field.ErrUnsealed, "field.New"},
		"update in capitals":  {func(db *gorm.DB) error { return db.Model(p1()).Update("Ssn", plain).Error }, field.ErrUnsealed, "field.New"},
		"update quoted":       {func(db *gorm.DB) error { return db.Model(p1()).Update(`"patients"."ssn"`, plain).Error }, field.ErrUnsealed, "field.New"},
		"update column":       {func(db *gorm.DB) error { return db.Model(p1()).UpdateColumn("ssn", plain).Error }, field.ErrUnsealed, "field.New"},
		"updates": {func(db *gorm.DB) error {
			return db.Model(p1()).Updates(map[string]any{"name": "x", "ssn": plain}).Error
		}, field.ErrUnsealed, "field.New"},
		"update columns":      {func(db *gorm.DB) error { return db.Model(p1()).UpdateColumns(map[string]any{"ssn": plain}).Error }, field.ErrUnsealed, "field.New"},
		"update with SQL":     {func(db *gorm.DB) error { return db.Model(p1()).Update("ssn", gorm.Expr("?", plain)).Error }, field.ErrUnsealed, "field.New"},
		"update another type": {func(db *gorm.DB) error { return db.Model(p1()).Update("ssn", field.New([]byte(plain))).Error }, field.ErrUnsealed, "field.New"},
		"update an index":     {func(db *gorm.DB) error { return db.Model(p1()).Update("ssn_idx", []byte{1}).Error }, field.ErrInvalidArgument, "written when ssn is: leave it out"},
		"select an index": {func(db *gorm.DB) error {
			return db.Model(p1()).Select("SSNIdx").Updates(Patient{SSNIdx: field.Index{1}}).Error
		}, field.ErrInvalidArgument, "written when ssn is: select that"},
		"update a table": {func(db *gorm.DB) error { return db.Table("patients").Where("id = ?", "p1").Update("ssn", plain).Error }, field.ErrUnsealed, "use Model(&fieldgorm_test.Patient{…})"},
		"set": {func(db *gorm.DB) error {
			return db.Model(p1()).Clauses(clause.Set{{Column: clause.Column{Name: "ssn"}, Value: plain}}).Updates(Patient{Name: "n"}).Error
		}, field.ErrUnsealed, "field.New"},
		"update no row": {func(db *gorm.DB) error {
			return db.Model(&Patient{}).Where("name = ?", "n").Updates(Patient{SSN: value(2)}).Error
		}, field.ErrInvalidArgument, "which one row is updated: give ID in the model"},
		"update either row": {func(db *gorm.DB) error {
			return db.Model(&Patient{Tenant: "t"}).Where("id = ?", "p1").Or("id = ?", "p2").Updates(Patient{SSN: value(2)}).Error
		}, field.ErrInvalidArgument, "give ID in the model"},
		"update many rows": {func(db *gorm.DB) error {
			return db.Model([]Patient{*p1(), {ID: "p2", Tenant: "t"}}).Updates(Patient{SSN: value(2)}).Error
		}, field.ErrInvalidArgument, "give ID in the model"},
		"update no tenant": {func(db *gorm.DB) error { return db.Model(&Patient{ID: "p1"}).Updates(Patient{SSN: value(2)}).Error }, field.ErrInvalidArgument, "give Tenant in the model"},
		"move":             {func(db *gorm.DB) error { return db.Model(p1()).Update("tenant", "u").Error }, field.ErrInvalidArgument, "read the record, change it, and Save it"},
		"move many": {func(db *gorm.DB) error {
			return db.Model(&Patient{}).Where("name = ?", "n").Update("tenant", "u").Error
		}, field.ErrInvalidArgument, "Save it"},
		"move and update": {func(db *gorm.DB) error { return db.Model(p1()).Updates(Patient{Tenant: "u", SSN: value(2)}).Error }, field.ErrInvalidArgument, "Save it"},
		"move in a table": {func(db *gorm.DB) error { return db.Table("patients").Where("1 = 1").Update("tenant", "u").Error }, field.ErrInvalidArgument, "Save it"},
		"write what is read": {func(db *gorm.DB) error {
			p := p1()
			require.NoError(t, p.SSN.Scan(plain))
			return db.Save(p).Error
		}, field.ErrNoMessage, "column ssn"},

		"create a map": {func(db *gorm.DB) error {
			return db.Model(&Patient{}).Create(map[string]any{"id": "p2", "ssn": plain}).Error
		}, field.ErrUnsealed, "create from a fieldgorm_test.Patient"},
		"create maps": {func(db *gorm.DB) error {
			return db.Model(&Patient{}).Create([]map[string]any{{"id": "p2"}, {"id": "p3", "SSN": value(2)}}).Error
		}, field.ErrUnsealed, "row 1: a map cannot be sealed"},
		"create in a table": {func(db *gorm.DB) error {
			return db.Table("patients").Create(map[string]any{"id": "p2", "ssn": plain}).Error
		}, field.ErrUnsealed, "a map cannot be sealed"},
		"omit an index": {func(db *gorm.DB) error {
			return db.Omit("SSNIdx").Create(&Patient{ID: "p2", Tenant: "t", SSN: value(2)}).Error
		}, field.ErrInvalidArgument, "written together with ssn"},
		"create what is read": {func(db *gorm.DB) error {
			return db.Where(Patient{ID: "p2"}).Attrs(map[string]any{"ssn": plain}).FirstOrCreate(&Patient{}).Error
		}, field.ErrNoMessage, "record 0"},
		"create unregistered": {func(db *gorm.DB) error { return db.Create(&Stranger{ID: "s", Word: value(1)}).Error }, field.ErrUnsealed, "fieldgorm.New was not given a fieldgorm.Table of fieldgorm_test.Stranger"},
		"save unregistered":   {func(db *gorm.DB) error { return db.Save(&Stranger{ID: "s", Word: value(1)}).Error }, field.ErrUnsealed, "fieldgorm.New was not given"},
		"update unregistered": {func(db *gorm.DB) error { return db.Model(&Stranger{ID: "s"}).Update("word", value(1)).Error }, field.ErrUnsealed, "fieldgorm.New was not given"},
		"map unregistered":    {func(db *gorm.DB) error { return db.Model(&Stranger{ID: "s"}).Update("word", plain).Error }, field.ErrUnsealed, "field.New"},
		"upsert plaintext": {func(db *gorm.DB) error {
			return db.Clauses(clause.OnConflict{Columns: key, DoUpdates: clause.Assignments(map[string]any{"ssn": plain})}).Create(p1()).Error
		}, field.ErrUnsealed, `clause.AssignmentColumns([]string{"ssn"})`},
		"upsert an index": {func(db *gorm.DB) error {
			return db.Clauses(clause.OnConflict{Columns: key, DoUpdates: clause.AssignmentColumns([]string{"ssn_idx"})}).Create(p1()).Error
		}, field.ErrInvalidArgument, "update ssn"},
		"upsert by another column": {func(db *gorm.DB) error {
			return db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "name"}}, UpdateAll: true}).Create(p1()).Error
		}, field.ErrInvalidArgument, "may have another id"},
		"upsert by a constraint": {func(db *gorm.DB) error {
			return db.Clauses(clause.OnConflict{OnConstraint: "patients_pkey", DoUpdates: clause.AssignmentColumns([]string{"ssn"})}).Create(p1()).Error
		}, field.ErrInvalidArgument, "may have another id"},
		"upsert where": {func(db *gorm.DB) error {
			return db.Clauses(clause.OnConflict{Columns: key, UpdateAll: true, Where: clause.Where{Exprs: []clause.Expression{clause.Eq{Column: "ssn", Value: plain}}}}).Create(p1()).Error
		}, fieldgorm.ErrCondition, "ssn_idx"},

		"where":             {func(db *gorm.DB) error { return db.Where("ssn = ?", plain).First(&Patient{}).Error }, fieldgorm.ErrCondition, "query by ssn_idx, with what Table.Terms returns"},
		"where not indexed": {func(db *gorm.DB) error { return db.Where("remarks = ?", plain).First(&Patient{}).Error }, fieldgorm.ErrCondition, "it has no index"},
		"where struct":      {func(db *gorm.DB) error { return db.Where(&Patient{SSN: value(1)}).First(&Patient{}).Error }, fieldgorm.ErrCondition, "ssn_idx"},
		"where map":         {func(db *gorm.DB) error { return db.Where(map[string]any{"ssn": plain}).First(&Patient{}).Error }, fieldgorm.ErrCondition, "ssn_idx"},
		"where map of many": {func(db *gorm.DB) error {
			return db.Where(map[string]any{"ssn": []string{plain}}).First(&Patient{}).Error
		}, fieldgorm.ErrCondition, "ssn_idx"},
		"where unsealed": {func(db *gorm.DB) error { return db.Where("ssn = ?", value(1)).First(&Patient{}).Error }, fieldgorm.ErrCondition, "ssn_idx"},
		"where clause": {func(db *gorm.DB) error {
			return db.Clauses(clause.Eq{Column: "ssn", Value: plain}).First(&Patient{}).Error
		}, fieldgorm.ErrCondition, "ssn_idx"},
		"where column": {func(db *gorm.DB) error {
			return db.Where(clause.IN{Column: clause.Column{Table: clause.CurrentTable, Name: "ssn"}, Values: []any{plain}}).First(&Patient{}).Error
		}, fieldgorm.ErrCondition, "ssn_idx"},
		"where like": {func(db *gorm.DB) error {
			return db.Where(clause.Like{Column: "ssn", Value: "078%"}).First(&Patient{}).Error
		}, fieldgorm.ErrCondition, "ssn_idx"},
		"where greater": {func(db *gorm.DB) error {
			return db.Where(clause.Or(clause.Gt{Column: "ssn", Value: plain}, clause.Lt{Column: "ssn", Value: plain})).First(&Patient{}).Error
		}, fieldgorm.ErrCondition, "ssn_idx"},
		"where the key": {func(db *gorm.DB) error { return db.Where("ssn", plain).First(&Patient{}).Error }, fieldgorm.ErrCondition, "ssn_idx"},
		"where quoted": {func(db *gorm.DB) error {
			return db.Where(`name = ? AND "patients"."SSN" IN ?`, "n", []string{plain}).First(&Patient{}).Error
		}, fieldgorm.ErrCondition, "ssn_idx"},
		"where lower":    {func(db *gorm.DB) error { return db.Where("lower(ssn) LIKE ?", "078%").First(&Patient{}).Error }, fieldgorm.ErrCondition, "ssn_idx"},
		"where cast":     {func(db *gorm.DB) error { return db.Where("ssn::text = ?", plain).First(&Patient{}).Error }, fieldgorm.ErrCondition, "ssn_idx"},
		"where reversed": {func(db *gorm.DB) error { return db.Where("? = ssn", plain).First(&Patient{}).Error }, fieldgorm.ErrCondition, "ssn_idx"},
		"where literal":  {func(db *gorm.DB) error { return db.Where("ssn <> '" + plain + "'").First(&Patient{}).Error }, fieldgorm.ErrCondition, "ssn_idx"},
		"where between": {func(db *gorm.DB) error {
			return db.Where("ssn NOT BETWEEN ? AND ?", nil, plain).First(&Patient{}).Error
		}, fieldgorm.ErrCondition, "ssn_idx"},
		"where distinct": {func(db *gorm.DB) error { return db.Where("ssn IS NOT DISTINCT FROM ?", plain).First(&Patient{}).Error }, fieldgorm.ErrCondition, "ssn_idx"},
		"where named":    {func(db *gorm.DB) error { return db.Where("ssn = @s", sql.Named("s", plain)).First(&Patient{}).Error }, fieldgorm.ErrCondition, "ssn_idx"},
		"where named in a map": {func(db *gorm.DB) error {
			return db.Where("ssn = @s", map[string]any{"s": plain}).First(&Patient{}).Error
		}, fieldgorm.ErrCondition, "ssn_idx"},
		"where named in a struct": {func(db *gorm.DB) error {
			return db.Where("ssn = @S", struct{ S string }{plain}).First(&Patient{}).Error
		},
			fieldgorm.ErrCondition, "ssn_idx"},
		"where index":   {func(db *gorm.DB) error { return db.Where("ssn_idx = ?", plain).First(&Patient{}).Error }, fieldgorm.ErrCondition, "it is an index of ssn"},
		"where indexes": {func(db *gorm.DB) error { return db.Where("ssn_idx IN ?", []string{plain}).First(&Patient{}).Error }, fieldgorm.ErrCondition, "it is an index of ssn"},
		"not":           {func(db *gorm.DB) error { return db.Not("ssn = ?", plain).First(&Patient{}).Error }, fieldgorm.ErrCondition, "ssn_idx"},
		"or":            {func(db *gorm.DB) error { return db.Where("name = ?", "n").Or("ssn = ?", plain).First(&Patient{}).Error }, fieldgorm.ErrCondition, "ssn_idx"},
		"group": {func(db *gorm.DB) error {
			return db.Where(db.Where("name = ?", "n").Or("ssn = ?", plain)).First(&Patient{}).Error
		}, fieldgorm.ErrCondition, "ssn_idx"},
		"inline condition": {func(db *gorm.DB) error { return db.First(&Patient{}, "ssn = ?", plain).Error }, fieldgorm.ErrCondition, "ssn_idx"},
		"having":           {func(db *gorm.DB) error { return db.Group("id").Having("ssn = ?", plain).First(&Patient{}).Error }, fieldgorm.ErrCondition, "ssn_idx"},
		"count":            {func(db *gorm.DB) error { return db.Model(&Patient{}).Where("ssn = ?", plain).Count(new(int64)).Error }, fieldgorm.ErrCondition, "ssn_idx"},
		"pluck": {func(db *gorm.DB) error {
			return db.Model(&Patient{}).Where("ssn = ?", plain).Pluck("id", &[]string{}).Error
		}, fieldgorm.ErrCondition, "ssn_idx"},
		"scan": {func(db *gorm.DB) error { return db.Model(&Patient{}).Where("ssn = ?", plain).Scan(&Patient{}).Error }, fieldgorm.ErrCondition, "ssn_idx"},
		"table": {func(db *gorm.DB) error {
			return db.Table("patients").Where("ssn = ?", plain).Find(&[]map[string]any{}).Error
		}, fieldgorm.ErrCondition, "ssn_idx"},
		"delete":          {func(db *gorm.DB) error { return db.Where("ssn = ?", plain).Delete(&Patient{}).Error }, fieldgorm.ErrCondition, "ssn_idx"},
		"update where":    {func(db *gorm.DB) error { return db.Model(&Patient{}).Where("ssn = ?", plain).Update("name", "m").Error }, fieldgorm.ErrCondition, "ssn_idx"},
		"first or create": {func(db *gorm.DB) error { return db.Where(Patient{SSN: value(1)}).FirstOrCreate(&Patient{}).Error }, fieldgorm.ErrCondition, "ssn_idx"},
		"joined": {func(db *gorm.DB) error {
			return db.Joins("Doctor").Where("Doctor.licence = ?", plain).First(&Patient{}).Error
		}, fieldgorm.ErrCondition, "column licence"},
		"join on": {func(db *gorm.DB) error {
			return db.Joins("Doctor", db.Where(&Doctor{Licence: value(1)})).First(&Patient{}).Error
		}, fieldgorm.ErrCondition, ""},
		"join in SQL": {func(db *gorm.DB) error {
			return db.Joins("JOIN doctors ON doctors.licence = ?", plain).First(&Patient{}).Error
		}, fieldgorm.ErrCondition, "column licence"},
		"preload": {func(db *gorm.DB) error { return db.Preload("Notes", "text = ?", plain).First(&Patient{}).Error }, fieldgorm.ErrCondition, "column text"},
		"transaction": {func(db *gorm.DB) error {
			return db.Transaction(func(tx *gorm.DB) error { return tx.Model(p1()).Update("ssn", plain).Error })
		}, field.ErrUnsealed, "field.New"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newSQLite(t)
			p := patient(1)
			require.NoError(t, f.Create(&p).Error)
			stored := f.dump(t)
			f.log.Reset()
			err := c.do(f.DB)
			require.ErrorIs(t, err, c.kind)
			assert.ErrorContains(t, err, c.says)
			assert.NotContains(t, err.Error(), secret)
			var e *fieldgorm.Error
			assert.ErrorAs(t, err, &e)
			assert.NotContains(t, f.log.String(), secret)
			assert.Equal(t, stored, f.dump(t))
		})
	}
}

func (f *fixture) dump(t *testing.T) string {
	var stored []map[string]any
	require.NoError(t, f.Table("patients").Find(&stored).Error)
	var strangers []map[string]any
	require.NoError(t, f.Table("strangers").Find(&strangers).Error)
	return fmt.Sprint(stored, strangers)
}

// TestConditions holds that conditions that can be met are left alone.
func TestConditions(t *testing.T) {
	for name, where := range map[string]func(db *gorm.DB, p *Patient, terms [][]byte) *gorm.DB{
		"terms": func(db *gorm.DB, p *Patient, terms [][]byte) *gorm.DB { return db.Where("ssn_idx IN ?", terms) },
		"term":  func(db *gorm.DB, p *Patient, terms [][]byte) *gorm.DB { return db.Where("ssn_idx = ?", terms[0]) },
		"index": func(db *gorm.DB, p *Patient, terms [][]byte) *gorm.DB { return db.Where(&Patient{SSNIdx: p.SSNIdx}) },
		"terms in a map": func(db *gorm.DB, p *Patient, terms [][]byte) *gorm.DB {
			return db.Where(map[string]any{"ssn_idx": terms})
		},
		"null": func(db *gorm.DB, p *Patient, terms [][]byte) *gorm.DB { return db.Where("remarks IS NULL") },
		"not null": func(db *gorm.DB, p *Patient, terms [][]byte) *gorm.DB {
			return db.Where("ssn IS NOT NULL AND name = ?", "n")
		},
		"null in a map": func(db *gorm.DB, p *Patient, terms [][]byte) *gorm.DB {
			return db.Where(map[string]any{"remarks": nil})
		},
		"length":         func(db *gorm.DB, p *Patient, terms [][]byte) *gorm.DB { return db.Where("length(ssn) > ?", 10) },
		"ciphertext":     func(db *gorm.DB, p *Patient, terms [][]byte) *gorm.DB { return db.Where("ssn = ?", p.SSN) },
		"another column": func(db *gorm.DB, p *Patient, terms [][]byte) *gorm.DB { return db.Where("name = ?", "n") },
		"in a text": func(db *gorm.DB, p *Patient, terms [][]byte) *gorm.DB {
			return db.Where("name <> 'ssn = 1' AND name = ?", "n")
		},
		"subquery": func(db *gorm.DB, p *Patient, terms [][]byte) *gorm.DB {
			return db.Where("ssn IN (?)", db.Model(&Patient{}).Select("ssn"))
		},
		"another's column": func(db *gorm.DB, p *Patient, terms [][]byte) *gorm.DB {
			return db.Joins("JOIN (SELECT 'x' AS ssn) other ON other.ssn = ?", "x")
		},
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, f *fixture) {
				p := patient(1)
				require.NoError(t, f.Create(&p).Error)
				var got Patient
				require.NoError(t, where(f.DB.Session(&gorm.Session{}), &p, f.terms(t, plain)).First(&got).Error)
				assert.Equal(t, plain, plaintext(t, got.SSN))
				f.noPlaintext(t)
			})
		})
	}
}

func TestCompareAndSet(t *testing.T) {
	onEach(t, func(t *testing.T, f *fixture) {
		p := patient(1)
		require.NoError(t, f.Create(&p).Error)
		before := p.SSN
		tx := f.Model(&p).Where("ssn = ?", before).Updates(Patient{SSN: value(2)})
		require.NoError(t, tx.Error)
		assert.EqualValues(t, 1, tx.RowsAffected)
		tx = f.Model(&p).Where("ssn = ?", before).Updates(Patient{SSN: value(3)})
		require.NoError(t, tx.Error)
		assert.Zero(t, tx.RowsAffected)
		assert.Equal(t, []string{"p1"}, f.find(t, secret+"02"))
	})
}

// TestBadRow holds that a batch with a row that cannot be sealed writes nothing, and that
// the error says which.
func TestBadRow(t *testing.T) {
	onEach(t, func(t *testing.T, f *fixture) {
		var all []Patient
		for i := range 100 {
			all = append(all, patient(i))
		}
		all[70].Tenant = ""
		all[0].Doctor = &Doctor{ID: "d", Licence: value(1)} // is written before
		for _, create := range []func() error{
			func() error { return f.Create(&all).Error },
			func() error { return f.CreateInBatches(&all, 50).Error },
		} {
			err := create()
			var errs field.Errors
			require.ErrorAs(t, err, &errs)
			require.Len(t, errs, 1)
			assert.Contains(t, []int{70, 20}, errs[0].Index) // of GORM's batch
			assert.ErrorContains(t, err, "field Tenant, the context's tenant")
			for _, name := range []string{"patients", "doctors"} {
				var n int64
				require.NoError(t, f.Table(name).Count(&n).Error)
				assert.Zero(t, n, name)
			}
		}
	})
}

// TestSwapped holds that a row that cannot be opened is named, and that the others can be
// read.
func TestSwapped(t *testing.T) {
	onEach(t, func(t *testing.T, f *fixture) {
		require.NoError(t, f.Create([]Patient{patient(1), patient(2), patient(3)}).Error)
		require.NoError(t, f.Exec("UPDATE patients SET ssn = (SELECT ssn FROM patients WHERE id = 'p1') WHERE id = 'p2'").Error)
		var got []Patient
		err := f.Order("id").Find(&got).Error
		require.ErrorIs(t, err, field.ErrBinding)
		var errs field.Errors
		require.True(t, errors.As(err, &errs))
		require.Len(t, errs, 1)
		assert.Equal(t, 1, errs[0].Index)
		assert.Equal(t, "ssn", errs[0].Column)
		require.Len(t, got, 3)
		assert.Equal(t, secret+"03", plaintext(t, got[2].SSN))
	})
}

func TestInitialize(t *testing.T) {
	f := newSQLite(t)
	type untyped struct {
		ID  string               `seal:",row"`
		SSN field.Sealed[string] `seal:"ssn"`
	}
	for name, c := range map[string]struct {
		plugin *fieldgorm.Plugin
		says   string
	}{
		"twice":   {fieldgorm.New(fieldgorm.Table(f.patients), fieldgorm.Table(f.patients)), "there are two tables of fieldgorm_test.Patient"},
		"nil":     {fieldgorm.New(fieldgorm.Table[Patient](nil)), "models[0]"},
		"zero":    {fieldgorm.New(fieldgorm.Model{}), "models[0]"},
		"no type": {fieldgorm.New(fieldgorm.Table(table[untyped](t, f.manager, "untyped", field.Options{}))), "`gorm:\"type:bytes\"`"},
	} {
		t.Run(name, func(t *testing.T) {
			db := open(t, sqlite.Open("file::memory:"), io.Discard)
			err := db.Use(c.plugin)
			require.ErrorContains(t, err, c.says)
			if !strings.Contains(name, "type") {
				assert.ErrorIs(t, err, field.ErrInvalidArgument)
			}
		})
	}
}
