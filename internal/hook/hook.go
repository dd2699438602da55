// Package hook reads webhooks that come in: it tells the genuine from the forged and gives what they are about.
//
// It promises constant-time checks, bounded memory whatever comes, and that a delivery counts once. A hook only says
// where to look: nothing of its body is believed beyond that.
package hook
