package render

import (
	"encoding/base64"
	"encoding/binary"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// sealedPath gives where a sealed manifest lies in the fleet repository.
func sealedPath(name string) string { return path.Join("desired", name) }

// goDuration says whether a text is a duration as Kubernetes takes it, such as 1h30m.
func goDuration(text string) bool {
	span, err := time.ParseDuration(text)
	return err == nil && span >= 0
}

// checkSealed reads the SealedSecret that people made with kubeseal (bitnami.com/v1alpha1) before it is carried over.
// The controller in the cluster opens it only under the name and namespace that it was sealed for, and what stands
// beside encryptedData is in clear: so nothing else is let through.
func (o *pullSecretOptions) checkSealed(at string, r request) (ps mirror.Problems) {
	where := o.Where
	name := sealedPath(o.Sealed)
	data, there := r.files[name]
	if !there || !strings.HasPrefix(name, "desired/") {
		ps.Add("RND043", where, "commit the output of `kubeseal -o yaml`, and name it relative to desired/", "%s: there is no file %s", at, mirror.OneLine(name))
		return ps
	}
	doc, wrong := mirror.ParseDocument(name, data)
	if wrong.Stop() {
		return wrong
	}
	s := sealed{doc: doc, ps: wrong}
	s.want("bitnami.com/v1alpha1", "apiVersion")
	s.want("SealedSecret", "kind")
	s.want(o.Name, "metadata", "name")
	s.want(dockerConfig, "spec", "template", "type")
	namespace := o.Namespace
	if namespace == "" {
		namespace, _ = r.options.Key("namespace").Text()
	}
	switch {
	case namespace == "":
		s.ps.Add("RND041", where, "write namespace beside sealed", "%s: a manifest is sealed for one namespace, and which one this is meant for is not said", at)
	default:
		s.want(namespace, "metadata", "namespace")
	}
	for _, inner := range [][2]string{{"name", o.Name}, {"namespace", namespace}} {
		if !doc.Find("spec", "template", "metadata", inner[0]).IsZero() {
			s.want(inner[1], "spec", "template", "metadata", inner[0])
		}
	}
	s.only([]string{"apiVersion", "kind", "metadata", "spec", "status"})
	s.only([]string{"name", "namespace", "labels", "annotations", "creationTimestamp"}, "metadata")
	s.only([]string{"encryptedData", "template"}, "spec")
	s.only([]string{"type", "metadata", "immutable"}, "spec", "template")
	s.only([]string{"name", "namespace", "labels", "annotations", "creationTimestamp"}, "spec", "template", "metadata")
	s.only([]string{dockerConfigKey}, "spec", "encryptedData")
	s.only(nil, "status")
	for _, outer := range [][]string{{"metadata"}, {"spec", "template", "metadata"}} {
		s.unapplied(append(outer, "annotations")...)
	}
	s.encrypted("spec", "encryptedData", dockerConfigKey)
	return s.ps
}

// sealed gathers the mistakes of one SealedSecret. No value of the file is ever told.
type sealed struct {
	doc mirror.Node
	ps  mirror.Problems
}

func (s *sealed) want(value string, at ...string) {
	if text, _ := s.doc.Find(at...).Text(); text != value {
		s.ps.Add("RND044", s.doc.Find(at[:len(at)-1]...).KeyWhere(at[len(at)-1]), "seal the Secret again under that name, with `kubeseal -o yaml`",
			"%s is not %q, so the cluster would not open it as the pull secret", strings.Join(at, "."), value)
	}
}

func (s *sealed) only(known []string, at ...string) {
	part := s.doc.Find(at...)
	for _, key := range part.Keys() {
		if !slices.Contains(known, key) {
			s.ps.Add("RND045", part.KeyWhere(key), "take it out, or seal the Secret again with `kubeseal -o yaml`",
				"a key %s that is no part of a sealed pull secret, so it may be the secret in clear", strings.TrimSpace("below "+strings.Join(at, ".")))
		}
	}
}

// unapplied refuses the annotation in which kubectl apply keeps the whole object: of a Secret that was applied once, it
// is the password in clear, and kubeseal carries annotations over.
func (s *sealed) unapplied(at ...string) {
	const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"
	if part := s.doc.Find(at...); !part.Key(lastApplied).IsZero() {
		s.ps.Add("RND045", part.KeyWhere(lastApplied), "delete the annotation and change the password: it was in Git in clear",
			"annotation %s holds the Secret in clear", lastApplied)
	}
}

// encrypted looks whether the value can be what kubeseal gives: the length of an encrypted session key in two bytes,
// that key (RSA), and the value (AES-GCM, with a tag of 16 bytes), all in base64.
func (s *sealed) encrypted(at ...string) {
	text, _ := s.doc.Find(at...).Text()
	b, err := base64.StdEncoding.DecodeString(text)
	if err == nil && len(b) > 2 {
		if key := int(binary.BigEndian.Uint16(b)); key >= 128 && key <= 2048 && len(b) > 2+key+16 {
			return
		}
	}
	s.ps.Add("RND044", s.doc.Find(at[:len(at)-1]...).KeyWhere(at[len(at)-1]), "seal the Secret with `kubeseal -o yaml`; if it stands here in clear, change the password",
		"%s is not what kubeseal gives", strings.Join(at, "."))
}
