package testenv

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// TUFOptions vary a TUF repository.
type TUFOptions struct {
	Until time.Time // when all its metadata expires; zero: 2050
	Plain bool      // no consistent snapshots: names without version and hash
}

// TUFRepository gives the files of a TUF repository with the targets, such as trusted_root.json, by their path inside
// the folder: root.json, timestamp.json, 1.root.json, 1.snapshot.json, 1.targets.json and targets/<sha256>.<name>,
// which is how a mirror of sigstore's repository looks. Each call makes new keys.
func TUFRepository(targets map[string][]byte, o TUFOptions) (map[string][]byte, error) {
	if o.Until.IsZero() {
		o.Until = time.Date(2050, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	files := map[string][]byte{}
	list := metadata.Targets(o.Until)
	for name, body := range targets {
		file, err := metadata.TargetFile().FromBytes(name, body, "sha256")
		if err != nil {
			return nil, fmt.Errorf("testenv: target %s: %w", name, err)
		}
		list.Signed.Targets[name] = file
		if !o.Plain {
			name = fmt.Sprintf("%x.%s", []byte(file.Hashes["sha256"]), name)
		}
		files["targets/"+name] = body
	}
	root := metadata.Root(o.Until)
	root.Signed.ConsistentSnapshot = !o.Plain
	signers := map[string]signature.Signer{}
	for _, role := range []string{metadata.ROOT, metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP} {
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		if signers[role], err = signature.LoadSigner(private, crypto.Hash(0)); err != nil {
			return nil, err
		}
		key, err := metadata.KeyFromPublicKey(public)
		if err != nil {
			return nil, err
		}
		if err := root.Signed.AddKey(key, role); err != nil {
			return nil, err
		}
	}
	version := "1."
	if o.Plain {
		version = ""
	}
	var err error
	if files["root.json"], err = signedRole(root, signers[metadata.ROOT]); err != nil {
		return nil, err
	}
	files["1.root.json"] = files["root.json"]
	if files[version+"targets.json"], err = signedRole(list, signers[metadata.TARGETS]); err != nil {
		return nil, err
	}
	if files[version+"snapshot.json"], err = signedRole(metadata.Snapshot(o.Until), signers[metadata.SNAPSHOT]); err != nil {
		return nil, err
	}
	files["timestamp.json"], err = signedRole(metadata.Timestamp(o.Until), signers[metadata.TIMESTAMP])
	return files, err
}

func signedRole[T metadata.Roles](m *metadata.Metadata[T], signer signature.Signer) ([]byte, error) {
	if _, err := m.Sign(signer); err != nil {
		return nil, err
	}
	return m.ToBytes(false)
}
