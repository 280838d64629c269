package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// unnamed returns a new file on the file system of dir that has no name, so that nothing
// stays of it whatever ends the program. It returns nil where that cannot be.
func unnamed(dir string) *os.File {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil
	}
	f := os.NewFile(uintptr(fd), dir)
	if _, err := os.Stat(descriptor(f)); err != nil { // it could not be named later
		f.Close()
		return nil
	}
	return f
}

func descriptor(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

// nameUnnamed gives such a file a name that no file has.
func nameUnnamed(f *os.File, name string) error {
	err := unix.Linkat(unix.AT_FDCWD, descriptor(f), unix.AT_FDCWD, name, unix.AT_SYMLINK_FOLLOW)
	if err != nil {
		return &os.PathError{Op: "link", Path: name, Err: err}
	}
	return nil
}
