package policy

import (
	"cmp"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Limits of what is read to judge one image. Anything larger is refused, never truncated; what an upstream serves
// beside an image is chosen by whoever may write there. A zero field takes its default.
type Limits struct {
	Manifest    int64         // bytes of a manifest; default 4 MiB, and never more
	Payload     int64         // bytes of a simple-signing payload; default 64 KiB
	Bundle      int64         // bytes of a sigstore bundle that is a signature; default 1 MiB
	Attestation int64         // bytes of an attestation; default 16 MiB
	Signatures  int           // signatures and attestations of one digest, of all forms together; default 50
	Referrers   int           // referrers of one digest; default 50
	Time        time.Duration // for one image, all its requests included; default 30 s
}

// A large signature or attestation costs several times its size while it is verified, so that only few are at once, in
// the whole process.
const largeItem = 1 << 20

var provingLarge = make(chan struct{}, 2)

// maxPlatforms bounds the manifests of an index that a rule with platforms: each looks at.
const maxPlatforms = 100

func (l Limits) withDefaults() Limits {
	l.Manifest = min(cmp.Or(l.Manifest, mirror.MaxManifest), mirror.MaxManifest)
	l.Payload = cmp.Or(l.Payload, 64<<10)
	l.Bundle = cmp.Or(l.Bundle, 1<<20)
	l.Attestation = cmp.Or(l.Attestation, 16<<20)
	l.Signatures = cmp.Or(l.Signatures, 50)
	l.Referrers = cmp.Or(l.Referrers, mirror.MaxReferrers)
	l.Time = cmp.Or(l.Time, 30*time.Second)
	return l
}
