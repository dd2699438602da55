// Package sops encrypts Kubernetes Secrets for keys of age in the form of SOPS (getsops/sops, format of version 3), and
// reads such documents back.
//
// It promises that the sops command, Flux and what else knows that form opens what it writes, that no value of a
// document is ever part of an error, and that nothing is believed whose MAC is not right. It knows YAML and age alone:
// other formats and the keys of cloud services are left to others.
package sops

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"
	"go.yaml.in/yaml/v4"
)

// Version is the version of the form that documents are written in. Older releases of sops read them, too.
const Version = "3.9.0"

// encryptedRegex says which keys of a Secret have their values encrypted; the rest stays readable, since whoever
// applies the manifest has to know what it is.
const encryptedRegex = "^(data|stringData)$"

// maxDocument bounds a document in bytes; Kubernetes takes Secrets of at most 1 MiB.
const maxDocument = 4 << 20

const keySize = 32 // of the key of a document: AES-256

// Encrypt gives the manifest of a Secret, as YAML, with the values below data and stringData encrypted for each of the
// recipients. Every call draws a new key, so no two results are alike. at is what the document says of when it was made;
// its MAC is bound to that.
func Encrypt(manifest []byte, to []Recipient, at time.Time) ([]byte, error) {
	if len(to) == 0 {
		return nil, errors.New("sops: there is nobody to encrypt for")
	}
	root, err := parse(manifest)
	if err != nil {
		return nil, err
	}
	if find(root, "sops") != nil {
		return nil, errors.New("sops: the document is encrypted already")
	}
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // it never fails
	rule := rule{encrypted: encryptedRegex}
	mac, err := rule.walk(root, func(path string, n *yaml.Node) error { return seal(n, key, path) }, nil)
	if err != nil {
		return nil, err
	}
	stamp := at.UTC().Truncate(time.Second).Format(time.RFC3339)
	if mac, err = sealed(mac, key, stamp, "str"); err != nil {
		return nil, err
	}
	var keys []ageKey
	for _, r := range to {
		wrapped, err := r.wrap(key)
		if err != nil {
			return nil, err
		}
		keys = append(keys, ageKey{r.String(), wrapped})
	}
	var m yaml.Node
	if err := m.Encode(metadata{Age: keys, LastModified: stamp, MAC: mac, EncryptedRegex: encryptedRegex, Version: Version}); err != nil {
		return nil, fmt.Errorf("sops: %w", err)
	}
	root.Content = append(root.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: "sops"}, &m)
	return dump(root)
}

// Document is a document that was opened.
type Document struct {
	root       *yaml.Node // in clear, without the part of sops
	recipients []string
	plain      bool // encrypted for age alone, by the rule that Encrypt has
}

// Decrypt opens a document of sops, made by Encrypt or by the sops command, with a key of age. Its MAC is checked.
func Decrypt(data []byte, with *Identity) (Document, error) {
	root, err := parse(data)
	if err != nil {
		return Document{}, err
	}
	part := find(root, "sops")
	if part == nil {
		return Document{}, errors.New("sops: the document is not encrypted")
	}
	m, err := readMetadata(part)
	if err != nil {
		return Document{}, err
	}
	key, err := with.unwrap(m.Age)
	if err != nil {
		return Document{}, err
	}
	drop(root, "sops")
	mac, err := m.rule().walk(root, nil, func(path string, n *yaml.Node) error { return open(n, key, path) })
	if err != nil {
		return Document{}, err
	}
	if err := checkMAC(m.MAC, mac, key, m.LastModified); err != nil {
		return Document{}, err
	}
	d := Document{root: root, plain: m.plain}
	for _, k := range m.Age {
		d.recipients = append(d.recipients, k.Recipient)
	}
	return d, nil
}

// YAML gives the document in clear.
func (d Document) YAML() ([]byte, error) { return dump(d.root) }

// Is says whether Encrypt of a manifest for these recipients would give this document, but for what is drawn by
// chance: then its bytes may stay.
func (d Document) Is(manifest []byte, to []Recipient) bool {
	root, err := parse(manifest)
	if err != nil || !d.plain || len(to) != len(d.recipients) {
		return false
	}
	for _, r := range to {
		if !slices.Contains(d.recipients, r.String()) {
			return false
		}
	}
	return same(d.root, root)
}

// Recipient is a public key of age that documents are encrypted for.
type Recipient struct {
	age.Recipient
	text string
}

// String gives the recipient as age writes it: age1...
func (r Recipient) String() string { return r.text }

// ParseRecipient reads a public key of age: age1... of the usual kind (X25519) or age1pq1... (hybrid, post-quantum).
func ParseRecipient(text string) (Recipient, error) {
	all, err := age.ParseRecipients(bytes.NewReader([]byte(text)))
	if err != nil || len(all) != 1 {
		return Recipient{}, errors.New("sops: want one public key of age, which begins with age1") // what stands there may be a private one
	}
	written, ok := all[0].(fmt.Stringer)
	if !ok {
		return Recipient{}, errors.New("sops: the kind of key is not known")
	}
	return Recipient{all[0], written.String()}, nil
}

// wrap encrypts the key of a document, in the armored form of age. Each recipient has a file of its own: keys of both
// kinds may be mixed so.
func (r Recipient) wrap(key []byte) (string, error) {
	var b bytes.Buffer
	armored := armor.NewWriter(&b)
	w, err := age.Encrypt(armored, r.Recipient)
	if err == nil {
		_, err = w.Write(key)
	}
	if err == nil {
		err = errors.Join(w.Close(), armored.Close())
	}
	if err != nil {
		return "", fmt.Errorf("sops: encrypt for %s: %w", r, err)
	}
	return b.String(), nil
}

// Identity is a private key of age.
type Identity struct {
	keys []age.Identity
	own  []Recipient
}

// ParseIdentity reads what age-keygen writes: AGE-SECRET-KEY-1... or AGE-SECRET-KEY-PQ-1..., one or more lines, and
// comments. No error holds any of it.
func ParseIdentity(text string) (*Identity, error) {
	keys, err := age.ParseIdentities(bytes.NewReader([]byte(text)))
	if err != nil || len(keys) == 0 {
		return nil, errors.New("sops: this is no private key of age, as age-keygen writes it")
	}
	i := &Identity{keys: keys}
	for _, key := range keys {
		public := ""
		switch key := key.(type) {
		case *age.X25519Identity:
			public = key.Recipient().String()
		case *age.HybridIdentity:
			public = key.Recipient().String()
		}
		r, err := ParseRecipient(public)
		if err != nil {
			return nil, errors.New("sops: the kind of private key is not known")
		}
		i.own = append(i.own, r)
	}
	return i, nil
}

// Recipient gives the public half of the first key.
func (i *Identity) Recipient() Recipient { return i.own[0] }

// ErrNotForUs says that a document is not encrypted for the key at hand.
var ErrNotForUs = errors.New("sops: the document is encrypted for other keys")

func (i *Identity) unwrap(keys []ageKey) ([]byte, error) {
	for _, one := range keys {
		r, err := age.Decrypt(armor.NewReader(bytes.NewReader([]byte(one.Enc))), i.keys...)
		if err != nil {
			continue
		}
		key, err := io.ReadAll(io.LimitReader(r, keySize+1))
		if err != nil || len(key) != keySize {
			return nil, errors.New("sops: the key of the document is broken")
		}
		return key, nil
	}
	return nil, ErrNotForUs
}
