package sops

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// metadata is the part of a document that says how it is encrypted.
type metadata struct {
	Age               []ageKey `yaml:"age"`
	LastModified      string   `yaml:"lastmodified"`
	MAC               string   `yaml:"mac"`
	EncryptedRegex    string   `yaml:"encrypted_regex,omitempty"`
	UnencryptedRegex  string   `yaml:"unencrypted_regex,omitempty"`
	EncryptedSuffix   string   `yaml:"encrypted_suffix,omitempty"`
	UnencryptedSuffix string   `yaml:"unencrypted_suffix,omitempty"`
	MACOnlyEncrypted  bool     `yaml:"mac_only_encrypted,omitempty"`
	Version           string   `yaml:"version"`

	plain bool // nothing but what Encrypt writes
}

// ageKey is the key of the document, encrypted for one recipient.
type ageKey struct {
	Recipient string `yaml:"recipient"`
	Enc       string `yaml:"enc"`
}

// foreign are the keys of other services. A document that has some for them, too, may be read, and is none of ours.
var foreign = []string{"kms", "gcp_kms", "azure_kv", "hc_vault", "hckms", "pgp"}

// readMetadata reads the part, and refuses what would be read otherwise than sops does.
func readMetadata(part *yaml.Node) (m metadata, err error) {
	own := *part
	own.Content = nil
	others := false
	for i := 0; i+1 < len(part.Content); i += 2 {
		key, value := part.Content[i], part.Content[i+1]
		if slices.Contains(foreign, key.Value) {
			others = others || len(value.Content) > 0
			continue
		}
		own.Content = append(own.Content, key, value)
	}
	known := []string{"age", "lastmodified", "mac", "encrypted_regex", "unencrypted_regex", "encrypted_suffix", "unencrypted_suffix", "mac_only_encrypted", "version"}
	for i := 0; i < len(own.Content); i += 2 {
		if key := own.Content[i].Value; !slices.Contains(known, key) {
			return m, errors.New("sops: the document is encrypted in a way that is not known here")
		}
	}
	if part.Kind != yaml.MappingNode || own.Decode(&m) != nil || m.LastModified == "" || m.MAC == "" {
		return m, errors.New("sops: the part of sops is broken")
	}
	for _, pattern := range []string{m.EncryptedRegex, m.UnencryptedRegex} {
		if _, err := regexp.Compile(pattern); err != nil {
			return m, errors.New("sops: the part of sops has a pattern that is no regular expression")
		}
	}
	m.plain = !others && !m.MACOnlyEncrypted && m.rule() == rule{encrypted: encryptedRegex}
	return m, nil
}

func (m metadata) rule() rule {
	return rule{m.EncryptedRegex, m.UnencryptedRegex, m.EncryptedSuffix, m.UnencryptedSuffix, m.MACOnlyEncrypted}
}

// rule says which values of a document are encrypted, and what its MAC covers.
type rule struct {
	encrypted, unencrypted             string // regular expressions
	encryptedSuffix, unencryptedSuffix string
	macOfEncrypted                     bool
}

// covers says whether the value at a path of keys is encrypted. The later of two rules wins, as with sops.
func (r rule) covers(path []string) bool {
	any := func(is func(key string) bool) bool { return slices.ContainsFunc(path, is) }
	is := true
	if r.unencryptedSuffix != "" && any(func(key string) bool { return strings.HasSuffix(key, r.unencryptedSuffix) }) {
		is = false
	}
	if r.encryptedSuffix != "" {
		is = any(func(key string) bool { return strings.HasSuffix(key, r.encryptedSuffix) })
	}
	if r.unencrypted != "" && any(regexp.MustCompile(r.unencrypted).MatchString) {
		is = false
	}
	if r.encrypted != "" {
		is = any(regexp.MustCompile(r.encrypted).MatchString)
	}
	return is
}

// parse reads a document. It refuses what gives two readers two documents: aliases, duplicate keys, several documents.
func parse(data []byte) (*yaml.Node, error) {
	if len(data) > maxDocument {
		return nil, fmt.Errorf("sops: the document is larger than %d bytes", maxDocument)
	}
	var doc yaml.Node
	if err := yaml.Load(data, &doc); err != nil || doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return nil, errors.New("sops: this is not one YAML document") // the error of the library may show a value
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, errors.New("sops: the document is no mapping")
	}
	return root, check(root, 0)
}

func check(n *yaml.Node, depth int) error {
	if depth > 32 || n.Kind == yaml.AliasNode || n.Anchor != "" {
		return errors.New("sops: the document has aliases, or is nested too deep")
	}
	seen := map[string]bool{}
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			if c.Kind != yaml.ScalarNode || c.Tag != "!!str" || seen[c.Value] {
				return errors.New("sops: the document has a key twice, or one that is no text")
			}
			seen[c.Value] = true
		}
		if err := check(c, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func dump(root *yaml.Node) ([]byte, error) {
	text, err := yaml.Dump(root, yaml.WithIndent(2), yaml.WithLineWidth(-1))
	if err != nil {
		return nil, errors.New("sops: the document cannot be written")
	}
	return text, nil
}

func find(mapping *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1]
		}
	}
	return nil
}

func drop(mapping *yaml.Node, key string) {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			mapping.Content = slices.Delete(mapping.Content, i, i+2)
			return
		}
	}
}

// same says whether two documents hold the same, in the same order; how they are written does not matter.
func same(a, b *yaml.Node) bool {
	return a.Kind == b.Kind && a.Value == b.Value && a.Tag == b.Tag && slices.EqualFunc(a.Content, b.Content, same)
}
