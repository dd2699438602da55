package mirror

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Digest names content by its SHA-256, as the OCI image specification writes it (sha256:<64 hex>).
// The zero value means "not known".
type Digest = v1.Hash

// Descriptor is the OCI content descriptor: media type, digest, size in bytes, annotations.
type Descriptor = v1.Descriptor

// ParseDigest reads sha256:<64 lower-case hex>. Other algorithms are refused: nothing here could check them.
func ParseDigest(s string) (Digest, error) {
	d, err := v1.NewHash(s)
	if err != nil || d.Algorithm != "sha256" {
		return Digest{}, fmt.Errorf("malformed digest %q: want sha256: and 64 hexadecimal digits", s)
	}
	return d, nil
}

// DigestOf computes the digest of b.
func DigestOf(b []byte) Digest {
	sum := sha256.Sum256(b)
	return Digest{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}
}

// Short gives the first twelve hexadecimal digits, for tables; "-" for the zero digest.
func Short(d Digest) string {
	if d == (Digest{}) {
		return "-"
	}
	return d.Algorithm + ":" + d.Hex[:min(12, len(d.Hex))]
}
