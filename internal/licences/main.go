// Command licences checks that each module whose packages are imported by the modules
// in the directories DIR, or by their tests, has a licence that asks for no more than
// its text and notices:
//
//	go run ./internal/licences DIR...
//
// It prints a line for each module, and exits with 1 if there is one that has no
// licence file in its root, or another kind and is no exception. It does not look into
// files deeper down.
//
// For a release it works on the modules that programs link, which leaves out those of
// tests, and reads the licence files beside their packages too:
//
//	go run ./internal/licences -notice FILE DIR...
//	go run ./internal/licences -sbom FILE DIR
//
// The one writes the file NOTICE: modules, licences, and the texts. The other adds the
// licences to an SBOM of the module in DIR, in CycloneDX's JSON, takes out modules that are
// not linked, and fails if one that is linked is missing.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

func main() {
	notice := flag.String("notice", "", "write NOTICE to the `file`")
	sbom := flag.String("sbom", "", "add licences to the SBOM in the `file`")
	flag.Parse()
	dirs := flag.Args()
	if len(dirs) == 0 || *sbom != "" && (*notice != "" || len(dirs) > 1) {
		fmt.Fprintln(os.Stderr, "usage: licences [-notice FILE] DIR... | licences -sbom FILE DIR")
		os.Exit(2)
	}
	var err error
	switch {
	case *notice != "":
		err = writeNotice(*notice, dirs)
	case *sbom != "":
		err = completeSBOM(*sbom, dirs[0])
	default:
		err = check(dirs)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "licences:", err)
		os.Exit(1)
	}
}

func check(dirs []string) error {
	found, err := imported(dirs)
	if err != nil {
		return err
	}
	ok := true
	said := ""
	for _, m := range found {
		kinds, err := licenceOf(m.dir)
		switch reason := m.exception(); {
		case err == nil && said == m.name: // for another importer
		case err == nil:
			fmt.Printf("%s: %s\n", m.name, strings.Join(kinds, ", "))
			said = m.name
		case reason != "":
			fmt.Printf("%s: an exception: %s\n", m.name, reason)
		default:
			ok = false
			fmt.Printf("%s, which %s imports: %v\n", m.name, m.importer, err)
		}
	}
	if !ok {
		return errors.New("not all of them are permissive")
	}
	return nil
}

type module struct {
	name     string // path and version
	dir      string
	importer string // the DIR that imports from it
}

// exceptions are for what no user of the library builds: for a DIR, the path of a
// module and the reason.
var exceptions = map[string]map[string]string{
	"internal/sqlstoretest": {
		"github.com/go-sql-driver/mysql": "MPL-2.0, asks for the source of its own files; drives MariaDB, in a test",
		"modernc.org/memory":             "BSD; its LICENSE-LOGO says where a picture comes from",
	},
	"internal/bench": {
		"github.com/ajstarks/svgo":   "CC BY 3.0, asks for attribution; draws the chart",
		"github.com/golang/freetype": "the FreeType License or the GPL, as the user likes; draws the chart",
	},
	"examples/tenants": {
		"modernc.org/memory": "BSD; its LICENSE-LOGO says where a picture comes from",
	},
	"examples/postgres": {
		"modernc.org/memory": "BSD; its LICENSE-LOGO says where a picture comes from",
	},
	"internal/docs/howto": {
		"modernc.org/memory": "BSD; its LICENSE-LOGO says where a picture comes from",
	},
	"internal/sqltypes": {
		"github.com/hashicorp/hcl/v2": "MPL-2.0, asks for the source of its own files; ent reads schemas with it, in a test",
	},
}

func (m module) exception() string {
	path, _, _ := strings.Cut(m.name, " ")
	return exceptions[m.importer][path]
}

// imported returns the modules that those in the directories import from, once for
// each directory.
func imported(dirs []string) ([]module, error) {
	var all []module
	for _, dir := range dirs {
		lines, err := goList(dir, "", "-deps", "-test",
			"-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}\t{{.Dir}}{{end}}{{end}}", "./...")
		if err != nil {
			return nil, err
		}
		for _, line := range lines {
			name, at, ok := strings.Cut(line, "\t")
			if ok {
				all = append(all, module{name, at, filepath.ToSlash(filepath.Clean(dir))})
			}
		}
	}
	slices.SortFunc(all, func(a, b module) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.importer, b.importer))
	})
	return slices.Compact(all), nil
}

// goList returns the lines that go list prints in the directory, for an operating system
// if that is not empty.
func goList(dir, goos string, args ...string) ([]string, error) {
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Dir = dir
	cmd.Stderr = os.Stderr
	cmd.Env = cmd.Environ()
	if goos != "" {
		cmd.Env = append(cmd.Env, "GOOS="+goos)
	}
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list in %s: %w", dir, err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n"), nil
}

var fileName = regexp.MustCompile(`(?i)^(licen[cs]e|copying)([-.].*)?$`)

// licenceOf returns the kinds of the licence files in the directory, all of them
// permissive, or an error.
func licenceOf(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var kinds []string
	for _, e := range entries {
		if e.IsDir() || !fileName.MatchString(e.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		these, err := classify(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name(), err)
		}
		kinds = append(kinds, these...)
	}
	if kinds == nil {
		return nil, fmt.Errorf("no licence file in %s", dir)
	}
	slices.Sort(kinds)
	return slices.Compact(kinds), nil
}

// Names are those of SPDX, as SBOMs have them.
const (
	bsd2 = "BSD-2-Clause"
	bsd3 = "BSD-3-Clause"
)

var permissive = []struct{ kind, says string }{
	{"Apache-2.0", "apache license version 2.0"},
	{"Apache-2.0", "licensed under the apache license, version 2.0"},
	{bsd2, "redistribution and use in source and binary forms, with or without modification, are permitted"},
	{"ISC", "permission to use, copy, modify, and distribute this software for any purpose with or without fee"},
	{"ISC", "permission to use, copy, modify, and/or distribute this software for any purpose with or without fee"},
	{"MIT", "permission is hereby granted, free of charge, to any person obtaining a copy"},
	{"public domain", "has been dedicated to the public domain by the authors"},
}

// restricting are names in texts that ask for more, alone or beside one that does not.
var restricting = []string{
	"general public license", "mozilla public license", "eclipse public license", "common development and distribution",
	"server side public license", "business source license", "commons clause", "elastic license", "creative commons",
}

// classify returns the permissive licences in the text of a licence file. It is an
// error if there are none, or others beside them.
func classify(text string) ([]string, error) {
	text = strings.ToLower(strings.Join(strings.Fields(text), " "))
	for _, name := range restricting {
		if strings.Contains(text, name) {
			return nil, fmt.Errorf("names the %s", name)
		}
	}
	var kinds []string
	for _, p := range permissive {
		kind := p.kind
		if kind == bsd2 && strings.Contains(text, "endorse or promote products derived from this software") {
			kind = bsd3
		}
		if strings.Contains(text, p.says) && !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	if kinds == nil {
		return nil, fmt.Errorf("is none of MIT, BSD, Apache-2.0 and ISC")
	}
	return kinds, nil
}
