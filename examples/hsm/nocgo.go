//go:build !cgo

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "hsm: built without cgo, which PKCS #11 needs: install a C compiler (apt-get install gcc), and leave CGO_ENABLED unset or set it to 1")
	os.Exit(1)
}
