package policy

import (
	"slices"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy/trust"
)

// spot is where signatures and attestations of a digest are looked for.
type spot struct {
	repository mirror.Reference // without tag and digest
	digest     mirror.Digest
}

// subject is a manifest that has to be signed: the image, or with platforms: each a manifest of its index.
type subject struct {
	digest mirror.Digest
	child  bool
}

// proof is one valid signature or attestation, by a signer of one layer, over the digest that is asked for.
type proof struct {
	trust.Proof
	layer    int
	signer   string // who accepts it
	manifest mirror.Descriptor
	sight    mirror.Digest    // of the signature itself, wherever it lies
	seen     time.Time        // when we first saw it valid
	met      map[string]error // conditions on an attestation by attestation.id; nil: it is true
}

// flaw is something that was found and does not count.
type flaw struct {
	about   about
	text    string
	foreign bool // nobody who is asked for made it, so that it says nothing of whether a wanted one will come
}

// beside is what was found at one spot.
type beside struct {
	items  int // signatures and attestations, valid or not
	proofs []proof
	flaws  []flaw
}

// evidence is all that was found, as values that every layer is judged by.
type evidence struct {
	subjects []subject // the image first
	spots    map[spot]*beside
	unlisted string // why the manifests of the index are not all among the subjects
}

// at gives what was found at a spot, which may be nothing.
func (e evidence) at(s spot) *beside {
	if b, ok := e.spots[s]; ok {
		return b
	}
	b := &beside{}
	if e.spots != nil {
		e.spots[s] = b
	}
	return b
}

// flaws lists what does not count of everything that was found, each once.
func (e evidence) flaws() []string {
	var all []string
	for _, b := range e.spots {
		for _, f := range b.flaws {
			all = append(all, f.text)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// dated gives the time of a proof and who says so: where nobody trusted says more, when we first saw the signature.
// That we know the image longer proves nothing of who signed it since.
func (p proof) dated() (at time.Time, source string) {
	at, source = p.seen, FirstSeen
	for i, t := range p.Times {
		if i == 0 || t.At.Before(at) {
			at, source = t.At, t.Source
		}
	}
	return at, source
}

// FirstSeen is the source of the time of a proof that nobody trusted dates: when we first saw it.
const FirstSeen = "first seen"
