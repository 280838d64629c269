//go:build race

package branchkey

// moreAllocations is what the race detector costs, which empties pools at random.
const moreAllocations = 2
