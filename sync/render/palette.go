package render

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

func init() {
	register("palette", kind{reach: forSets, check: checkPalette, files: paletteFiles, proof: provePalette,
		reads: readsPalette, lint: lintPalette, options: paletteDefaults,
		about: "Values of Spectro Cloud Palette's image-swap chart and its registry-info Secret, each with the mapping in the form that its reader wants; for layout path."})
}

// The two files of a stage: values of the image-swap chart, and the Secret that Palette hands to the nodes of clusters.
const paletteValuesFile, registryInfoFile = "image-swap-values.yaml", "registry-info.yaml"

// Name, namespace and type of the Secret are Palette's own (spectrocloud/librarium, registry-override.md).
const registryInfoName, registryInfoNamespace = "registry-info", "jet-system"

// paletteOptions are the options of kind palette.
type paletteOptions struct {
	Name         string              `yaml:"name" jsonschema_description:"What Palette calls the registry."`
	EKS          bool                `yaml:"isEKSCluster" jsonschema_description:"Whether the cluster that Palette is installed on is an EKS cluster."`
	InitImage    string              `yaml:"imageSwapInitImage" jsonschema:"example=gcr.io/spectro-images-public/thewebroot/imageswap-init" jsonschema_description:"Entry of the webhook's init image; the one whose repository ends in /imageswap-init when it is left out."`
	Image        string              `yaml:"imageSwapImage" jsonschema:"example=gcr.io/spectro-images-public/thewebroot/imageswap" jsonschema_description:"Entry of the webhook's image; the one whose repository ends in /imageswap when it is left out."`
	SkipVerify   bool                `yaml:"insecureSkipVerify" jsonschema_description:"Lets Palette and nodes accept any certificate of the registry; always so where the registry has no TLS."`
	CA           string              `yaml:"ca" jsonschema:"example=palette/ca.pem" jsonschema_description:"PEM file with the certificates that the registry's is checked with, relative to desired/."`
	CAForm       certForm            `yaml:"caForm" jsonschema:"enum=pem,enum=base64" jsonschema_description:"How caCert is written in the values: what Palette reads differs between its charts."`
	WholeMap     bool                `yaml:"wholeMap" jsonschema_description:"Writes the lines default and noswap_wildcards into the values: without a default image-swap swaps nothing, and whether the chart adds one differs between its releases."`
	RegistryInfo registryInfoOptions `yaml:"registryInfo" jsonschema_description:"The Secret registry-info in namespace jet-system."`
	Where        mirror.Position
}

// registryInfoOptions are those of the Secret.
type registryInfoOptions struct {
	Credential   string   `yaml:"credential" jsonschema:"example=pull" jsonschema_description:"The name of the login in secrets.credentials of config.yaml: the Secret is written encrypted. Without one it carries no login."`
	Placeholders bool     `yaml:"placeholders" jsonschema_description:"Writes REPLACE_WITH_USERNAME and REPLACE_WITH_PASSWORD for people to fill in elsewhere; the Secret is then left out of kustomization.yaml."`
	Mirrors      readerOf `yaml:"mirrors" jsonschema:"enum=containerd,enum=image-swap" jsonschema_description:"Who reads MIRROR_REGISTRIES: containerd wants addresses with /v2 in them, image-swap names of images without."`
	CAForm       certForm `yaml:"caForm" jsonschema:"enum=pem,enum=base64" jsonschema_description:"How CA_CERT is written."`
	Where        mirror.Position
}

var paletteDefaults = paletteOptions{Name: "Internal Registry", CAForm: "pem", WholeMap: true, RegistryInfo: registryInfoOptions{Mirrors: forContainerd, CAForm: "pem"}}

// readerOf says who reads a mapping of registries.
type readerOf string

const (
	forContainerd readerOf = "containerd"
	forImageSwap  readerOf = "image-swap"
)

// UnmarshalText accepts containerd and image-swap.
func (r *readerOf) UnmarshalText(b []byte) error {
	switch *r = readerOf(b); *r {
	case forContainerd, forImageSwap:
		return nil
	}
	return mirror.UnknownWord{Kind: "reader", Word: string(b), Known: []string{string(forContainerd), string(forImageSwap)}}
}

func paletteOf(options mirror.Node) (paletteOptions, mirror.Problems) {
	o := paletteDefaults
	ps := options.DecodeAs("render.palette", &o)
	if strings.TrimSpace(o.Name) == "" {
		ps.Add("RND092", options.Key("name").Where(), "write a name, such as Internal Registry", "render.palette.name is empty")
	}
	if o.RegistryInfo.Credential != "" && o.RegistryInfo.Placeholders {
		ps.Add("RND092", o.RegistryInfo.Where, "keep one of credential and placeholders", "render.palette.registryInfo: the login would be written in two ways")
	}
	return o, ps
}

func checkPalette(r request) mirror.Problems {
	o, ps := paletteOf(r.options)
	for _, named := range [][2]string{{"imageSwapImage", o.Image}, {"imageSwapInitImage", o.InitImage}} {
		key, entry := named[0], named[1]
		if entries := r.parts[0].set.Entries; entry != "" && len(entries) > 0 && !slices.ContainsFunc(entries, func(e mirror.Entry) bool { return e.Name == entry }) {
			ps.Add("RND092", r.options.Key(key).Where(), "name an entry of the set", "render.palette.%s: the set has no entry %q", key, entry)
		}
	}
	if o.CA != "" {
		ps = append(ps, checkCertificates(r.files, o.CA, "render.palette.ca", r.options.Key("ca").Where())...)
	}
	return append(ps, r.resolvesTags("palette")...)
}

// paletteFiles writes the mapping twice: image-swap makes image names of it, containerd addresses. A string that served
// both would be wrong for one of them.
func paletteFiles(s scene, options mirror.Node) overrides {
	o, _ := paletteOf(options) // checked before
	all := overrides{files: mirror.Files{paletteValuesFile: s.paletteValues(o)}}
	info := o.RegistryInfo
	if info.Credential != "" {
		all.encrypt(registryInfoFile, Secret{Name: registryInfoName, Namespace: registryInfoNamespace, Type: "Opaque", Credential: info.Credential,
			Data: func(username, password string) map[string]string { return s.registryInfo(o, username, password) }})
	} else if info.Placeholders {
		all.files[registryInfoFile] = registryInfoManifest(info, s.registryInfo(o, "REPLACE_WITH_USERNAME", "REPLACE_WITH_PASSWORD"))
	} else {
		all.put(registryInfoFile, registryInfoManifest(info, s.registryInfo(o, "", "")))
	}
	if s.local.Login && info.Credential == "" {
		all.notes = append(all.notes, "the local registry wants a login and registry-info carries none: name one in registryInfo.credential, or fill it in where the Secret is applied")
	}
	if init, swap := s.webhookImages(o); init.IsZero() || swap.IsZero() {
		all.notes = append(all.notes, "the set has not both images of the image-swap webhook (imageswap-init and imageswap): the chart takes its own, from the upstream")
	}
	return all
}

func (s scene) paletteValues(o paletteOptions) []byte {
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("config:")
	if init, swap := s.webhookImages(o); !init.IsZero() && !swap.IsZero() {
		line("  imageSwapImages:\n    imageSwapInitImage: %q\n    imageSwapImage: %q", init, swap)
	}
	line("  imageSwapConfig:\n    isEKSCluster: %t", o.EKS)
	line("  ociImageRegistry:\n    endpoint: %q\n    name: %q", s.local.Host, o.Name)
	line("    password: \"\"\n    username: \"\"") // given to helm beside this file, never in it
	line("    baseContentPath: %q\n    insecureSkipVerify: %t", s.basePath(), o.SkipVerify || s.local.Insecure)
	line("    caCert: %s", yamlText(s.certificates(o, o.CAForm), "      "))
	pairs := s.mirrorRegistries(forImageSwap)
	if o.WholeMap {
		pairs = slices.Concat([]string{swapDefault + "::"}, pairs, []string{swapNever + "::" + s.local.Host})
	}
	line("    mirrorRegistries: %q", strings.Join(pairs, ","))
	return b.Bytes()
}

// registryInfo gives the values of the Secret, all of them texts.
func (s scene) registryInfo(o paletteOptions, username, password string) map[string]string {
	return map[string]string{"DOMAIN": s.local.Host, "BASE_PATH": s.basePath(), "USERNAME": username, "PASSWORD": password,
		"INSECURE": strconv.FormatBool(o.SkipVerify || s.local.Insecure), "CA_CERT": s.certificates(o, o.RegistryInfo.CAForm),
		"MIRROR_REGISTRIES": strings.Join(s.mirrorRegistries(o.RegistryInfo.Mirrors), ",")}
}

// swapDirective is the comment that says who reads MIRROR_REGISTRIES: Palette hands the string to containerd.
const swapDirective = "# mirrors: image-swap"

func registryInfoManifest(o registryInfoOptions, data map[string]string) []byte {
	var b bytes.Buffer
	if o.Mirrors == forImageSwap {
		b.WriteString(swapDirective + "\n")
	}
	fmt.Fprintf(&b, "apiVersion: v1\nkind: Secret\nmetadata:\n  name: %s\n  namespace: %s\ntype: Opaque\nstringData:\n", registryInfoName, registryInfoNamespace)
	for _, key := range []string{"DOMAIN", "BASE_PATH", "USERNAME", "PASSWORD", "INSECURE", "CA_CERT", "MIRROR_REGISTRIES"} {
		fmt.Fprintf(&b, "  %s: %s\n", key, yamlText(data[key], "    "))
	}
	return b.Bytes()
}

// yamlText writes a text: a block where it has lines, so that a change of one is a change of one, else in quotes.
func yamlText(text, indent string) string {
	if !strings.Contains(text, "\n") {
		return strconv.Quote(text)
	}
	return "|\n" + indent + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n"+indent)
}

// basePath is the path in the registry below which the paths of all hosts lie.
func (s scene) basePath() string { return path.Join(s.local.Prefix, string(s.parts[0].name)) }

// mirrorRegistries gives the mapping as pairs of host::target. For containerd, which uses an address with a path as it
// is, every target has the /v2 of the registry's interface in it, and the names of Docker Hub are one host.
func (s scene) mirrorRegistries(reader readerOf) (pairs []string) {
	if reader == forContainerd {
		for _, h := range s.swapHosts() {
			pairs = append(pairs, h.name+"::"+path.Join(s.local.Host, "v2", h.paths[0]))
		}
		return pairs
	}
	for _, pair := range s.swapPairs() {
		pairs = append(pairs, pair.key+"::"+pair.target)
	}
	return pairs
}

// webhookImages gives the webhook's own images at the local registry: it cannot swap them for itself.
func (s scene) webhookImages(o paletteOptions) (init, swap mirror.Reference) {
	for _, i := range s.images() {
		switch base := path.Base(i.upstream.Repository); {
		case i.entry == o.InitImage, o.InitImage == "" && base == "imageswap-init":
			init = i.local
		case i.entry == o.Image, o.Image == "" && base == "imageswap":
			swap = i.local
		}
	}
	return init, swap
}

// provePalette reads both mappings back as their readers do, for every image of the stage.
func provePalette(s scene, options mirror.Node, files mirror.Files) (ps mirror.Problems) {
	o, _ := paletteOf(options)
	root, ps := mirror.ParseDocument(paletteValuesFile, files[paletteValuesFile])
	if len(ps) > 0 {
		return ps
	}
	m := readPairs(text(root.Find("config", "ociImageRegistry", "mirrorRegistries")))
	if !m.has(swapDefault) {
		m.add(swapLine{key: swapDefault})
	}
	ps = s.proveSwap(m, paletteValuesFile, func(image mirror.Reference) []string { // the string has no place for single repositories
		return slices.DeleteFunc(swapSpellings(image), func(name string) bool {
			short := strings.TrimPrefix(image.Repository, "library/")
			return short != image.Repository && (name == dockerHub+"/"+short || name == swapHubIndex+"/"+short)
		})
	})
	if o.RegistryInfo.Mirrors != forContainerd {
		return ps
	}
	endpoints := readPairs(s.registryInfo(o, "", "")["MIRROR_REGISTRIES"])
	for _, i := range s.images() {
		if s.isOwn(i.upstream.Host) {
			continue
		}
		if asked := endpoints.keys[i.upstream.Host] + "/" + i.upstream.Repository; asked != s.local.Host+"/v2/"+i.local.Repository {
			ps.Add("RND091", mirror.Position{File: registryInfoFile}, "report this: nodes must be led to every image", "nodes would ask for %s at %s", i.upstream.Name(), asked)
		}
	}
	return ps
}

// certificates gives the certificates of the option ca in a form.
func (s scene) certificates(o paletteOptions, form certForm) string {
	if o.CA == "" {
		return ""
	}
	pem := strings.TrimSpace(strings.ReplaceAll(string(s.files[path.Join("desired", o.CA)]), "\r\n", "\n")) + "\n"
	if form == "base64" {
		return base64.StdEncoding.EncodeToString([]byte(pem))
	}
	return pem
}
