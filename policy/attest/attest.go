// Package attest makes and reads the statements of this site: verdicts as SLSA verification summaries, promotions as
// in-toto attestations, and plain signatures, all signed with a key of the site and attached to the digest that they are
// about, in forms that cosign verifies.
//
// It promises that what it reads counts only when the site's own key signed it for the very digest and question. Where
// statements lie and when they are made is the daemon's matter.
package attest
