//go:build !race

package branchkey

const RaceDetector = false
