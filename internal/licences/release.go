package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// ours begins the paths of this repository's modules, whose licence is in LICENSE.
const ours = "github.com/go-sealring/sealring"

// systems are those for which modules are listed: some are linked on one alone.
var systems = []string{"linux", "darwin", "windows"}

type linkedModule struct {
	path, version string
	kinds         []string
	texts         map[string]string // of licence and notice files, by their names in the module
}

// linked returns the modules that programs link which import all packages of the modules
// in the directories, sorted. It fails if one has no licence, or one that is not
// permissive.
func linked(dirs []string) ([]linkedModule, error) {
	packages := map[[2]string][]string{} // their directories, by the module's name and directory
	for _, dir := range dirs {
		for _, goos := range systems {
			lines, err := goList(dir, goos, "-deps",
				"-f", "{{$dir := .Dir}}{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}\t{{.Dir}}\t{{$dir}}{{end}}{{end}}", "./...")
			if err != nil {
				return nil, err
			}
			for _, line := range lines {
				if f := strings.Split(line, "\t"); len(f) == 3 {
					at := [2]string{f[0], f[1]}
					packages[at] = append(packages[at], f[2])
				}
			}
		}
	}
	var modules []linkedModule
	for at, of := range packages {
		m := linkedModule{texts: map[string]string{}}
		m.path, m.version, _ = strings.Cut(at[0], " ")
		if err := m.read(at[1], of); err != nil {
			return nil, fmt.Errorf("%s: %w", at[0], err)
		}
		modules = append(modules, m)
	}
	slices.SortFunc(modules, func(a, b linkedModule) int {
		return cmp.Or(strings.Compare(a.path, b.path), strings.Compare(a.version, b.version))
	})
	return modules, nil
}

var noticeName = regexp.MustCompile(`(?i)^notice([-.].*)?$`)

// read takes the licences of a module in its root, and in the directories of the packages
// and above them.
func (m *linkedModule) read(root string, packages []string) error {
	kinds, err := licenceOf(root)
	if err != nil {
		return err
	}
	m.kinds = kinds
	seen := map[string]bool{}
	for _, dir := range packages {
		for ; !seen[dir]; dir = filepath.Dir(dir) {
			seen[dir] = true
			entries, err := os.ReadDir(dir)
			if err != nil {
				return err
			}
			for _, e := range entries {
				licence := fileName.MatchString(e.Name()) && !strings.HasSuffix(e.Name(), ".go")
				if e.IsDir() || !licence && !noticeName.MatchString(e.Name()) {
					continue
				}
				file := filepath.Join(dir, e.Name())
				text, err := os.ReadFile(file)
				if err != nil {
					return err
				}
				name, err := filepath.Rel(root, file)
				if err != nil {
					return err
				}
				m.texts[filepath.ToSlash(name)] = string(text)
				if licence {
					kinds, err := classify(string(text))
					if err != nil {
						return fmt.Errorf("%s: %w", name, err)
					}
					m.kinds = append(m.kinds, kinds...)
				}
			}
			if dir == root {
				break
			}
		}
	}
	slices.Sort(m.kinds)
	m.kinds = slices.Compact(m.kinds)
	return nil
}

// writeNotice writes what the licences of other people's modules ask to be kept with
// them. A text that several have is there once.
func writeNotice(file string, dirs []string) error {
	modules, err := linked(dirs)
	if err != nil {
		return err
	}
	modules = slices.DeleteFunc(modules, func(m linkedModule) bool {
		return m.path == ours || strings.HasPrefix(m.path, ours+"/")
	})
	return os.WriteFile(file, notice(modules), 0o644)
}

func notice(modules []linkedModule) []byte {
	var out bytes.Buffer
	out.WriteString("sealring is licensed under the Apache License 2.0: see LICENSE. Programs that are built\n" +
		"with it link packages of these modules, where they use what needs them. The texts of\n" +
		"their licences follow. Go's own library has the licence of golang.org/x/crypto.\n\n")
	var order []string
	from := map[string][]string{} // where a text is from
	for _, m := range modules {
		fmt.Fprintf(&out, "%s %s: %s\n", m.path, m.version, strings.Join(m.kinds, ", "))
		for _, name := range slices.Sorted(maps.Keys(m.texts)) {
			text := strings.Trim(strings.ReplaceAll(m.texts[name], "\r\n", "\n"), "\n")
			if from[text] == nil {
				order = append(order, text)
			}
			from[text] = append(from[text], path.Join(m.path+"@"+m.version, name))
		}
	}
	for _, text := range order {
		rule := strings.Repeat("=", 80)
		fmt.Fprintf(&out, "\n%s\n%s\n%s\n\n%s\n", rule, strings.Join(from[text], "\n"), rule, text)
	}
	return out.Bytes()
}

// completeSBOM adds licences to the SBOM of the module in a directory.
func completeSBOM(file, dir string) error {
	modules, err := linked([]string{dir})
	if err != nil {
		return err
	}
	own, err := licenceOf(dir)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if text, err = withLicences(text, own, modules); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return os.WriteFile(file, text, 0o644)
}

// withLicences returns an SBOM with the licences of the module that it describes, own, and
// of the modules that this links. It leaves out others, which are there for tests.
func withLicences(text []byte, own []string, modules []linkedModule) ([]byte, error) {
	var bom map[string]any
	if err := json.Unmarshal(text, &bom); err != nil {
		return nil, err
	}
	metadata, _ := bom["metadata"].(map[string]any)
	main, ok := metadata["component"].(map[string]any)
	if !ok {
		return nil, errors.New("names no module that it is for")
	}
	main["licenses"] = licenses(own)
	missing := map[string][]string{}
	for _, m := range modules {
		missing[m.path+" "+m.version] = m.kinds
	}
	dropped := map[any]bool{}
	bom["components"] = without(bom["components"], func(c any) bool {
		component, _ := c.(map[string]any)
		name := fmt.Sprintf("%v %v", component["name"], component["version"])
		kinds, ok := missing[name]
		if !ok {
			dropped[component["bom-ref"]] = true
			return true
		}
		component["licenses"] = licenses(kinds)
		component["scope"] = "required"
		delete(missing, name)
		return false
	})
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		return nil, fmt.Errorf("does not name %s, which is linked", name)
	}
	bom["dependencies"] = without(bom["dependencies"], func(d any) bool {
		dependency, _ := d.(map[string]any)
		if on, ok := dependency["dependsOn"]; ok {
			dependency["dependsOn"] = without(on, func(ref any) bool { return dropped[ref] })
		}
		return dropped[dependency["ref"]]
	})
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(bom)
	return out.Bytes(), err
}

// without returns the elements of a JSON array that are not to be dropped.
func without(array any, drop func(any) bool) []any {
	elements, _ := array.([]any)
	return slices.DeleteFunc(append([]any{}, elements...), drop)
}

func licenses(kinds []string) []any {
	var of []any
	for _, kind := range kinds {
		key := "id"
		if kind == "public domain" { // has no name in SPDX
			key = "name"
		}
		of = append(of, map[string]any{"license": map[string]any{key: kind}})
	}
	return of
}
