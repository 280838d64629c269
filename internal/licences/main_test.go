package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	mit = "The MIT License\n\nPermission is hereby granted, free of charge, to any person\nobtaining a copy of this software"
	bsd = "Redistribution and use in source and binary forms, with or without\nmodification, are permitted provided"
	bs3 = bsd + "\nNeither the name of X may be used to\nendorse or promote products derived from this software"
	isc = "Permission to use, copy, modify, and/or distribute this software for any\npurpose with or without fee is hereby granted"
	apa = "                 Apache License\n           Version 2.0, January 2004"
	gpl = "GNU GENERAL PUBLIC LICENSE\nVersion 3"
	pub = "All of the code has been dedicated to the public\ndomain by the authors."
	mpl = "Mozilla Public License, version 2.0"
)

func TestLicenceKinds(t *testing.T) {
	for text, want := range map[string][]string{
		mit: {"MIT"}, bsd: {"BSD-2-Clause"}, bs3: {"BSD-3-Clause"}, isc: {"ISC"}, apa: {"Apache-2.0"}, pub: {"public domain"},
		mit + "\n\n" + apa: {"Apache-2.0", "MIT"},
	} {
		kinds, err := classify(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, kinds)
	}
	for text, says := range map[string]string{
		"":                             "none of",
		"All rights reserved.":         "none of",
		gpl:                            "general public",
		mpl:                            "mozilla",
		mit + "\n“Commons Clause” 1.0": "commons clause",
		bsd + "\nor the\n" + gpl:       "general public",
	} {
		_, err := classify(text)
		assert.ErrorContains(t, err, says, text)
	}
}

func TestLicenceFiles(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		kinds []string
		fails string
	}{
		"one":         {files: map[string]string{"LICENSE": mit}, kinds: []string{"MIT"}},
		"spelt":       {files: map[string]string{"Licence.md": isc}, kinds: []string{"ISC"}},
		"two":         {files: map[string]string{"LICENSE-MIT": mit, "COPYING": bsd}, kinds: []string{"BSD-2-Clause", "MIT"}},
		"none":        {files: map[string]string{"README": mit, "license_test.go": mit}, fails: "no licence file"},
		"one of them": {files: map[string]string{"LICENSE": mit, "COPYING": gpl}, fails: "COPYING: names the general public license"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range c.files {
				require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600))
			}
			kinds, err := licenceOf(dir)
			if c.fails != "" {
				require.ErrorContains(t, err, c.fails)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, c.kinds, kinds)
		})
	}
}

// TestLicencesOfTheLibrary holds for what users build: no exceptions.
func TestLicencesOfTheLibrary(t *testing.T) {
	found, err := imported([]string{filepath.Join("..", "..")})
	require.NoError(t, err)
	require.NotEmpty(t, found)
	for _, m := range found {
		_, err := licenceOf(m.dir)
		assert.NoError(t, err, m.name)
	}
}

func TestLicenceExceptions(t *testing.T) {
	m := module{name: "github.com/golang/freetype v0.0.0-20170609003504-e2365dfdc4a0", importer: "internal/bench"}
	assert.NotEmpty(t, m.exception())
	m.importer = "."
	assert.Empty(t, m.exception())
}
