package policy

import (
	"errors"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy/trust"
)

func (l *loader) signer(name string, entry signerEntry, roots names[loadedRoot]) (s signer, ok bool) {
	l.oneWord("signer", name, entry.Where)
	forms := written(entry.Key, entry.PGP)
	if entry.Keyless != nil {
		forms++
	}
	if entry.Certificate != nil {
		forms++
	}
	switch {
	case forms == 0 && !l.doc.Find("signers", name, "key").IsZero():
		l.file("signers."+name+".key", entry.Key, l.at(entry.Where, "signers", name, "key")) // an empty path
		return signer{}, false
	case forms == 0 && !l.doc.Find("signers", name, "pgp").IsZero():
		l.file("signers."+name+".pgp", entry.PGP, l.at(entry.Where, "signers", name, "pgp"))
		return signer{}, false
	case forms == 0:
		l.problems.Add("POL018", entry.Where, "write key, pgp, keyless or certificate", "signers.%s: names neither key nor pgp nor keyless nor certificate", name)
		return signer{}, false
	case forms > 1:
		l.problems.Add("POL018", entry.Where, "write two signers, each with a name of its own", "signers.%s: only one of key, pgp, keyless and certificate", name)
		return signer{}, false
	}
	s.notBefore, s.until = entry.NotBefore.begin(), entry.Until.end()
	switch {
	case !s.until.IsZero() && !s.notBefore.Before(s.until):
		l.problems.Add("POL022", l.at(entry.Where, "signers", name, "until"), "write a later until or an earlier notBefore", "signers.%s: until is not after notBefore, so no signature could count", name)
	case !s.notBefore.IsZero() && entry.Keyless == nil:
		l.dated(name, entry, roots)
	}
	if entry.Key == "" {
		l.onlyWithKey(name, entry)
	}
	switch {
	case entry.Keyless != nil:
		s.Signer, ok = l.keyless(name, *entry.Keyless, roots)
	case entry.PGP != "":
		s.Signer, ok = l.pgp(name, entry)
	case entry.Certificate != nil:
		s.Signer, ok = l.certificate(name, *entry.Certificate, roots)
	default:
		s.Signer, ok = l.key(name, entry, roots)
	}
	return s, ok
}

// onlyWithKey tells of what says something of a key where there is none.
func (l *loader) onlyWithKey(name string, entry signerEntry) {
	if entry.Hash != "" {
		l.problems.Add("POL021", l.at(entry.Where, "signers", name, "hash"), "leave it out: the certificate or the signature says it", "signers.%s.hash: only a key has one", name)
	}
	if !entry.Root.IsZero() {
		l.problems.Add("POL018", entry.Root.Where(), "write it inside of keyless or certificate", "signers.%s.root: only beside key", name)
	}
}

// dated tells of a beginning that nothing could prove: whoever holds a key may say that a signature is new.
func (l *loader) dated(name string, entry signerEntry, roots names[loadedRoot]) {
	if !entry.Root.IsZero() && entry.Certificate == nil {
		if r, ok := roots.find(entry.Root, &mirror.Problems{}); !ok || r.ca || r.Facts().Timestamps+r.Facts().Logs > 0 {
			return // it has times, or is a mistake that is told where it is
		}
	}
	fix := "add root: and a root with a timestamp authority, or leave notBefore out: a key that is not in use yet signs nothing"
	if entry.PGP != "" {
		fix = "leave it out: what an OpenPGP signature says of its time proves nothing"
	}
	if entry.Certificate != nil {
		fix = "leave it out: the certificates say from when on they are valid"
	}
	l.problems.Add("POL022", l.at(entry.Where, "signers", name, "notBefore"), fix, "signers.%s.notBefore: nothing says when something was signed, so no signature could count", name)
}

// key reads a public key twice: without its options, so that what is wrong with the file is not blamed on them.
func (l *loader) key(name string, entry signerEntry, roots names[loadedRoot]) (trust.Signer, bool) {
	key := "signers." + name + ".key"
	data, file, ok := l.file(key, entry.Key, l.at(entry.Where, "signers", name, "key"))
	if !ok {
		return trust.Signer{}, false
	}
	if _, err := trust.NewKey(name, data, trust.KeyOptions{}); err != nil {
		l.problems.Add("POL007", mirror.Position{File: file, Line: 1}, "write one PEM block BEGIN PUBLIC KEY, as cosign.pub has it", "%s: %v", key, err)
		return trust.Signer{}, false
	}
	o := trust.KeyOptions{Hash: entry.Hash}
	if !entry.Root.IsZero() {
		if o.Root, ok = l.sigstore("signers."+name+".root", entry.Root, roots); !ok {
			return trust.Signer{}, false
		}
	}
	s, err := trust.NewKey(name, data, o)
	if err != nil {
		l.problems.Add("POL021", l.at(entry.Where, "signers", name, "hash"), "write sha256, sha384 or sha512 as the key signs, or leave it out", "signers.%s.hash: %v", name, err)
	}
	return s, err == nil
}

func (l *loader) keyless(name string, entry keylessEntry, roots names[loadedRoot]) (trust.Signer, bool) {
	key := "signers." + name + ".keyless"
	root, ok := l.sigstore(key+".root", entry.Root, roots)
	issuer := l.identity(name, "keyless", "issuer", entry.Issuer, entry.IssuerRegexp, entry.Where)
	subject := l.identity(name, "keyless", "subject", entry.Subject, entry.SubjectRegexp, entry.Where)
	if !ok || !issuer || !subject {
		return trust.Signer{}, false
	}
	s, err := trust.NewKeyless(name, root, trust.Identity{Issuer: entry.Issuer, Subject: entry.Subject, IssuerRegexp: entry.IssuerRegexp, SubjectRegexp: entry.SubjectRegexp})
	return s, l.accepted(key, entry.Where, err)
}

func (l *loader) certificate(name string, entry certificateEntry, roots names[loadedRoot]) (trust.Signer, bool) {
	key := "signers." + name + ".certificate"
	root, ok := roots.find(entry.Root, &l.problems)
	if ok && !root.ca {
		l.problems.Add("POL017", entry.Root.Where(), "name a root with ca, or write keyless", "%s.root: the root has no ca", key)
		ok = false
	}
	if subject := l.identity(name, "certificate", "subject", entry.Subject, entry.SubjectRegexp, entry.Where); !ok || !subject {
		return trust.Signer{}, false
	}
	s, err := trust.NewCertificate(name, root.Root, trust.Identity{Subject: entry.Subject, SubjectRegexp: entry.SubjectRegexp})
	return s, l.accepted(key, entry.Where, err)
}

// accepted tells what trust itself says of a signer that looked right here.
func (l *loader) accepted(key string, where mirror.Position, err error) bool {
	if err != nil {
		l.problems.Add("POL019", where, "write issuer and subject as the certificate has them", "%s: %v", key, err)
	}
	return err == nil
}

// identity checks the glob or the regular expression of one field of a certificate.
func (l *loader) identity(name, form, field, glob, expression string, where mirror.Position) bool {
	key := "signers." + name + "." + form + "." + field
	place := func(of string) mirror.Position { return l.at(where, "signers", name, form, of) }
	switch {
	case glob == "" && expression == "":
		l.problems.Add("POL019", where, "write "+field+" or "+field+"Regexp; without it anybody would count", "%s is missing", key)
	case glob != "" && expression != "":
		l.problems.Add("POL019", place(field+"Regexp"), "keep one of them", "%s and %sRegexp: only one can hold", key, field)
	case expression != "":
		if err := anchored(expression); err != nil {
			fix := "write ^ at its beginning and $ at its end, around all alternatives: ^(?:one|other)$"
			if !errors.Is(err, errNotAnchored) {
				fix = "write a regular expression of Go (RE2), or a glob under " + field
			}
			l.problems.Add("POL020", place(field+"Regexp"), fix, "%sRegexp: %v", key, err)
			return false
		}
		return true
	default:
		return true
	}
	return false
}
