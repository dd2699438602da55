package git

import (
	"bufio"
	"bytes"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/poundlock/poundlock/internal/mirror"
)

// keyTypes are the SSH keys that may sign; what is not listed, such as DSA and certificates, is refused.
var keyTypes = []string{ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoSKECDSA256, ssh.KeyAlgoRSA}

// leastRSA is the length of the shortest RSA key that counts, in bits.
const leastRSA = 2048

// ParseAllowedSigners reads a file in the form that ssh-keygen(1) describes under "ALLOWED SIGNERS": principals,
// options and a public key on each line. Of the options namespaces, valid-after and valid-before are obeyed. Any
// other one is a problem, certificate authorities included: a line that is not understood must not count, and one
// that silently does not count locks somebody out. Lines for other namespaces than git are left out.
func ParseAllowedSigners(file string, data []byte) (Signers, mirror.Problems) {
	var s Signers
	var ps mirror.Problems
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		k, counts, err := parseAllowedKey(line)
		switch {
		case err != nil:
			ps.Add("CFG068", mirror.Position{File: file, Line: n}, `write one line per key, as in: alice@example.org namespaces="git" ssh-ed25519 AAAA...`, "%v", err)
		case counts:
			s.ssh = append(s.ssh, k)
		}
	}
	if err := lines.Err(); err != nil {
		ps.Add("CFG068", mirror.Position{File: file}, "", "%v", err)
	}
	if len(s.ssh) == 0 && len(ps) == 0 {
		ps.Add("CFG068", mirror.Position{File: file}, `add a line such as: alice@example.org namespaces="git" ssh-ed25519 AAAA...`, "%s allows nobody to sign commits", file)
	}
	if len(ps) > 0 {
		return Signers{}, ps
	}
	return s, nil
}

// parseAllowedKey reads one line; counts is false for a key that is for other things than commits.
func parseAllowedKey(line string) (k allowedKey, counts bool, err error) {
	rest := ""
	if quoted, ok := strings.CutPrefix(line, `"`); ok {
		if k.principals, rest, ok = strings.Cut(quoted, `"`); !ok {
			return k, false, errors.New("a quote in the principals has no end")
		}
	} else if i := strings.IndexAny(line, " \t"); i > 0 {
		k.principals, rest = line[:i], line[i:]
	}
	if k.principals == "" || strings.TrimSpace(rest) == "" {
		return k, false, errors.New("want principals and a public key")
	}
	key, _, options, more, err := ssh.ParseAuthorizedKey([]byte(strings.TrimSpace(rest)))
	if err != nil || len(more) > 0 {
		return k, false, errors.New("there is no public key that can be read after the principals")
	}
	k.key = key
	if err := usable(key); err != nil {
		return k, false, err
	}
	counts = true
	seen := map[string]bool{}
	for _, option := range options {
		name, value, valued := strings.Cut(option, "=")
		name, value = strings.ToLower(name), strings.Trim(value, `"`)
		if seen[name] {
			return k, false, fmt.Errorf("the option %s stands twice", mirror.OneLine(name))
		}
		seen[name] = true
		switch {
		case name == "cert-authority":
			return k, false, errors.New("certificate authorities are not supported: list the keys themselves")
		case name == "namespaces" && valued:
			counts = matches(value, namespace)
		case name == "valid-after" && valued:
			k.after, err = validTime(value)
		case name == "valid-before" && valued:
			k.before, err = validTime(value)
		default:
			return k, false, fmt.Errorf("unknown option %q", mirror.OneLine(name))
		}
		if err != nil {
			return k, false, fmt.Errorf("%s: %w", name, err)
		}
	}
	if !k.after.IsZero() && !k.before.IsZero() && !k.before.After(k.after) {
		return k, false, errors.New("valid-before is not after valid-after: the key would never count")
	}
	return k, counts, nil
}

// usable refuses keys that nobody should sign with.
func usable(key ssh.PublicKey) error {
	if !slices.Contains(keyTypes, key.Type()) {
		return fmt.Errorf("keys of type %s are not supported", mirror.OneLine(key.Type()))
	}
	if inner, ok := key.(ssh.CryptoPublicKey); ok {
		if k, ok := inner.CryptoPublicKey().(*rsa.PublicKey); ok && k.N.BitLen() < leastRSA {
			return fmt.Errorf("an RSA key of %d bits is too short, want at least %d", k.N.BitLen(), leastRSA)
		}
	}
	return nil
}

// validTime reads YYYYMMDD or YYYYMMDDHHMM[SS], in the time zone of the machine or, with a Z behind it, in UTC.
func validTime(text string) (time.Time, error) {
	zone := time.Local
	digits, utc := strings.CutSuffix(text, "Z")
	if utc {
		zone = time.UTC
	}
	for _, layout := range []string{"20060102", "200601021504", "20060102150405"} {
		if len(digits) == len(layout) {
			if t, err := time.ParseInLocation(layout, digits, zone); err == nil {
				return t, nil
			}
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time such as 20270630 or 20270630120000Z", mirror.OneLine(text))
}
