package trust

import (
	"crypto/x509"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/sigstore/cosign/v2/pkg/cosign"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
)

// Identity is what a certificate must say of who signed.
type Identity struct {
	Issuer, Subject             string // globs: * stops at a slash, ** does not; all else is itself
	IssuerRegexp, SubjectRegexp string // anchored with ^ and $
}

// pattern is what one field of an identity must match, whole.
type pattern struct {
	source   string // anchored, for the library
	compiled *regexp.Regexp
	loose    *regexp.Regexp // the same, whatever the case of letters
}

// whole is a pattern that accepts every text.
var whole = pattern{`^(?s:.*)$`, regexp.MustCompile(`^(?s:.*)$`), regexp.MustCompile(`^(?s:.*)$`)}

// compile gives the pattern of a field that is written as a glob or as a regular expression.
func compile(field, glob, expression string) (pattern, error) {
	switch {
	case glob != "" && expression != "":
		return pattern{}, fmt.Errorf("%s and %sRegexp are both given; keep one of them", field, field)
	case glob != "":
		return anchored(globbed(glob))
	case expression == "":
		return pattern{}, fmt.Errorf("%s is missing", field)
	case !strings.HasPrefix(expression, "^") || !strings.HasSuffix(expression, "$") || strings.HasSuffix(expression, `\$`):
		return pattern{}, fmt.Errorf("%sRegexp %q is not anchored; write it as ^...$", field, expression)
	}
	p, err := anchored(expression)
	if err != nil {
		return pattern{}, fmt.Errorf("%sRegexp: %w", field, err)
	}
	return p, nil
}

// anchored holds the expression against the whole text, also where an alternative in it has no anchors of its own: the
// library asks whether it matches somewhere.
func anchored(expression string) (pattern, error) {
	if _, err := regexp.Compile(expression); err != nil {
		return pattern{}, err // an expression that only the parentheses around it would make whole
	}
	source := "^(?:" + expression + ")$"
	compiled, err := regexp.Compile(source)
	if err != nil {
		return pattern{}, err
	}
	loose, err := regexp.Compile("(?i)" + source)
	return pattern{source, compiled, loose}, err
}

func globbed(glob string) string {
	var b strings.Builder
	for i, part := range strings.Split(glob, "**") {
		if i > 0 {
			b.WriteString("(?s:.*)")
		}
		for j, text := range strings.Split(part, "*") {
			if j > 0 {
				b.WriteString("[^/]*")
			}
			b.WriteString(regexp.QuoteMeta(text))
		}
	}
	return b.String()
}

// named is who a certificate says signed.
type named struct {
	issuer, subject string
	folds           bool // the subject is an address or a host name, in which the case of letters says nothing
}

// whoIs reads issuer and subject. A certificate with several subjects would let one person count as several.
func whoIs(leaf *x509.Certificate) (named, error) {
	subjects := cryptoutils.GetSubjectAlternateNames(leaf)
	if len(subjects) != 1 || subjects[0] == "" {
		return named{}, fmt.Errorf("the certificate names %d subjects, want one", len(subjects))
	}
	e := cosign.CertExtensions{Cert: leaf}
	folds := len(leaf.EmailAddresses)+len(leaf.DNSNames) > 0
	return named{issuer: e.GetIssuer(), subject: subjects[0], folds: folds}, nil
}

// text is the identity of a proof, the same for all certificates of one subject. Keyless ones name the issuer that
// knows it, in which no space can be.
func (n named) text(keyless bool) (string, error) {
	subject := n.subject
	if n.folds {
		subject = strings.ToLower(subject) // or one person would count as several
	}
	if !keyless {
		return "certificate " + subject, nil
	}
	if n.issuer == "" || strings.ContainsAny(n.issuer, " \t\r\n") {
		return "", errors.New("the certificate names no issuer")
	}
	return n.issuer + " " + subject, nil
}
