package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
)

// runChild runs this program again and returns what it prints.
func runChild(args ...string) ([]byte, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("child process: %w", err)
	}
	return out, nil
}

// groupChild has a process of its own measure the group of that name.
func groupChild(name string, quick bool) ([]timing, error) {
	out, err := runChild("-group-child", name, fmt.Sprintf("-quick=%t", quick))
	if err != nil {
		return nil, err
	}
	var timings []timing
	if err := json.Unmarshal(out, &timings); err != nil {
		return nil, fmt.Errorf("child process: %w", err)
	}
	return timings, nil
}

// runGroupChild measures the group of that name and prints the timings.
func runGroupChild(name string, quick bool) error {
	all := groups(quick)
	i := slices.IndexFunc(all, func(g group) bool { return g.name == name })
	if i < 0 {
		return fmt.Errorf("no group %q", name)
	}
	timings, err := all[i].time(quick)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return json.NewEncoder(os.Stdout).Encode(timings)
}
