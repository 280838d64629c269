// Package interop holds tests that exchange messages with AWS's Go release of the
// Encryption SDK: each side reads what the other wrote, and refuses what it must.
//
//	go -C internal/interop test ./...
//
// AWS's SDK takes minutes to build the first time. Package differential changes messages at
// random, and has the list of what the two do differently. The program in exchange does the
// same as the tests here with AWS's releases in other languages, by the programs in peers.
package interop
