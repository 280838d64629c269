package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/go-sealring/sealring/envelope/dynamoitem"
)

// seed makes other random items.
var seed uint64 = 1

func randomRows() []row {
	return []row{passes("random", "40 items", func(k kind) []exchange {
		r := rand.New(rand.NewPCG(seed, uint64(k.suite)<<8|uint64(k.version)))
		var all []exchange
		for i := range 40 {
			x := random(r, k)
			x.what = fmt.Sprintf("item %d of seed %d", i, seed)
			all = append(all, x)
		}
		return all
	})}
}

func random(r *rand.Rand, k kind) exchange {
	t, it := basic(k), basicItem()
	t.Table += randomText(r, 5)
	t.UnsignedPrefix = ":"
	for range r.IntN(12) {
		name := "n" + randomText(r, 6)
		switch a := dynamoitem.Action(r.IntN(4)); {
		case a == dynamoitem.DoNothing:
			name = ":" + name
		case a == dynamoitem.SignAndIncludeInContext && k.version == 1:
			t.Actions[name] = dynamoitem.SignOnly
		default:
			t.Actions[name] = a
		}
		it[name] = randomValue(r, 3)
	}
	it["pk"] = str("x" + randomText(r, 20))
	return exchange{writer: t, in: it}
}

func randomValue(r *rand.Rand, depth int) types.AttributeValue {
	n := r.IntN(5)
	switch kinds := 8 + 2*min(depth, 1); r.IntN(kinds) {
	case 0:
		return str(randomText(r, 30))
	case 1:
		return num(randomNumber(r))
	case 2:
		return bin(randomBytes(r, 30))
	case 3:
		return boolean(r.IntN(2) == 0)
	case 4:
		return null()
	case 5:
		return strs(set(n+1, func() string { return randomText(r, 8) })...)
	case 6:
		return nums(set(n+1, func() string { return randomNumber(r) })...)
	case 7:
		return bins(set(n+1, func() string { return randomBytes(r, 8) })...)
	case 8:
		var all []types.AttributeValue
		for range n {
			all = append(all, randomValue(r, depth-1))
		}
		return list(all...)
	default:
		all := item{}
		for range n {
			all["k"+randomText(r, 8)] = randomValue(r, depth-1)
		}
		return object(all)
	}
}

// set returns different members, n at most.
func set(n int, member func() string) []string {
	all := map[string]bool{}
	for range n {
		all[member()] = true
	}
	return slices.Sorted(maps.Keys(all))
}

func randomText(r *rand.Rand, most int) string {
	var b strings.Builder
	for range r.IntN(most + 1) {
		switch r.IntN(4) {
		case 0:
			b.WriteRune(rune(r.IntN(0x80)))
		case 1:
			b.WriteRune(rune(0x80 + r.IntN(0xd800-0x80)))
		case 2:
			b.WriteRune(rune(0xe000 + r.IntN(0x2000)))
		default:
			b.WriteRune(rune(0x10000 + r.IntN(0x100000)))
		}
	}
	return b.String()
}

func randomBytes(r *rand.Rand, most int) string {
	b := make([]byte, r.IntN(most+1))
	for i := range b {
		b[i] = byte(r.IntN(256))
	}
	return string(b)
}

// randomNumber returns a number as DynamoDB writes it.
func randomNumber(r *rand.Rand) string {
	digits := make([]byte, 1+r.IntN(38))
	for i := range digits {
		digits[i] = byte('0' + r.IntN(10))
	}
	point := r.IntN(len(digits) + 1)
	whole := strings.TrimLeft(string(digits[:point]), "0")
	fraction := strings.TrimRight(string(digits[point:]), "0")
	if whole == "" {
		whole = "0"
	}
	switch {
	case fraction != "":
		whole += "." + fraction
	case whole == "0":
		return whole
	}
	if r.IntN(2) == 0 {
		return "-" + whole
	}
	return whole
}
