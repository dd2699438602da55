package sops

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// nonceSize is the length of the nonces that sops draws, in bytes: longer than usual with AES-GCM.
const nonceSize = 32

// encrypted is a value as sops writes it, all parts in base64.
var encrypted = regexp.MustCompile(`^ENC\[AES256_GCM,data:([A-Za-z0-9+/=]+),iv:([A-Za-z0-9+/=]+),tag:([A-Za-z0-9+/=]+),type:([a-z]+)\]$`)

// macOfEncryptedStart is what the MAC begins with where it covers encrypted values alone: SHA-256 of "sops".
var macOfEncryptedStart = []byte{0x8a, 0x3f, 0xd2, 0xad, 0x54, 0xce, 0x66, 0x52, 0x7b, 0x10, 0x34, 0xf3, 0xd1, 0x47, 0xbe, 0x0b,
	0x0b, 0x97, 0x5b, 0x3b, 0xf4, 0x4f, 0x72, 0xc6, 0xfd, 0xad, 0xec, 0x81, 0x76, 0xf2, 0x7d, 0x69}

// walk calls each for the values that the rule covers, in the order of the document, and gives the MAC of all values
// in clear. before is called ahead of the MAC, so it opens; after seals. The path of a value is what sops binds it to.
func (r rule) walk(root *yaml.Node, after, before func(path string, n *yaml.Node) error) (string, error) {
	sum := sha512.New()
	if r.macOfEncrypted {
		sum.Write(macOfEncryptedStart)
	}
	w := walker{r, sum, after, before}
	if err := w.node(root, nil); err != nil {
		return "", err
	}
	return fmt.Sprintf("%X", sum.Sum(nil)), nil
}

type walker struct {
	rule
	sum           hash.Hash
	after, before func(path string, n *yaml.Node) error
}

func (w walker) node(n *yaml.Node, path []string) error {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if err := w.node(n.Content[i+1], append(path[:len(path):len(path)], n.Content[i].Value)); err != nil {
				return err
			}
		}
		return nil
	case yaml.SequenceNode: // places in a list are no part of a path
		for _, c := range n.Content {
			if err := w.node(c, path); err != nil {
				return err
			}
		}
		return nil
	}
	if n.Tag == "!!null" {
		return nil
	}
	return w.leaf(n, path)
}

func (w walker) leaf(n *yaml.Node, path []string) error {
	covered, at := w.covers(path), strings.Join(path, ":")+":"
	if covered && w.before != nil {
		if err := w.before(at, n); err != nil {
			return err
		}
	}
	if covered || !w.macOfEncrypted {
		text, err := plain(n)
		if err != nil {
			return err
		}
		w.sum.Write([]byte(text))
	}
	if covered && w.after != nil {
		return w.after(at, n)
	}
	return nil
}

// plain gives a value as the MAC and the ciphertext have it.
func plain(n *yaml.Node) (string, error) {
	switch n.Tag {
	case "!!str":
		return n.Value, nil
	case "!!int":
		if i, err := strconv.Atoi(n.Value); err == nil {
			return strconv.Itoa(i), nil
		}
	case "!!bool":
		switch n.Value {
		case "true":
			return "True", nil
		case "false":
			return "False", nil
		}
	case "!!float":
		if f, err := strconv.ParseFloat(n.Value, 64); err == nil {
			return strconv.FormatFloat(f, 'f', -1, 64), nil
		}
	}
	return "", errors.New("sops: the document has a value of a kind that is not known here")
}

// seal encrypts a value in its place. An empty text stays empty, as with sops.
func seal(n *yaml.Node, key []byte, path string) error {
	text, err := plain(n)
	if err != nil || text == "" {
		return err
	}
	kind := strings.TrimPrefix(n.Tag, "!!")
	if n.Value, err = sealed(text, key, path, kind); err != nil {
		return err
	}
	n.Tag, n.Style = "!!str", 0
	return nil
}

func sealed(text string, key []byte, bound, kind string) (string, error) {
	gcm, err := newGCM(key, nonceSize)
	if err != nil {
		return "", err
	}
	nonce := make([]byte, nonceSize)
	_, _ = rand.Read(nonce) // it never fails
	out := gcm.Seal(nil, nonce, []byte(text), []byte(bound))
	body, tag := out[:len(out)-gcm.Overhead()], out[len(out)-gcm.Overhead():]
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("ENC[AES256_GCM,data:%s,iv:%s,tag:%s,type:%s]", b64(body), b64(nonce), b64(tag), kind), nil
}

// open decrypts a value in its place.
func open(n *yaml.Node, key []byte, path string) error {
	if n.Tag != "!!str" {
		return errors.New("sops: a value that should be encrypted stands in clear")
	}
	if n.Value == "" {
		return nil
	}
	text, kind, err := opened(n.Value, key, path)
	if err != nil {
		return err
	}
	switch kind {
	case "str", "int", "float":
		n.Value, n.Tag = text, "!!"+kind
	case "bool":
		n.Value, n.Tag = strings.ToLower(text), "!!bool"
	default:
		return errors.New("sops: the document has a value of a kind that is not known here")
	}
	return nil
}

func opened(value string, key []byte, bound string) (text, kind string, err error) {
	m := encrypted.FindStringSubmatch(value)
	if m == nil {
		return "", "", errors.New("sops: a value that should be encrypted stands in clear, or is broken")
	}
	var parts [3][]byte
	for i := range parts {
		if parts[i], err = base64.StdEncoding.DecodeString(m[i+1]); err != nil {
			return "", "", errors.New("sops: an encrypted value is broken")
		}
	}
	gcm, err := newGCM(key, len(parts[1]))
	if err != nil {
		return "", "", err
	}
	clear, err := gcm.Open(nil, parts[1], append(parts[0], parts[2]...), []byte(bound))
	if err != nil {
		return "", "", errors.New("sops: an encrypted value was changed, or moved to another place")
	}
	return string(clear), m[4], nil
}

func newGCM(key []byte, nonce int) (cipher.AEAD, error) {
	if nonce < 1 || nonce > 64 {
		return nil, errors.New("sops: an encrypted value is broken")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("sops: %w", err)
	}
	gcm, err := cipher.NewGCMWithNonceSize(block, nonce)
	if err != nil {
		return nil, fmt.Errorf("sops: %w", err)
	}
	return gcm, nil
}

// checkMAC compares the MAC that a document carries, which is bound to the time that it says it was made.
func checkMAC(carried, mac string, key []byte, stamp string) error {
	said, _, err := opened(carried, key, stamp)
	if err != nil || !hmac.Equal([]byte(said), []byte(mac)) {
		return errors.New("sops: the document was changed after it was encrypted: its MAC is not right")
	}
	return nil
}
