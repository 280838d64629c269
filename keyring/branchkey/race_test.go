//go:build race

package branchkey

// RaceDetector says that the tests run under the race detector.
const RaceDetector = true
