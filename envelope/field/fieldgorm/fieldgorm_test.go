package fieldgorm_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/go-sealring/sealring/envelope/field"
)

func TestCreate(t *testing.T) {
	for name, create := range map[string]func(db *gorm.DB, all []Patient) error{
		"one": func(db *gorm.DB, all []Patient) error {
			for i := range all {
				if err := db.Create(&all[i]).Error; err != nil {
					return err
				}
			}
			return nil
		},
		"by value": func(db *gorm.DB, all []Patient) error {
			for _, p := range all {
				if err := db.Create(p).Error; err != nil {
					return err
				}
			}
			return nil
		},
		"slice":          func(db *gorm.DB, all []Patient) error { return db.Create(&all).Error },
		"slice by value": func(db *gorm.DB, all []Patient) error { return db.Create(all).Error },
		"pointers": func(db *gorm.DB, all []Patient) error {
			var p []*Patient
			for i := range all {
				p = append(p, &all[i])
			}
			return db.Create(p).Error
		},
		"batches": func(db *gorm.DB, all []Patient) error { return db.CreateInBatches(&all, 2).Error },
		"save":    func(db *gorm.DB, all []Patient) error { return db.Save(&all).Error },
		"save one": func(db *gorm.DB, all []Patient) error {
			for i := range all {
				if err := db.Save(&all[i]).Error; err != nil {
					return err
				}
			}
			return nil
		},
		"first or create": func(db *gorm.DB, all []Patient) error {
			for i := range all {
				if err := db.Where(Patient{ID: all[i].ID}).Attrs(Patient{Tenant: "t", SSN: all[i].SSN}).FirstOrCreate(&Patient{}).Error; err != nil {
					return err
				}
			}
			return nil
		},
		"upsert": func(db *gorm.DB, all []Patient) error {
			return db.Clauses(clause.OnConflict{UpdateAll: true}).Create(&all).Error
		},
		"association": func(db *gorm.DB, all []Patient) error {
			d := Doctor{ID: "d", Licence: value(90)}
			all[0].Doctor, all[0].Notes = &d, []Note{{ID: "x", Text: value(91)}, {ID: "y", Text: value(92)}}
			return db.Create(&all).Error
		},
		"selected": func(db *gorm.DB, all []Patient) error { return db.Select("ID", "Tenant", "SSN").Create(&all).Error },
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, f *fixture) {
				all := []Patient{patient(1), patient(2), patient(3), patient(4), patient(5)}
				require.NoError(t, create(f.DB, all))
				var got []Patient
				require.NoError(t, f.Preload("Doctor").Preload("Notes").Order("id").Find(&got).Error)
				require.Len(t, got, 5)
				for i, p := range got {
					assert.Equal(t, fmt.Sprintf("%s%02d", secret, i+1), plaintext(t, p.SSN))
					assert.True(t, p.Remarks.IsNull())
					assert.Equal(t, []string{p.ID}, f.find(t, plaintext(t, p.SSN)))
				}
				sealed := int64(5)
				if name == "association" {
					sealed += 3
					assert.Equal(t, secret+"90", plaintext(t, got[0].Doctor.Licence))
					assert.Equal(t, secret+"92", plaintext(t, got[0].Notes[1].Text))
				}
				assert.Equal(t, sealed, f.manager.sealed.Load(), "values are sealed once")
				f.noPlaintext(t)
			})
		})
	}
}

// TestCreateOmitted holds that there is no index of a value that is not there.
func TestCreateOmitted(t *testing.T) {
	onEach(t, func(t *testing.T, f *fixture) {
		p := patient(1)
		require.NoError(t, f.Omit("SSN").Create(&p).Error)
		var got Patient
		require.NoError(t, f.First(&got).Error)
		assert.True(t, got.SSN.IsNull())
		assert.Nil(t, got.SSNIdx)
	})
}

func TestUpdate(t *testing.T) {
	for name, update := range map[string]func(db *gorm.DB, p *Patient) error{
		"save": func(db *gorm.DB, p *Patient) error {
			p.SSN = value(2)
			return db.Save(p).Error
		},
		"updates": func(db *gorm.DB, p *Patient) error {
			p.SSN = value(2)
			return db.Updates(p).Error
		},
		"update columns": func(db *gorm.DB, p *Patient) error {
			p.SSN = value(2)
			return db.UpdateColumns(p).Error
		},
		"selected": func(db *gorm.DB, p *Patient) error {
			p.SSN = value(2)
			return db.Select("SSN").Updates(p).Error
		},
		"index omitted": func(db *gorm.DB, p *Patient) error {
			return db.Model(p).Omit("SSNIdx").Updates(Patient{SSN: value(2)}).Error
		},
		"model":   func(db *gorm.DB, p *Patient) error { return db.Model(p).Updates(Patient{SSN: value(2)}).Error },
		"pointer": func(db *gorm.DB, p *Patient) error { return db.Model(p).Updates(&Patient{SSN: value(2)}).Error },
		"key alone": func(db *gorm.DB, p *Patient) error {
			return db.Model(&Patient{ID: "p1", Tenant: "t"}).Updates(Patient{SSN: value(2)}).Error
		},
		"by value": func(db *gorm.DB, p *Patient) error {
			return db.Updates(Patient{ID: "p1", Tenant: "t", SSN: value(2)}).Error
		},
		"key in condition": func(db *gorm.DB, p *Patient) error {
			return db.Model(&Patient{}).Where("id = ?", "p1").Where(&Patient{Tenant: "t"}).Updates(Patient{SSN: value(2)}).Error
		},
		"key in conditions": func(db *gorm.DB, p *Patient) error {
			return db.Model(&Patient{}).Where("patients.id = ?", "p1").Where(map[string]any{"tenant": "t"}).Updates(Patient{SSN: value(2)}).Error
		},
		"one column":          func(db *gorm.DB, p *Patient) error { return db.Model(p).Update("ssn", value(2)).Error },
		"one column unhooked": func(db *gorm.DB, p *Patient) error { return db.Model(p).UpdateColumn("SSN", value(2)).Error },
		"map": func(db *gorm.DB, p *Patient) error {
			return db.Model(p).Updates(map[string]any{"ssn": value(2), "name": "m"}).Error
		},
		"smaller struct": func(db *gorm.DB, p *Patient) error {
			return db.Model(p).Updates(struct {
				SSN field.Sealed[string] `gorm:"type:bytes"`
			}{value(2)}).Error
		},
		"first or create": func(db *gorm.DB, p *Patient) error {
			return db.Where(Patient{ID: "p1"}).Assign(Patient{SSN: value(2)}).FirstOrCreate(&Patient{}).Error
		},
		"upsert": func(db *gorm.DB, p *Patient) error {
			return db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "id"}}, DoUpdates: clause.AssignmentColumns([]string{"ssn"})}).
				Create(&Patient{ID: "p1", Tenant: "t", SSN: value(2)}).Error
		},
		"upsert all": func(db *gorm.DB, p *Patient) error {
			return db.Clauses(clause.OnConflict{UpdateAll: true}).Create(&Patient{ID: "p1", Tenant: "t", SSN: value(2)}).Error
		},
		"save slice": func(db *gorm.DB, p *Patient) error {
			p.SSN = value(2)
			return db.Save([]*Patient{p}).Error
		},
		"returning": func(db *gorm.DB, p *Patient) error {
			q := Patient{ID: "p1", Tenant: "t"}
			err := db.Model(&q).Clauses(clause.Returning{}).Updates(Patient{SSN: value(2)}).Error
			if got, opened := q.SSN.Plaintext(); err == nil && (opened != nil || got != secret+"02") {
				return fmt.Errorf("returned: %w", opened)
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, f *fixture) {
				p, other := patient(1), patient(1)
				other.ID = "other"
				require.NoError(t, f.Create([]*Patient{&p, &other}).Error)
				require.Equal(t, []string{"other", "p1"}, f.find(t, secret+"01"))
				before := f.manager.sealed.Load()
				require.NoError(t, update(f.DB, &p))
				assert.Equal(t, int64(1), f.manager.sealed.Load()-before, "the value is sealed once")

				var got Patient
				require.NoError(t, f.First(&got, "id = ?", "p1").Error)
				assert.Equal(t, secret+"02", plaintext(t, got.SSN))
				assert.Equal(t, []string{"p1"}, f.find(t, secret+"02"))
				assert.Equal(t, []string{"other"}, f.find(t, secret+"01"), "the index is stale, or another row has changed")
				f.noPlaintext(t)
			})
		})
	}
}

// TestUpdateLeavesNoIndex holds that an index goes with its value.
func TestUpdateLeavesNoIndex(t *testing.T) {
	for name, update := range map[string]func(db *gorm.DB, p *Patient) error{
		"null":          func(db *gorm.DB, p *Patient) error { return db.Model(p).Update("ssn", nil).Error },
		"null by map":   func(db *gorm.DB, p *Patient) error { return db.Model(p).Updates(map[string]any{"ssn": nil}).Error },
		"null by type":  func(db *gorm.DB, p *Patient) error { return db.Model(p).Update("ssn", field.Sealed[string]{}).Error },
		"null selected": func(db *gorm.DB, p *Patient) error { return db.Model(p).Select("SSN").Updates(Patient{}).Error },
		"null saved": func(db *gorm.DB, p *Patient) error {
			p.SSN.SetNull()
			return db.Save(p).Error
		},
		"nothing to index": func(db *gorm.DB, p *Patient) error { return db.Model(p).Updates(Patient{SSN: field.New("none")}).Error },
		"nothing to index, itself": func(db *gorm.DB, p *Patient) error {
			p.SSN = field.New("none")
			return db.Updates(p).Error
		},
		"upsert": func(db *gorm.DB, p *Patient) error {
			return db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "id"}}, DoUpdates: clause.Assignments(map[string]any{"ssn": nil})}).
				Create(&Patient{ID: "p1", Tenant: "t"}).Error
		},
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, f *fixture) {
				p := patient(1)
				require.NoError(t, f.Create(&p).Error)
				require.NoError(t, update(f.DB, &p))
				var indexes int64
				require.NoError(t, f.Model(&Patient{}).Where("ssn_idx IS NOT NULL").Count(&indexes).Error)
				assert.Zero(t, indexes)
			})
		})
	}
}

// TestUpdateKeepsOthers holds that an update of other columns touches nothing sealed.
func TestUpdateKeepsOthers(t *testing.T) {
	for name, update := range map[string]func(db *gorm.DB, p *Patient) error{
		"column": func(db *gorm.DB, p *Patient) error { return db.Model(p).Update("name", "m").Error },
		"struct": func(db *gorm.DB, p *Patient) error {
			return db.Model(&Patient{}).Where("id = ?", "p1").Updates(Patient{Name: "m"}).Error
		},
		"omitted": func(db *gorm.DB, p *Patient) error {
			p.SSN, p.Name = value(2), "m"
			return db.Omit("SSN").Updates(p).Error
		},
		"table": func(db *gorm.DB, p *Patient) error {
			return db.Table("patients").Where("id = ?", "p1").Updates(map[string]any{"name": "m"}).Error
		},
		"read, and not opened": func(db *gorm.DB, p *Patient) error {
			var part Patient
			if err := db.Model(p).Select("ID", "Tenant", "SSN").Scan(&part).Error; err != nil {
				return err
			}
			part.Name = "m"
			return db.Updates(&part).Error
		},
		"read in part": func(db *gorm.DB, p *Patient) error {
			var part Patient
			if err := db.Select("ID", "Tenant", "SSNIdx").First(&part, "id = ?", "p1").Error; err != nil {
				return err
			}
			part.Name = "m"
			return db.Updates(&part).Error
		},
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, f *fixture) {
				p := patient(1)
				require.NoError(t, f.Create(&p).Error)
				before := f.manager.sealed.Load()
				require.NoError(t, update(f.DB, &p))
				assert.Equal(t, before, f.manager.sealed.Load())
				assert.Equal(t, []string{"p1"}, f.find(t, secret+"01"))
				var got Patient
				require.NoError(t, f.First(&got).Error)
				assert.Equal(t, "m", got.Name)
			})
		})
	}
}

// TestMove holds that a record that changes its context can be read afterwards.
func TestMove(t *testing.T) {
	onEach(t, func(t *testing.T, f *fixture) {
		p := patient(1)
		require.NoError(t, f.Create(&p).Error)
		p.Tenant = "u"
		require.NoError(t, f.Save(&p).Error)
		var got Patient
		require.NoError(t, f.First(&got).Error)
		assert.Equal(t, secret+"01", plaintext(t, got.SSN))
	})
}

func TestEmbedded(t *testing.T) {
	onEach(t, func(t *testing.T, f *fixture) {
		c := Contact{ID: "c", Home: Address{Phone: value(1)}, Work: &Address{Phone: value(2)}}
		require.NoError(t, f.Create(&c).Error)
		require.NoError(t, f.Model(&c).Updates(map[string]any{"work_phone": value(3)}).Error)
		var got Contact
		require.NoError(t, f.First(&got).Error)
		assert.Equal(t, secret+"01", plaintext(t, got.Home.Phone))
		assert.Equal(t, secret+"03", plaintext(t, got.Work.Phone))
		assert.Equal(t, c.Home.PhoneIdx, got.Home.PhoneIdx)
		assert.Equal(t, c.Work.PhoneIdx, got.Work.PhoneIdx)
		assert.NotEqual(t, got.Home.PhoneIdx, got.Work.PhoneIdx)

		require.NoError(t, f.Model(&c).Updates(map[string]any{"home_phone": value(4)}).Error)
		var again Contact
		require.NoError(t, f.First(&again).Error)
		assert.NotEqual(t, got.Home.PhoneIdx, again.Home.PhoneIdx)
		assert.Equal(t, got.Work.PhoneIdx, again.Work.PhoneIdx)

		home := Contact{ID: "c", Home: Address{Phone: value(5)}}
		require.NoError(t, f.Save(&home).Error)
		var without Contact
		require.NoError(t, f.First(&without).Error)
		assert.Equal(t, secret+"05", plaintext(t, without.Home.Phone))
		home.Work = nil
		require.NoError(t, f.Where("id = ?", "c").Clauses(clause.Set{{Column: clause.Column{Name: "work_phone"}}}).Updates(&home).Error)
		assert.True(t, without.Work == nil || without.Work.Phone.IsNull() && without.Work.PhoneIdx == nil)
	})
}

func TestKeysOfTheDatabase(t *testing.T) {
	onEach(t, func(t *testing.T, f *fixture) {
		v := Visit{Reason: value(1)}
		err := f.Create(&v).Error
		require.ErrorIs(t, err, field.ErrInvalidArgument)
		assert.ErrorContains(t, err, "field ID, part of the row's key")

		// As the package comment says.
		require.NoError(t, f.Transaction(func(tx *gorm.DB) error {
			v = Visit{}
			if err := tx.Create(&v).Error; err != nil {
				return err
			}
			v.Reason = value(1)
			return tx.Updates(&v).Error
		}))
		var got Visit
		require.NoError(t, f.First(&got, v.ID).Error)
		assert.Equal(t, secret+"01", plaintext(t, got.Reason))

		e := Event{What: value(2)}
		require.NoError(t, f.Create(&e).Error)
		require.NotZero(t, e.ID)
		require.NoError(t, f.Model(&[]Event{e}).Updates(Event{What: value(3)}).Error)
		var event Event
		require.NoError(t, f.First(&event).Error)
		assert.Equal(t, secret+"03", plaintext(t, event.What))
	})
}
