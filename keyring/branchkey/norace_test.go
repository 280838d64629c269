//go:build !race

package branchkey

const moreAllocations = 0
