package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// digestOf reads a file to its end.
func digestOf(r io.Reader) (mirror.Digest, error) {
	sum := sha256.New()
	if _, err := io.Copy(sum, r); err != nil {
		return mirror.Digest{}, err
	}
	return mirror.Digest{Algorithm: "sha256", Hex: hex.EncodeToString(sum.Sum(nil))}, nil
}

// printed gives the zips without mistakes, one a line.
func (d *zipsDocument) printed() string {
	var b strings.Builder
	for _, p := range d.Packages {
		fmt.Fprintf(&b, "%s: %s, %d files, %d bytes, %s\n", clean(p.File), p.Package, p.Files, p.Size, p.Digest)
		if p.Signature != "" {
			fmt.Fprintf(&b, "  with %s beside it\n", clean(p.Signature))
		}
	}
	return b.String()
}

// printZips tells of zips, and ends with exit code 6 where one has a mistake.
func (a *app) printZips(d zipsDocument, f format) error {
	_ = d.Problems.Err() // in the order of the files
	told, more := d.Problems.Told()
	switch f {
	case asJSON, asYAML:
		shown := d
		shown.Problems, shown.More = told, more
		if err := document(a.out, f, shown); err != nil {
			return err
		}
	case asGitHub:
		for _, p := range told {
			fmt.Fprintln(a.out, p.Annotation())
		}
		if more > 0 {
			fmt.Fprintf(a.out, "::error::and %d more\n", more)
		}
	default:
		text := d.printed()
		if len(d.Problems) > 0 {
			text += a.typed(d.Problems.Error()) + "\n"
		}
		if err := a.print(text); err != nil {
			return err
		}
	}
	if len(d.Problems) > 0 {
		return exitError{code: exitConfig, problems: d.Problems}
	}
	return nil
}
