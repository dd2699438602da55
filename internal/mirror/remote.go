package mirror

import (
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
)

// RemoteError says why a text is not the address of a Git repository. It never repeats the text: what is wrong with
// it may be a password in it.
type RemoteError struct {
	Secret bool   // it carries what may be a secret
	Scheme string // that is not spoken; "" when that is not what is wrong
	what   string
}

// Error says it as what follows a subject, as in "carries a password".
func (e *RemoteError) Error() string { return e.what }

// scpLike is [user@]host:path, as ssh spells it.
var scpLike = regexp.MustCompile(`^(?:([A-Za-z0-9._-]+)@)?([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):([^@]+)$`)

// SplitSCP takes [user@]host:path apart, the short form of an address for ssh; false when a text is none.
func SplitSCP(address string) (user, host, path string, ok bool) {
	m := scpLike.FindStringSubmatch(address)
	if m == nil {
		return "", "", "", false
	}
	return m[1], strings.Trim(m[2], "[]"), m[3], true
}

// RemoteScheme gives how a Git repository is reached at an address: https, http, ssh or file. The error is a
// RemoteError.
func RemoteScheme(address string) (string, error) {
	refuse := func(format string, args ...any) (string, error) {
		return "", &RemoteError{what: fmt.Sprintf(format, args...)}
	}
	secret := func(what string) (string, error) { return "", &RemoteError{Secret: true, what: what} }
	if !strings.Contains(address, "://") {
		_, _, path, scp := SplitSCP(address)
		_, tail, _ := strings.Cut(address, ":")
		switch {
		case strings.Contains(tail, "@"):
			return secret("carries a password")
		case scp && path != "/" && !strings.ContainsAny(path, "\x00\n\r"):
			return "ssh", nil
		case !filepath.IsAbs(address) || strings.HasPrefix(address, "//"):
			return refuse("is no address")
		}
		return "file", nil
	}
	u, err := url.Parse(address)
	if err != nil {
		return refuse("is no address") // the parser's error would repeat it
	}
	_, password := u.User.Password()
	switch {
	case password:
		return secret("carries a password")
	case u.RawQuery != "" || u.Fragment != "":
		return secret("carries a query or a fragment")
	case u.User != nil && u.Scheme != "ssh":
		return secret("carries a user name") // often a token is written there
	case u.Scheme == "file" && (u.Host != "" && u.Host != "localhost" || !filepath.IsAbs(u.Path)):
		return refuse("is no address: file:// wants an absolute path")
	case u.Scheme == "file":
		return "file", nil
	case u.Scheme != "https" && u.Scheme != "http" && u.Scheme != "ssh":
		return "", &RemoteError{Scheme: u.Scheme, what: fmt.Sprintf("has the scheme %q, which is not spoken", u.Scheme)}
	case u.Hostname() == "" || u.Scheme == "ssh" && (u.Path == "" || u.Path == "/"):
		return refuse("is no address: it wants a host and a path")
	case strings.ContainsAny(u.Path, "\x00\n\r"):
		return refuse("is no address: there are control characters in the path")
	}
	return u.Scheme, nil
}

// IsBranch says whether Git takes a text as the name of a branch.
func IsBranch(name string) bool {
	if name == "" || name == "@" || strings.HasPrefix(name, "-") || strings.HasSuffix(name, ".") ||
		strings.Contains(name, "..") || strings.Contains(name, "@{") || strings.ContainsAny(name, " ~^:?*[\\") ||
		strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return false
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || strings.HasPrefix(part, ".") || strings.HasSuffix(part, ".lock") {
			return false
		}
	}
	return true
}
