// Package mirror holds the nouns of Poundlock: references, digests, stages, sets, entries, candidates,
// plans, verdicts and records, with their parsing.
//
// It promises that a value that was parsed is valid, and that a Verified exists only after a Verifier
// admitted it. It does no I/O, reads no clock and writes no log; it imports nothing else of this module.
package mirror
