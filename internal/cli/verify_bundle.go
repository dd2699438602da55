package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/internal/file"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy/trust"
)

// Limits of what is read whole, in bytes.
const (
	maxBundleFile = 16 << 20
	maxTrustFile  = 1 << 20 // a key or a trusted root
)

// bundleQuestion is a command line of verify-bundle.
type bundleQuestion struct {
	bundle, key, issuer, identity, root, artifact string
}

// verifyBundleCommand speaks the command line by which the runner of sigstore-conformance tries clients. It is hidden:
// nobody mirrors anything with it.
func (a *app) verifyBundleCommand() *cobra.Command {
	var q bundleQuestion
	cmd := &cobra.Command{
		Use: "verify-bundle {FILE | sha256:HEX}", Short: "Verify a sigstore bundle over a file or its digest", Args: cobra.ExactArgs(1), Hidden: true,
		Long: `Verify a sigstore bundle over a file or its digest, as the runner of sigstore-conformance asks. Who must have signed is told by a public
key or by both names in a certificate. Without --trusted-root the public sigstore is trusted.

Exit codes: 0 verified; 5 refused.`,
		Example: "  poundlock verify-bundle --bundle a.sigstore.json --key release.pub a.txt",
		RunE: func(cmd *cobra.Command, args []string) error {
			q.artifact = args[0]
			who, err := q.ask(cmd.Context())
			if errors.As(err, new(refusedBundle)) {
				if err := a.print(fmt.Sprintf("refused: %s\n", clean(strings.ReplaceAll(err.Error(), "\n", "; ")))); err != nil {
					return err
				}
				return exitCode(exitRefused)
			}
			if err != nil {
				return err
			}
			return a.print(fmt.Sprintf("verified: signed by %s\n", clean(who)))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&q.bundle, "bundle", "", "file with the bundle")
	flags.StringVar(&q.key, "key", "", "file with the public key that must have signed")
	flags.StringVar(&q.identity, "certificate-identity", "", "subject that the certificate must name")
	flags.StringVar(&q.issuer, "certificate-oidc-issuer", "", "issuer that the certificate must name")
	flags.StringVar(&q.root, "trusted-root", "", "file with the trusted root (default: that of the public sigstore)")
	return cmd
}

// refusedBundle is an error that means: the content is not as it must be.
type refusedBundle struct{ error }

// ask reads what the flags name and gives who signed.
func (q bundleQuestion) ask(ctx context.Context) (string, error) {
	body, err := file.Read(q.bundle, maxBundleFile)
	if err != nil {
		return "", fmt.Errorf("read the bundle: %w", err)
	}
	check := trust.BundleCheck{Issuer: q.issuer, Subject: q.identity}
	if q.key != "" {
		if check.Key, err = file.Read(q.key, maxTrustFile); err != nil {
			return "", fmt.Errorf("read the key: %w", err)
		}
	}
	if q.root != "" {
		if check.Root, err = file.Read(q.root, maxTrustFile); err != nil {
			return "", fmt.Errorf("read the trusted root: %w", err)
		}
	}
	if strings.HasPrefix(q.artifact, "sha256:") {
		if check.Digest, err = mirror.ParseDigest(q.artifact); err != nil {
			return "", err
		}
	} else {
		f, err := os.Open(q.artifact)
		if err != nil {
			return "", fmt.Errorf("read what was signed: %w", err)
		}
		defer f.Close()
		check.Artifact = f
	}
	who, err := trust.VerifyBundle(ctx, body, check)
	if err != nil {
		return "", refusedBundle{err}
	}
	return who, nil
}
