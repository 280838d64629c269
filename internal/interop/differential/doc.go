// Package differential holds fuzz tests of this library against AWS's Go release of the
// Encryption SDK, which is translated from a verified implementation. Messages, contexts and
// wrapped keys are put together from the specification by code of their own, and changed by
// structure: fields, lengths, order and number, with tags, commitment and signature made anew
// for what was changed, or not. Both sides must accept the same ones, and get the same
// plaintext and context of them. The library's own ways to open a message must agree among
// themselves, and no message opens that was changed behind what vouches for it.
//
//	go -C internal/interop test ./differential
//	go -C internal/interop test ./differential -run '^$' -fuzz FuzzMessages -fuzzminimizetime 1x
//
// With -v the tests say how many messages of each change are accepted and refused, and how
// many show which difference.
//
// AWS's release runs in a process of its own, awspeer: so what it is made of is not built anew
// for fuzzing, which takes long, and its coverage does not hide the library's. The tests build
// it, unless SEALRING_AWSPEER names one that is there.
//
// # Known differences
//
// All are with release 0.4.0, and each has a predicate in the tests, as narrow as can be. Any
// other difference is a failure.
//
// Of messages:
//
//   - The library has limits by default that the format has not, on purpose: of wrapped keys
//     (64), of the header (256 KiB), of frames (16 MiB). AWS reads 65,535 keys and frames of
//     4 GiB. With greater limits both agree.
//   - AWS tries a header whose tag is wrong once more, as release 4.0.0 for .NET wrote it: with
//     a count of no pairs behind the header, and in version 1 under a key that was derived
//     without the message ID. The library refuses such messages on purpose: their frames are
//     under a key that is not the message's own. Told to with NetV4_0_0_RetryPolicy, AWS
//     refuses them too, and both agree.
//   - AWS takes a pair from the caller that the message does not store though its key begins
//     with aws-crypto-. The library refuses it: no caller may write such a pair.
//
// Of wrapped keys:
//
//   - AWS refuses all wrapped keys of a message if one of them, with the provider raw-ecdh or
//     aws-kms-ecdh, has provider information that is not as long as that of some curve, of
//     another version, or with a recipient that leaves no room: before it tries those that are
//     its own. The library passes such a key over, as any other that it cannot unwrap.
//   - AWS does not look at the length of the sender's key in that information, and takes what
//     is left. The library refuses a wrapped key with a wrong one. In a message the header's tag
//     covers it: only who has the data key can write such a message.
//   - AWS panics in a raw ECDH keyring that takes any sender if the sender's key in that
//     information is no point of the curve: a fault of DecompressPublicKey in ECDH/externs.go of
//     its module primitives, release 0.4.0, in Go that was not translated. Whoever can send a
//     message can have it panic. The library passes the key over.
//   - The library tries ten wrapped keys of a message with a private key (RSA, and ECDH with
//     any sender), since each try takes long. AWS tries all.
//
// Errors are not compared between the sides, since they name different things first.
package differential
