// Package howto holds the programs of docs/howto.md and their tests. It is a module of its
// own so that their dependencies enter nobody's build.
package howto

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write what the programs print into the files that the page shows")

// TestPrograms holds that the programs print what the page says. The keyring has a test of
// its own beside it.
func TestPrograms(t *testing.T) {
	for _, name := range []string{"column", "ranges", "regions"} {
		t.Run(name, func(t *testing.T) {
			var stderr strings.Builder
			cmd := exec.CommandContext(t.Context(), "go", "run", "./"+name)
			cmd.Stderr = &stderr
			got, err := cmd.Output()
			require.NoError(t, err, "%s", &stderr)
			path := filepath.Join("testdata", name+".txt")
			if *update {
				require.NoError(t, os.WriteFile(path, got, 0o666))
			}
			want, err := os.ReadFile(path)
			require.NoError(t, err)
			assert.Equal(t, string(want), string(got))
		})
	}
}
