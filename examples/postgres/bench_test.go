package main

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring"
)

// BenchmarkRows writes 20,000 rows with three sealed fields and an index, reads all in one
// SELECT, and compares that with the same program without encryption, in the same run:
// "ratio" is how many rows a second it writes and reads of those that the other does, the
// writing and the reading in one time. The bounds are 0.5 on PostgreSQL and 0.4 on SQLite.
//
// One by one, each row is stored by a call of its own, as by a service that answers
// requests. In bulk, one call stores all, in one transaction of INSERTs of rowsPerInsert
// rows: then the other program takes so little time for a row that the arithmetic of three
// messages, and the bytes that the database writes more, are the greater part.
//
// With KMS messages are larger, by the length of a wrapped key and of its ARN.
func BenchmarkRows(b *testing.B) {
	for name, open := range databases {
		for shape, perCall := range map[string]int{"OneByOne": 1, "InBulk": benchmarkedRows} {
			b.Run(name+"/"+shape, func(b *testing.B) {
				b.Run("RawAES", func(b *testing.B) { benchmarkRows(b, open, testKey(b, "key-1"), perCall) })
				b.Run("KMS", func(b *testing.B) {
					kr, _ := kmsKeyring(b)
					benchmarkRows(b, open, kr, perCall)
				})
			})
		}
	}
}

const benchmarkedRows = 20_000

// taken are the times to write and to read.
type taken struct{ write, read time.Duration }

func benchmarkRows(b *testing.B, open func(testing.TB) database, keys keyring.Keyring, perCall int) {
	sealedDB, plainDB := open(b), open(b)
	sealedDB.exec(b, schema)
	plainDB.exec(b, plainSchema)
	indexKeys, err := newIndexKeys(b.Context(), keys)
	require.NoError(b, err)

	sealed := func(total *taken) {
		s := start(b, sealedDB, keys, indexKeys)
		patients := madeMany(benchmarkedRows)
		began := time.Now()
		for some := range slices.Chunk(patients, perCall) {
			require.NoError(b, s.Add(b.Context(), some...))
		}
		total.write += time.Since(began)

		s = start(b, sealedDB, keys, indexKeys) // which has no data keys yet
		began = time.Now()
		all, err := s.All(b.Context())
		require.NoError(b, err)
		total.read += time.Since(began)
		require.Len(b, all, benchmarkedRows)
		requireMade(b, benchmarkedRows-1, all[benchmarkedRows-1])
		sealedDB.exec(b, "DELETE FROM patients")
	}
	plain := func(total *taken) {
		s := newPlainService(plainDB.DB)
		patients := make([]*plainPatient, benchmarkedRows)
		for i := range patients {
			ssn, notes, diagnosis := madeValues(i)
			patients[i] = &plainPatient{madeID(i), madeTenant(i), "ward 7", ssn, notes, diagnosis}
		}
		began := time.Now()
		for some := range slices.Chunk(patients, perCall) {
			require.NoError(b, s.Add(b.Context(), some...))
		}
		total.write += time.Since(began)

		began = time.Now()
		all, err := s.All(b.Context())
		require.NoError(b, err)
		total.read += time.Since(began)
		require.Len(b, all, benchmarkedRows)
		plainDB.exec(b, "DELETE FROM patients")
	}

	var once, s, p taken
	sealed(&once) // and not counted: files grow, statements are prepared
	plain(&once)
	rounds := 0
	for b.Loop() {
		if rounds++; rounds%2 == 0 {
			sealed(&s)
			plain(&p)
		} else {
			plain(&p)
			sealed(&s)
		}
	}
	rate := func(d time.Duration) float64 { return float64(rounds*benchmarkedRows) / d.Seconds() }
	b.ReportMetric(rate(s.write+s.read)/rate(p.write+p.read), "ratio")
	b.ReportMetric(rate(s.write)/rate(p.write), "write-ratio")
	b.ReportMetric(rate(s.read)/rate(p.read), "read-ratio")
	b.ReportMetric(rate(s.write), "written-rows/s")
	b.ReportMetric(rate(s.read), "read-rows/s")
	b.ReportMetric(0, "ns/op")
}
