// Package simulation searches for histories in which sealring fails somebody whom
// it could serve, or serves somebody whom it must not.
//
// A history is a list of steps drawn from a seed: calls of several tenants with
// deadlines of their own, faults of KMS regions, denials, purges, and an attacker's
// messages. It runs in the simulated time of testing/synctest, over real KMS clients
// with the SDK's default retries, real keyrings and real caches, on the embedded KMS.
// What happened is written to a journal, and one function, check, holds all of it
// against the invariants. A history that fails prints its seed and is made as short
// as it goes.
//
//	SEALRING_SIM=1h go test ./internal/simulation -run TestRandomHistories -timeout 2h
//	SEALRING_SIM_SEED=42 go test ./internal/simulation -run TestRandomHistories -v
package simulation
