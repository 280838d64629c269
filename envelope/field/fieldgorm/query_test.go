package fieldgorm_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/go-sealring/sealring/envelope/field"
	"github.com/go-sealring/sealring/envelope/field/fieldgorm"
)

func TestQuery(t *testing.T) {
	for name, read := range map[string]func(t *testing.T, db *gorm.DB) []Patient{
		"find": func(t *testing.T, db *gorm.DB) (all []Patient) {
			require.NoError(t, db.Order("id").Find(&all).Error)
			return all
		},
		"pointers": func(t *testing.T, db *gorm.DB) (all []Patient) {
			var p []*Patient
			require.NoError(t, db.Order("id").Find(&p).Error)
			for _, p := range p {
				all = append(all, *p)
			}
			return all
		},
		"array": func(t *testing.T, db *gorm.DB) []Patient {
			var all [3]Patient
			require.NoError(t, db.Order("id").Find(&all).Error)
			return all[:]
		},
		"one by one": func(t *testing.T, db *gorm.DB) (all []Patient) {
			for i := range 3 {
				var p *Patient
				require.NoError(t, db.Take(&p, "id = ?", fmt.Sprint("p", i)).Error)
				all = append(all, *p)
			}
			return all
		},
		"in part": func(t *testing.T, db *gorm.DB) (all []Patient) {
			require.NoError(t, db.Select("id", "tenant", "ssn").Order("id").Find(&all).Error)
			return all
		},
		"batches": func(t *testing.T, db *gorm.DB) (all []Patient) {
			var batch []Patient
			require.NoError(t, db.FindInBatches(&batch, 2, func(*gorm.DB, int) error {
				all = append(all, batch...)
				return nil
			}).Error)
			return all
		},
		"raw": func(t *testing.T, db *gorm.DB) (all []Patient) {
			require.NoError(t, db.Raw("SELECT * FROM patients ORDER BY id").Find(&all).Error)
			return all
		},
		"table": func(t *testing.T, db *gorm.DB) (all []Patient) {
			require.NoError(t, db.Table("patients").Order("id").Find(&all).Error)
			return all
		},
		"joined": func(t *testing.T, db *gorm.DB) (all []Patient) {
			require.NoError(t, db.Joins("Doctor").Order("patients.id").Find(&all).Error)
			return all
		},
		"preloaded": func(t *testing.T, db *gorm.DB) (all []Patient) {
			require.NoError(t, db.Preload(clause.Associations).Order("id").Find(&all).Error)
			return all
		},
		"association": func(t *testing.T, db *gorm.DB) (all []Patient) {
			all = []Patient{patient(0), patient(1), patient(2)}
			require.NoError(t, db.Model(&Patient{ID: "p0"}).Association("Notes").Find(&all[0].Notes))
			return all
		},
		"deleted": func(t *testing.T, db *gorm.DB) (all []Patient) {
			require.NoError(t, db.Where("1 = 1").Delete(&[]Note{}).Error)
			require.NoError(t, db.Clauses(clause.Returning{}).Where("1 = 1").Delete(&all).Error)
			return all
		},
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, f *fixture) {
				doctor := &Doctor{ID: "d", Licence: value(90), Grades: field.New([]string{"a"})}
				created := []Patient{patient(0), patient(1), patient(2)}
				created[0].Doctor, created[0].Notes = doctor, []Note{{ID: "x", Text: value(91)}}
				created[2].Doctor = doctor
				require.NoError(t, f.Create(&created).Error)
				all := read(t, f.DB)
				require.Len(t, all, 3)
				for i, p := range all {
					assert.Equal(t, fmt.Sprintf("%s%02d", secret, i), plaintext(t, p.SSN))
				}
				if name == "joined" || name == "preloaded" {
					assert.Nil(t, all[1].Doctor)
					for _, i := range []int{0, 2} {
						assert.Equal(t, secret+"90", plaintext(t, all[i].Doctor.Licence))
						assert.Equal(t, []string{"a"}, plaintext(t, all[i].Doctor.Grades))
					}
				}
				if name == "association" || name == "preloaded" {
					assert.Equal(t, secret+"91", plaintext(t, all[0].Notes[0].Text))
				}
			})
		})
	}
}

func TestQueryOpensNothing(t *testing.T) {
	onEach(t, func(t *testing.T, f *fixture) {
		p := patient(1)
		require.NoError(t, f.Create(&p).Error)

		t.Run("not found", func(t *testing.T) {
			q := Patient{SSN: value(2)}
			assert.ErrorIs(t, f.First(&q, "id = ?", "none").Error, gorm.ErrRecordNotFound)
			assert.Equal(t, secret+"02", plaintext(t, q.SSN))
		})
		t.Run("without the key", func(t *testing.T) {
			var got Patient
			err := f.Select("tenant", "ssn").Take(&got).Error
			assert.ErrorIs(t, err, field.ErrInvalidArgument)
			assert.ErrorContains(t, err, "field ID, part of the row's key")
		})
		t.Run("without the context", func(t *testing.T) {
			assert.ErrorContains(t, f.Select("id", "ssn").Take(&Patient{}).Error, "field Tenant, the context's tenant")
		})
		t.Run("nothing sealed", func(t *testing.T) {
			require.NoError(t, f.Select("name").Take(&Patient{}).Error)
		})
		t.Run("unregistered", func(t *testing.T) {
			type view struct {
				ID  string
				SSN field.Sealed[string] `gorm:"type:bytes"`
			}
			var got view
			require.NoError(t, f.Model(&Patient{}).Take(&got).Error)
			_, err := got.SSN.Plaintext()
			assert.ErrorIs(t, err, field.ErrNotOpened)
		})
		t.Run("scan", func(t *testing.T) {
			var got Patient
			require.NoError(t, f.Model(&Patient{}).Scan(&got).Error)
			_, err := got.SSN.Plaintext()
			assert.ErrorIs(t, err, field.ErrNotOpened)
			require.NoError(t, f.patients.Open(t.Context(), &got))
			assert.Equal(t, plain, plaintext(t, got.SSN))
		})
		t.Run("rows", func(t *testing.T) {
			rows, err := f.Model(&Patient{}).Rows()
			require.NoError(t, err)
			defer rows.Close()
			require.True(t, rows.Next())
			var got Patient
			require.NoError(t, f.ScanRows(rows, &got))
			require.NoError(t, f.patients.Open(t.Context(), &got))
			assert.Equal(t, plain, plaintext(t, got.SSN))
		})
		t.Run("map", func(t *testing.T) {
			got := map[string]any{}
			require.NoError(t, f.Model(&Patient{}).Take(&got).Error)
			assert.NotContains(t, fmt.Sprintf("%s", got), secret)
		})
		t.Run("dry run", func(t *testing.T) {
			sql := f.ToSQL(func(tx *gorm.DB) *gorm.DB { return tx.Create(&Patient{ID: "q", Tenant: "t", SSN: value(3)}) })
			assert.NotContains(t, sql, secret)
		})
		f.noPlaintext(t)
	})
}

// Hooked has hooks that need what the plugin has done, or that the plugin needs.
type Hooked struct {
	ID   string               `seal:",row"`
	Word field.Sealed[string] `seal:"word" gorm:"type:bytes"`

	found string
}

func (h *Hooked) BeforeCreate(*gorm.DB) error {
	h.ID = "made"
	return nil
}

func (h *Hooked) BeforeUpdate(tx *gorm.DB) error {
	tx.Statement.SetColumn("Word", value(2))
	return nil
}

func (h *Hooked) AfterFind(*gorm.DB) (err error) {
	h.found, err = h.Word.Plaintext()
	return err
}

func TestHooks(t *testing.T) {
	f := newSQLite(t, func(f *fixture) fieldgorm.Model {
		return fieldgorm.Table(table[Hooked](t, f.manager, "hooked", field.Options{}))
	})
	require.NoError(t, f.AutoMigrate(&Hooked{}))
	h := Hooked{Word: value(1)}
	require.NoError(t, f.Create(&h).Error)
	require.NoError(t, f.First(&h).Error)
	assert.Equal(t, plain, h.found)
	require.NoError(t, f.Save(&h).Error)
	var got Hooked
	require.NoError(t, f.First(&got).Error)
	assert.Equal(t, secret+"02", got.found)
	assert.NotContains(t, f.log.String(), secret)
}

func TestConcurrent(t *testing.T) {
	f := newSQLite(t)
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			p := patient(i)
			assert.NoError(t, f.Create(&p).Error)
			assert.NoError(t, f.Model(&p).Updates(Patient{Remarks: value(i)}).Error)
			var got Patient
			assert.NoError(t, f.First(&got, "id = ?", p.ID).Error)
			assert.Equal(t, fmt.Sprintf("%s%02d", secret, i), plaintext(t, got.Remarks))
		})
	}
	wait.Wait()
}

// TestStatementIsReused holds that one statement can update twice.
func TestStatementIsReused(t *testing.T) {
	f := newSQLite(t)
	p := patient(1)
	require.NoError(t, f.Create(&p).Error)
	tx := f.Model(&p)
	require.NoError(t, tx.Updates(Patient{SSN: value(2)}).Error)
	require.NoError(t, tx.Updates(Patient{SSN: value(3)}).Error)
	assert.Equal(t, []string{"p1"}, f.find(t, secret+"03"))
}
