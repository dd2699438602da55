package render

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/poundlock/poundlock/internal/mirror"
)

func init() {
	register("eck", kind{reach: forSets, check: checkECK, files: eckFiles, options: eckDefaults,
		proof: proveECK, reads: readsECK, lint: lintECK,
		about: "PackageRegistry of the operator ECK with its image pinned by digest, and a patch that makes a Kibana of ECK use it."})
}

const (
	eckFile  = "eck-package-registry.yaml"
	eckPatch = "eck-kibana.patch.yaml" // no resource: applied alone it would be half a Kibana
)

// eckVersion is the resource's version.
// Source: pkg/apis/packageregistry/v1alpha1 of elastic/cloud-on-k8s.
const eckVersion = "packageregistry.k8s.elastic.co/v1alpha1"

// eckOptions are the options of kind eck.
type eckOptions struct {
	Name       string             `yaml:"name" jsonschema_description:"Name of the PackageRegistry."`
	Namespace  string             `yaml:"namespace" jsonschema:"example=elastic" jsonschema_description:"Namespace of the PackageRegistry and of the Kibana; whoever applies them decides when it is left out."`
	Version    string             `yaml:"version,required" jsonschema:"example=9.3.0" jsonschema_description:"Version of the Elastic Stack that the operator runs it for."`
	Count      int                `yaml:"count" jsonschema:"minimum=0,maximum=1000" jsonschema_description:"Number of pods."`
	Image      string             `yaml:"image" jsonschema:"example=docker.elastic.co/package-registry/distribution:*" jsonschema_description:"Entry of the set that is the image: its name or a glob that matches one; the image that distribution: makes when it is left out."`
	Kibana     string             `yaml:"kibana" jsonschema:"example=kibana" jsonschema_description:"Name of the Kibana resource that the patch eck-kibana.patch.yaml is for; no patch when it is left out."`
	PullSecret *pullSecretOptions `yaml:"pullSecret" jsonschema_description:"The pull secret of the pods."`
	Where      mirror.Position
}

var eckDefaults = eckOptions{Name: "package-registry", Count: 1}

var stackVersion = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$`)

func eckOf(options mirror.Node) (eckOptions, mirror.Problems) {
	o := eckDefaults
	ps := options.DecodeAs("render.eck", &o)
	return o, ps
}

func checkECK(r request) mirror.Problems {
	o, ps := eckOf(r.options)
	if len(ps) > 0 {
		return ps
	}
	ps = append(ps, (&objectOptions{Name: o.Name, Namespace: o.Namespace, Where: r.where}).check("render.eck")...)
	ps = append(ps, checkObjectName("render.eck.kibana", o.Kibana, r.options.Key("kibana").Where())...)
	if !stackVersion.MatchString(o.Version) {
		ps.Add("RND148", r.options.Key("version").Where(), "write a version such as 9.3.0, without v", "render.eck.version: %q is no version of the Elastic Stack", mirror.OneLine(o.Version))
	}
	if o.Count < 0 || o.Count > 1000 {
		ps.Add("RND148", r.options.Key("count").Where(), "write a number from 0 to 1000", "render.eck.count: %d pods cannot be had", o.Count)
	}
	ps = append(ps, checkRegistryImage("render.eck", o.Image, r)...)
	return append(ps, o.PullSecret.check("render.eck.pullSecret", r)...)
}

func eckFiles(s scene, options mirror.Node) overrides {
	o, _ := eckOf(options)
	image, stands := s.registryImage(o.Image)
	if !stands {
		return overrides{notes: []string{fmt.Sprintf("no image that %q matches stands at %s: there is no PackageRegistry", o.Image, s.parts[0].name)}}
	}
	spec := values{"version": o.Version, "count": o.Count, "image": image.String()}
	if o.PullSecret != nil {
		spec["podTemplate"] = values{"spec": values{"imagePullSecrets": []any{values{"name": o.PullSecret.Name}}}}
	}
	var all overrides
	all.put(eckFile, valuesYAML(values{"apiVersion": eckVersion, "kind": "PackageRegistry",
		"metadata": objectOptions{Name: o.Name, Namespace: o.Namespace}.metadata(), "spec": spec}))
	if o.Kibana != "" {
		all.files[eckPatch] = valuesYAML(values{"apiVersion": "kibana.k8s.elastic.co/v1", "kind": "Kibana",
			"metadata": objectOptions{Name: o.Kibana, Namespace: o.Namespace}.metadata(),
			"spec":     values{"packageRegistryRef": values{"name": o.Name}}})
	}
	if o.PullSecret != nil {
		o.PullSecret.addTo(&all, s, o.Namespace)
	} else if s.local.Login {
		all.notes = append(all.notes, "the local registry wants a login and no pullSecret is given: the pods of the PackageRegistry cannot be pulled")
	}
	return all
}

func proveECK(s scene, options mirror.Node, files mirror.Files) (ps mirror.Problems) {
	o, _ := eckOf(options)
	want, stands := s.registryImage(o.Image)
	if !stands {
		return nil
	}
	root, ps := mirror.ParseDocument(eckFile, files[eckFile])
	if got := text(root.Find("spec", "image")); got != want.String() {
		ps.Add("RND149", mirror.Position{File: eckFile}, "tell the makers of Poundlock", "the image reads %q, want %s", mirror.OneLine(got), want)
	}
	return ps
}

func readsECK(name string, data []byte) bool {
	docs, _ := mirror.ParseDocuments(name, data)
	return isDocument(name) && slices.ContainsFunc(docs, func(root mirror.Node) bool {
		return text(root.Key("kind")) == "PackageRegistry" || text(root.Key("kind")) == "Kibana" && !root.Find("spec", "packageRegistryRef").IsZero()
	})
}

// lintECK finds what the operator refuses, and an image that a promotion would not roll out.
func lintECK(name string, data []byte) mirror.Problems {
	docs, ps := mirror.ParseDocuments(name, data)
	known := false
	for _, root := range docs {
		spec := root.Key("spec")
		switch text(root.Key("kind")) {
		case "PackageRegistry":
			known = true
			if version := root.Key("apiVersion"); text(version) != eckVersion {
				ps.Add("RND148", version.Where(), "write "+eckVersion, "apiVersion %q is no PackageRegistry of ECK", mirror.OneLine(text(version)))
			}
			if version := spec.Key("version"); !stackVersion.MatchString(text(version)) {
				ps.Add("RND148", spec.KeyWhere("version"), "write a version such as \"9.3.0\"", "spec.version: want a version of the Elastic Stack")
			}
			image := spec.Key("image")
			if r, err := mirror.ParseReference(text(image)); err != nil || !r.HasDigest() {
				ps.Add("RND148", spec.KeyWhere("image"), "write registry/repository:tag@sha256:<64 hex>", "spec.image %q is not pinned to content", mirror.OneLine(text(image)))
				ps[len(ps)-1].Why = "without an image the operator pulls docker.elastic.co, and a tag that moves rolls nothing out"
			}
		case "Kibana":
			known = true
			found := map[string]setting{}
			flatten(spec.Key("config"), "", found)
			if url := found[settingURL]; !url.node.IsZero() && !spec.Key("packageRegistryRef").IsZero() {
				ps.Add("RND148", url.at, "keep packageRegistryRef or "+settingURL, "%s and packageRegistryRef both say which registry Kibana asks", settingURL)
			}
			if ref := spec.Find("packageRegistryRef"); !ref.IsZero() && text(ref.Key("name")) == "" {
				ps.Add("RND148", ref.Where(), "write packageRegistryRef: {name: <PackageRegistry>}", "packageRegistryRef names no PackageRegistry")
			}
		}
	}
	if !known && len(ps) == 0 {
		ps.Add("RND148", mirror.Position{File: name}, "see the kind of the documents", "the file holds neither a PackageRegistry nor a Kibana")
	}
	return ps
}
