package render

import (
	"bytes"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

func init() {
	register("package-registry", kind{reach: forSets, check: checkPackageRegistry, files: packageRegistryFiles, options: packageRegistryDefaults,
		proof: provePackageRegistry, reads: readsPackageRegistry, lint: lintPackageRegistry,
		about: "Deployment, Service and config.yml for a package registry of Elastic, its image pinned by digest; of a distribution image that a set brings or makes."})
}

const (
	registryFile   = "package-registry.yaml"
	registryConfig = "config.yml"
)

// packageRegistryOptions are the options of kind package-registry.
type packageRegistryOptions struct {
	Name              string             `yaml:"name" jsonschema_description:"Name of the Deployment, the Service and the ConfigMap."`
	Namespace         string             `yaml:"namespace" jsonschema:"example=elastic" jsonschema_description:"Namespace of all of them; whoever applies them decides when it is left out."`
	Image             string             `yaml:"image" jsonschema:"example=docker.elastic.co/package-registry/distribution:*" jsonschema_description:"Entry of the set that is the image: its name or a glob that matches one; the image that distribution: makes when it is left out."`
	Replicas          int                `yaml:"replicas" jsonschema:"minimum=0,maximum=1000" jsonschema_description:"Number of pods."`
	PackagePaths      []string           `yaml:"packagePaths" jsonschema:"example=/packages/package-storage" jsonschema_description:"Folders with packages, in the container: of the same version in two the first one is served."`
	Claim             string             `yaml:"claim" jsonschema:"example=packages" jsonschema_description:"PersistentVolumeClaim that packages.export of config.yaml fills, mounted read-only at /packages/export: the folders of the stage and the higher ones are served, highest first."`
	CacheTime         cacheTime          `yaml:"cacheTime" jsonschema_description:"For how long clients may keep answers."`
	RequireSignatures bool               `yaml:"requireSignatures" jsonschema_description:"Whether a package without signature keeps the server from starting."`
	TLSSecret         string             `yaml:"tlsSecret" jsonschema:"example=package-registry-tls" jsonschema_description:"Secret of type kubernetes.io/tls that the server shows; plain http when it is left out."`
	Environment       map[string]string  `yaml:"environment" jsonschema:"example=info" jsonschema_description:"Other settings of the server, by name, such as EPR_LOG_LEVEL; never a secret."`
	Fallback          bool               `yaml:"fallback" jsonschema_description:"Allows settings with which the server asks an upstream for what it does not hold."`
	PullSecret        *pullSecretOptions `yaml:"pullSecret" jsonschema_description:"The pull secret of the pods."`
	Where             mirror.Position
}

// cacheTime are the cache_time settings of the server.
type cacheTime struct {
	Index      string `yaml:"index" jsonschema_description:"Of the start page."`
	Search     string `yaml:"search" jsonschema_description:"Of searches: a promotion is seen only after it."`
	Categories string `yaml:"categories" jsonschema_description:"Of the list of categories."`
	CatchAll   string `yaml:"catchAll" jsonschema_description:"Of everything else."`
	Where      mirror.Position
}

// The defaults are those of the server's own image.
var packageRegistryDefaults = packageRegistryOptions{Name: "package-registry", Replicas: 1, RequireSignatures: true,
	CacheTime: cacheTime{Index: "10s", Search: "10m", Categories: "10m", CatchAll: "10m"}}

// The folders that the images of Elastic have: of packages that somebody mounts, and of those inside a distribution.
var imagePaths = []string{"/packages/package-registry", "/packages/package-storage"}

const claimPath = "/packages/export"

var environmentName = regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`)

// upstreamSettings are those with which the server asks somebody else for packages.
var upstreamSettings = []string{"EPR_FEATURE_PROXY_MODE", "EPR_FEATURE_STORAGE_INDEXER", "EPR_FEATURE_SQL_STORAGE_INDEXER"}

// madeSettings are written from the other options.
var madeSettings = []string{"EPR_ADDRESS", "EPR_CONFIG", "EPR_TLS_CERT", "EPR_TLS_KEY", "EPR_REQUIRE_PACKAGE_SIGNATURES"}

func packageRegistryOf(options mirror.Node) (packageRegistryOptions, mirror.Problems) {
	o := packageRegistryDefaults
	ps := options.DecodeAs("render.package-registry", &o)
	return o, ps
}

func checkPackageRegistry(r request) mirror.Problems {
	const at = "render.package-registry"
	o, ps := packageRegistryOf(r.options)
	if len(ps) > 0 {
		return ps
	}
	ps = append(ps, (&objectOptions{Name: o.Name, Namespace: o.Namespace, Where: r.where}).check(at)...)
	ps = append(ps, checkObjectName(at+".tlsSecret", o.TLSSecret, r.options.Key("tlsSecret").Where())...)
	ps = append(ps, checkObjectName(at+".claim", o.Claim, r.options.Key("claim").Where())...)
	ps = append(ps, checkRegistryImage(at, o.Image, r)...)
	ps = append(ps, o.PullSecret.check(at+".pullSecret", r)...)
	if o.Replicas < 0 || o.Replicas > 1000 {
		ps.Add("RND146", r.options.Key("replicas").Where(), "write a number from 0 to 1000", "%s.replicas: %d pods cannot be had", at, o.Replicas)
	}
	ps = append(ps, checkPackagePaths(at+".packagePaths", o.PackagePaths, r.options.Key("packagePaths"))...)
	times := o.CacheTime.all()
	for _, key := range slices.Sorted(maps.Keys(times)) {
		text := times[key]
		if d, err := time.ParseDuration(text); err != nil || d < 0 {
			ps.Add("RND146", r.options.Find("cacheTime", key).Where(), "write a number with its unit, such as 30s or 10m", "%s.cacheTime.%s: %q is no time", at, key, mirror.OneLine(text))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.Environment)) {
		where := r.options.Key("environment").KeyWhere(name)
		switch {
		case !environmentName.MatchString(name):
			ps.Add("RND146", where, "write a name such as EPR_LOG_LEVEL", "%s.environment: %q is no name of a setting", at, mirror.OneLine(name))
		case slices.Contains(madeSettings, name):
			ps.Add("RND146", where, "delete it, and use the option of "+at+" for it", "%s.environment: %s is made from the other options", at, name)
		case slices.Contains(upstreamSettings, name) && isTrue(o.Environment[name]) && !o.Fallback:
			ps.Add("RND145", where, "delete it, or write fallback: true beside it", "%s.environment: with %s the server asks an upstream for packages", at, name)
			ps[len(ps)-1].Why = "what comes from there was never judged"
		}
	}
	return ps
}

// isTrue reads a truth as the server's flags do.
func isTrue(text string) bool {
	return slices.Contains([]string{"1", "t", "true"}, strings.ToLower(text))
}

// all gives the cache times by the name of their option.
func (c cacheTime) all() map[string]string {
	return map[string]string{"index": c.Index, "search": c.Search, "categories": c.Categories, "catchAll": c.CatchAll}
}

func checkPackagePaths(key string, paths []string, at mirror.Node) (ps mirror.Problems) {
	for i, dir := range paths {
		where := at.Find(fmt.Sprint(i)).Where()
		switch {
		case !path.IsAbs(dir) || path.Clean(dir) != dir || dir == "/":
			ps.Add("RND146", where, "write the whole path, such as /packages/package-storage", "%s: %q is no folder of the container", key, mirror.OneLine(dir))
		case slices.Contains(paths[:i], dir):
			ps.Add("RND146", where, "list it once", "%s: %s is listed twice", key, dir)
		}
	}
	return ps
}

// checkRegistryImage finds out whether there is one image to run.
func checkRegistryImage(at, image string, r request) (ps mirror.Problems) {
	set := r.parts[0].set
	var names []string
	for _, e := range set.Entries {
		names = append(names, e.Name)
	}
	_, one := helmImage{Entry: image}.match(names)
	switch {
	case image == "" && set.Distribution == nil:
		ps.Add("RND144", r.where, "name the entry that is the image, or write distribution: in a set of packages", "%s: it is not said which image to run", at)
	case image != "" && !one && len(names) > 0:
		ps.Add("RND144", r.options.Key("image").Where(), nearOf(image, names), "%s.image: %q is not one entry of the set", at, mirror.OneLine(image))
	}
	return ps
}

// registryImage gives the image that runs at the stage of a scene; false where nothing stands there that is it.
func (s scene) registryImage(image string) (mirror.Reference, bool) {
	if image == "" {
		made := s.parts[0].set.Distributions[s.parts[0].name]
		return made, made.HasDigest()
	}
	places, names := map[string]mirror.Reference{}, []string{}
	for _, i := range s.images() {
		places[i.entry], names = i.local, append(names, i.entry)
	}
	entry, one := helmImage{Entry: image}.match(names)
	return places[entry], one
}

// needsDistribution says whether something is rendered for a set that cannot be without the image that is made of a stage.
func needsDistribution(set mirror.Set) bool {
	for _, name := range []string{"package-registry", "eck"} {
		if options, asked := set.Render[name]; asked && set.Distribution != nil && options.Key("image").IsZero() {
			return true
		}
	}
	return false
}

func packageRegistryFiles(s scene, options mirror.Node) overrides {
	o, _ := packageRegistryOf(options)
	image, stands := s.registryImage(o.Image)
	if !stands {
		return overrides{notes: []string{fmt.Sprintf("no image that %q matches stands at %s: there is no package registry to run", o.Image, s.parts[0].name)}}
	}
	config := o.config(s.parts[0])
	object := objectOptions{Name: o.Name, Namespace: o.Namespace}
	var all overrides
	all.put(registryFile, bytes.Join([][]byte{configMapYAML(object, registryConfig, config), o.deployment(image, config), o.service()}, []byte("---\n")))
	if o.PullSecret != nil {
		o.PullSecret.addTo(&all, s, o.Namespace)
	} else if s.local.Login {
		all.notes = append(all.notes, "the local registry wants a login and no pullSecret is given: the pods of the package registry cannot be pulled")
	}
	if !o.RequireSignatures {
		all.notes = append(all.notes, "the package registry serves packages without signature; Kibana shows them as unverified")
	}
	if o.Fallback {
		all.notes = append(all.notes, "fallback is allowed: the package registry may ask an upstream for packages that were never judged")
	}
	return all
}

// config gives config.yml. Of the same version in two folders the first one is served, so higher stages come first.
func (o packageRegistryOptions) config(p part) []byte {
	dirs := o.PackagePaths
	if len(dirs) == 0 {
		dirs = imagePaths
	}
	paths := []any{}
	if o.Claim != "" {
		for _, stage := range slices.Backward(p.set.Stages[slices.Index(p.set.Stages, p.name):]) {
			paths = append(paths, path.Join(claimPath, string(stage)))
		}
		if len(o.PackagePaths) == 0 {
			dirs = nil
		}
	}
	for _, dir := range dirs {
		paths = append(paths, dir)
	}
	return valuesYAML(values{"package_paths": paths, "cache_time.index": o.CacheTime.Index, "cache_time.search": o.CacheTime.Search,
		"cache_time.categories": o.CacheTime.Categories, "cache_time.catch_all": o.CacheTime.CatchAll})
}

func provePackageRegistry(s scene, options mirror.Node, files mirror.Files) (ps mirror.Problems) {
	o, _ := packageRegistryOf(options)
	want, stands := s.registryImage(o.Image)
	if !stands {
		return nil
	}
	docs, ps := mirror.ParseDocuments(registryFile, files[registryFile])
	for _, root := range docs {
		if text(root.Key("kind")) != "Deployment" {
			continue
		}
		for _, c := range root.Find("spec", "template", "spec", "containers").Items() {
			if got := text(c.Key("image")); got != want.String() {
				ps.Add("RND149", mirror.Position{File: registryFile}, "tell the makers of Poundlock", "the image reads %q, want %s", mirror.OneLine(got), want)
			}
		}
	}
	return ps
}
