package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func newMan(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:    "man",
		Short:  "Print the manual page",
		Long:   "Print the manual page, sealring(1), for packages to install.",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE:   func(*cobra.Command, []string) error { return writeManual(os.Stdout, root) },
	}
}

// environment says which variables count, for the manual.
var environment = []struct{ name, meaning string }{
	{keyVariable, "URIs of keys with spaces between them, used if there is no -k"},
	{"AWS_PROFILE, AWS_REGION, AWS_ACCESS_KEY_ID, ...", "what the AWS SDK reads: credentials, and where they come from"},
	{"AWS_ENDPOINT_URL_KMS, AWS_ENDPOINT_URL_DYNAMODB, AWS_ENDPOINT_URL", "other endpoints than those of AWS, such as an emulator's"},
}

// writeManual writes the manual page, from the same commands, flags and tables that the help
// has.
func writeManual(w io.Writer, root *cobra.Command) error {
	m := &manual{}
	m.line(`.TH SEALRING 1 "" "sealring" "User Commands"`)
	m.section("NAME")
	m.line(roff("sealring - " + strings.ToLower(root.Short[:1]) + root.Short[1:]))
	m.section("SYNOPSIS")
	commands := visible(root)
	for _, c := range commands {
		if c.HasSubCommands() {
			continue
		}
		m.line(".B " + roff(c.CommandPath()))
		m.line("[FLAG]...\\&" + roff(strings.TrimPrefix(c.Use, c.Name())))
		m.line(".br")
	}
	m.section("DESCRIPTION")
	m.text(about)
	m.section("KEYS")
	m.text(aboutKeys)
	m.section("COMMANDS")
	for _, c := range commands {
		m.line(".SS " + roff(c.CommandPath()))
		m.text(c.Long)
		c.LocalFlags().VisitAll(func(f *pflag.Flag) { m.flag(f) })
		if c.HasExample() {
			m.line(".PP")
			m.text("Examples:\n\n" + c.Example)
		}
	}
	m.section("EXIT STATUS")
	for _, e := range exitCodes {
		m.item(e.code, e.meaning)
	}
	m.section("ENVIRONMENT")
	for _, e := range environment {
		m.item(e.name, e.meaning)
	}
	m.section("SEE ALSO")
	m.text("https://pkg.go.dev/github.com/go-sealring/sealring/keyring/keyuri has all forms of URIs, and\n" +
		"https://pkg.go.dev/github.com/go-sealring/sealring/envelope what is promised of messages.")
	_, err := io.WriteString(w, m.String())
	return err
}

// visible returns the commands beneath one, at all depths, that help lists.
func visible(c *cobra.Command) []*cobra.Command {
	var all []*cobra.Command
	for _, child := range c.Commands() {
		if child.Hidden || child.Name() == "help" || child.Name() == "completion" {
			continue
		}
		all = append(all, child)
		all = append(all, visible(child)...)
	}
	return all
}

// A manual is a page in the making, in the macros of man(7).
type manual struct{ strings.Builder }

func (m *manual) line(s string)    { m.WriteString(s + "\n") }
func (m *manual) section(s string) { m.line(".SH " + s) }

func (m *manual) item(name, meaning string) {
	m.line(".TP")
	m.line(".B " + roff(name))
	m.line(roff(meaning))
}

func (m *manual) flag(f *pflag.Flag) {
	if f.Name == "help" {
		return
	}
	value, usage := pflag.UnquoteUsage(f)
	name := "--" + f.Name
	if f.Shorthand != "" {
		name = "-" + f.Shorthand + ", " + name
	}
	if value != "" {
		name += " " + value
	}
	if d := f.DefValue; d != "" && d != "false" && d != "[]" {
		usage += fmt.Sprintf(" (default %s)", d)
	}
	m.item(name, usage)
}

// text writes paragraphs, and what is indented as it stands.
func (m *manual) text(s string) {
	asIs := false
	for _, l := range strings.Split(s, "\n") {
		indented := strings.HasPrefix(l, "  ")
		switch {
		case l == "" && !asIs:
			m.line(".PP")
			continue
		case indented && !asIs:
			m.line(".nf")
		case !indented && l != "" && asIs:
			m.line(".fi")
			m.line(".PP")
		}
		if l != "" {
			asIs = indented
		}
		m.line(roff(l))
	}
	if asIs {
		m.line(".fi")
	}
}

// roff returns a line of text with what the formatter would take for its own escaped.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, `"`, `\(dq`).Replace(s)
	if strings.HasPrefix(s, ".") {
		s = `\&` + s
	}
	return s
}
