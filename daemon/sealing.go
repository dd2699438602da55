package daemon

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"path"
	"strconv"
	"strings"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/sops"
	"github.com/poundlock/poundlock/sync/render"
)

// seal makes files of the Secrets of a rendering: encrypted for those who open them, never in clear. old is what their
// folders hold now. A manifest that holds the same for the same people keeps its bytes, since encrypting it anew would
// be a commit without a change in every cycle. Where one cannot be made, all of its folder stays as it is: what goes
// with it would name a Secret that is not there.
func (l *Line) seal(made render.Result, old mirror.Files) render.Result {
	if len(made.Secrets) == 0 {
		return made
	}
	keys, why := sealingKeys(l.config)
	for _, name := range sortedKeys(made.Secrets) {
		var body []byte
		why := why
		if why == nil {
			body, why = l.sealed(made.Secrets[name], keys, old[name])
		}
		if why != nil {
			made = l.unsealed(made, name, why)
			continue
		}
		made.Files[name] = body
	}
	for _, a := range made.Kept { // also what was sealed before another one of the folder failed
		maps.DeleteFunc(made.Files, func(name string, _ []byte) bool { return strings.HasPrefix(name, a.Path+"/") })
	}
	return made
}

// unsealed keeps the folder of a Secret as it is.
func (l *Line) unsealed(made render.Result, name string, why error) render.Result {
	dir := path.Dir(name)
	for _, a := range made.Kept {
		if a.Path == dir {
			return made // one reason is enough
		}
	}
	a := mirror.Action{Kind: mirror.Refuse, Path: dir, Reason: mirror.Because(mirror.Unsealed, "kept as it was: %s: %s", path.Base(name), clean(why.Error()))}
	if set, stage, of := strings.Cut(strings.TrimPrefix(dir, l.renderedDir()+"/"), "/"); of && set != "consumers" {
		a.Key.Set, a.Stage = set, mirror.Stage(stage)
	}
	made.Kept = append(made.Kept, a)
	return made
}

// sealed gives one manifest, encrypted; the old one where it is as good.
func (l *Line) sealed(secret render.Secret, keys keyring, old []byte) ([]byte, error) {
	user, password, err := consumerLogin(l.config, secret.Credential)
	if err != nil {
		return nil, err
	}
	manifest := secretManifest(secret, secret.Data(user, password))
	if len(old) > 0 {
		if d, err := sops.Decrypt(old, keys.own); err == nil && d.Is(manifest, keys.to) {
			return old, nil
		}
	}
	return sops.Encrypt(manifest, keys.to, l.now())
}

// secretManifest writes a Secret in clear, for encryption alone.
func secretManifest(secret render.Secret, values map[string]string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: v1\nkind: Secret\nmetadata:\n  name: %s\n", strconv.Quote(secret.Name))
	if secret.Namespace != "" {
		fmt.Fprintf(&b, "  namespace: %s\n", strconv.Quote(secret.Namespace))
	}
	fmt.Fprintf(&b, "type: %s\ndata:\n", strconv.Quote(secret.Type))
	for _, key := range sortedKeys(values) {
		fmt.Fprintf(&b, "  %s: %s\n", strconv.Quote(key), base64.StdEncoding.EncodeToString([]byte(values[key])))
	}
	return []byte(b.String())
}

// keyring is for whom Secrets are encrypted, we among them, and our own key.
type keyring struct {
	own *sops.Identity
	to  []sops.Recipient
}

// sealingKeys reads the keys as they are now, so that a rotated one counts at once. No error holds any of them.
func sealingKeys(c config.Config) (keyring, error) {
	age := c.Sealing.Age
	if len(age.Recipients) == 0 || age.Identity.IsZero() {
		return keyring{}, errors.New("secrets.age of config.yaml names nobody to encrypt for")
	}
	text, err := age.Identity.Read()
	if err != nil {
		return keyring{}, errors.New("secrets.age.identity of config.yaml cannot be read; `poundlock doctor` says why")
	}
	own, err := sops.ParseIdentity(text.Reveal())
	if err != nil {
		return keyring{}, fmt.Errorf("secrets.age.identity of config.yaml: %w", err)
	}
	k := keyring{own: own, to: []sops.Recipient{own.Recipient()}}
	listed := map[string]bool{own.Recipient().String(): true}
	for _, public := range age.Recipients {
		r, err := sops.ParseRecipient(public)
		if err != nil {
			return keyring{}, fmt.Errorf("secrets.age.recipients of config.yaml: %w", err)
		}
		if !listed[r.String()] {
			k.to, listed[r.String()] = append(k.to, r), true
		}
	}
	return k, nil
}

var errOurLogin = errors.New("has the password with which Poundlock writes to the local registry")

// consumerLogin gives a login that consumers may get. The one with which we write to the local registry is refused under
// whatever name it comes: every cluster could change what all others run.
func consumerLogin(c config.Config, name string) (user, password string, err error) {
	login, known := c.Sealing.Credentials[name]
	if !known {
		return "", "", fmt.Errorf("there is no login %q below secrets.credentials of config.yaml", mirror.OneLine(name))
	}
	text, err := login.Password.Read()
	if err != nil || text == "" {
		return "", "", fmt.Errorf("secrets.credentials.%s.password of config.yaml cannot be read; `poundlock doctor` says why", mirror.OneLine(name))
	}
	own := c.Registries[config.LocalRegistry].Auth
	for _, ours := range []config.Secret{own.Password, own.Token} {
		if is, err := ours.Read(); err == nil && is != "" && is == text {
			return "", "", fmt.Errorf("secrets.credentials.%s %w", mirror.OneLine(name), errOurLogin)
		}
	}
	return login.Username, text.Reveal(), nil
}
