package docs

import (
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestSpeedIsMeasured holds that the speeds in docs/comparison.md are those of
// internal/bench/RESULTS.md.
func TestSpeedIsMeasured(t *testing.T) {
	results := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\| (\S+) \| ([0-9.]+) \|`).FindAllStringSubmatch(read1(t, filepath.Join(root, "internal", "bench", "RESULTS.md")), -1) {
		results[m[1]] = m[2]
	}
	// tink-stream-16MiB stands there for tink-stream-encrypt-16MiB, and aws-64B for aws-64B-encrypt.
	name := func(short, op string) string {
		if _, ok := results[short+"-"+op]; ok {
			return short + "-" + op
		}
		return regexp.MustCompile(`-[^-]*$`).ReplaceAllString(short, "-"+op+"$0")
	}
	rows := regexp.MustCompile("(?m)^\\| [^|]+ \\| `([^`]+)` \\| (\\S+) \\| (\\S+) \\|$").FindAllStringSubmatch(read1(t, filepath.Join(root, "docs", "comparison.md")), -1)
	require.NotEmpty(t, rows)
	for _, m := range rows {
		for i, op := range []string{"encrypt", "decrypt"} {
			assert.Equal(t, results[name(m[1], op)], m[2+i], "%s, %s", m[1], op)
			assert.NotEmpty(t, m[2+i])
		}
	}
}
