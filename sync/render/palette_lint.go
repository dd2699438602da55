package render

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// readsPalette knows values with a registry block and the Secret.
func readsPalette(name string, data []byte) bool {
	return isDocument(name) && (bytes.Contains(data, []byte("ociImageRegistry:")) ||
		bytes.Contains(data, []byte("kind: Secret")) && bytes.Contains(data, []byte(registryInfoName)) && bytes.Contains(data, []byte("MIRROR_REGISTRIES")))
}

// lintPalette reads values of Palette's charts and the Secret registry-info as Palette, image-swap and the containerd of
// its clusters do.
func lintPalette(name string, data []byte) mirror.Problems {
	docs, ps := mirror.ParseDocuments(name, data)
	for _, root := range docs {
		for _, config := range []mirror.Node{root, root.Key("config")} {
			if block := config.Key("ociImageRegistry"); !block.IsZero() {
				ps = append(ps, lintRegistryBlock(config, block)...)
			}
		}
		if text(root.Key("kind")) == "Secret" && text(root.Find("metadata", "name")) == registryInfoName {
			ps = append(ps, lintRegistryInfo(root, bytes.Contains(data, []byte(swapDirective)))...)
		}
	}
	return ps
}

func lintRegistryBlock(config, block mirror.Node) (ps mirror.Problems) {
	for _, key := range []string{"endpoint", "name", "mirrorRegistries"} {
		if strings.TrimSpace(text(block.Key(key))) == "" {
			ps.Add("RND093", block.KeyWhere(key), "fill it in", "ociImageRegistry.%s is missing or empty", key)
		}
	}
	endpoint := text(block.Key("endpoint"))
	ps = append(ps, lintEndpoint(block.Key("endpoint"), "ociImageRegistry.endpoint")...)
	ps = append(ps, lintBasePath(block.Key("baseContentPath"), "ociImageRegistry.baseContentPath")...)
	ps = append(ps, lintPassword(block.Key("password"), "ociImageRegistry.password")...)
	ps = append(ps, lintCertificates(block.Key("caCert"), "ociImageRegistry.caCert")...)
	if skip := block.Key("insecureSkipVerify"); !skip.IsZero() && text(skip) != "true" && text(skip) != "false" {
		ps = append(ps, noTruth(skip, "insecureSkipVerify", "true or false", "ociImageRegistry.insecureSkipVerify is neither true nor false"))
	}
	pairs := block.Key("mirrorRegistries")
	m, problems := lintPairs(pairs, "mirrorRegistries")
	ps = append(ps, problems...)
	if images := config.Key("imageSwapImages"); isMainChart(config) {
		ps = append(ps, feedsBoth(m, pairs)...)
	} else if len(problems) == 0 {
		ps = append(ps, lintSwapMap(m, true, func(int) mirror.Position { return pairs.Where() })...)
		ps = append(ps, lintWebhookImages(images, m, endpoint)...)
	}
	return ps
}

// isMainChart tells Palette's own chart, which hands the block to image-swap and to nodes, from that of image-swap.
func isMainChart(config mirror.Node) bool {
	swap := !config.Key("imageSwapImages").IsZero() || !config.Key("imageSwapConfig").IsZero()
	main := slices.ContainsFunc([]string{"installationMode", "ociPackRegistry", "ociPackEcrRegistry"}, func(key string) bool { return !config.Key(key).IsZero() })
	return main && !swap
}

// feedsBoth finds a string that no form of would be right: image-swap takes a target for the beginning of image names,
// containerd for an address that needs the /v2 in it. Only a target without a path is both.
func feedsBoth(m swapMap, n mirror.Node) (ps mirror.Problems) {
	for _, line := range m.lines {
		if strings.Contains(strings.Trim(line.target, "/"), "/") {
			ps.Add("RND098", n.Where(), "keep the form with /v2 here for the nodes and give image-swap a map of its own (kind image-swap), or mirror to the top of the registry",
				"mirrorRegistries goes to image-swap and to containerd, and a target with a path, such as that of %s, is wrong for one of them", line.key)
			return ps
		}
	}
	return nil
}

// lintWebhookImages finds images of the webhook itself that are still the upstream's.
func lintWebhookImages(images mirror.Node, m swapMap, endpoint string) (ps mirror.Problems) {
	for _, key := range []string{"imageSwapInitImage", "imageSwapImage"} {
		n := images.Key(key)
		if image := text(n); image != "" && endpoint != "" && !strings.HasPrefix(image, endpoint+"/") {
			fix := "write its full path at the mirror"
			if once, changed, err := m.swap(image); err == nil && changed {
				fix = "write " + once
			}
			ps.Add("RND096", n.Where(), fix, "%s is not taken from %s, and image-swap cannot swap its own images", key, endpoint)
		}
	}
	return ps
}

// lintRegistryInfo reads the Secret. Palette finds it by name and namespace and hands MIRROR_REGISTRIES to containerd,
// unless a comment says that image-swap reads it.
func lintRegistryInfo(root mirror.Node, swap bool) (ps mirror.Problems) {
	if n := root.Find("metadata", "namespace"); text(n) != registryInfoNamespace {
		ps.Add("RND095", root.Key("metadata").Where(), "write namespace: "+registryInfoNamespace, "Palette reads %s in namespace %s only", registryInfoName, registryInfoNamespace)
	}
	if n := root.Key("type"); !n.IsZero() && text(n) != "Opaque" {
		ps.Add("RND095", n.Where(), "write type: Opaque", "the type of %s is not Opaque", registryInfoName)
	}
	if !root.Key("sops").IsZero() {
		return ps // encrypted: nothing more is to be read
	}
	value := func(key string) mirror.Node { return root.Find("stringData", key) }
	for _, key := range root.Key("stringData").Keys() {
		if n := value(key); !n.IsString() && text(n) != "" {
			ps.Add("RND095", n.Where(), "put it in quotes", "stringData.%s is no text, and Kubernetes refuses the Secret", key)
		}
	}
	if data := root.Find("data", "PASSWORD"); text(data) != "" {
		decoded, err := base64.StdEncoding.DecodeString(text(data))
		if err != nil || len(bytes.TrimSpace(decoded)) > 0 {
			ps.Add("RND094", data.Where(), clearFix, "data.PASSWORD holds a password that anybody can decode")
		}
	}
	if root.Key("stringData").IsZero() {
		return ps
	}
	for _, key := range []string{"DOMAIN", "MIRROR_REGISTRIES"} {
		if strings.TrimSpace(text(value(key))) == "" {
			ps.Add("RND093", root.Key("stringData").Where(), "fill it in", "stringData.%s is missing or empty", key)
		}
	}
	if insecure := value("INSECURE"); insecure.IsString() && text(insecure) != "true" && text(insecure) != "false" {
		ps = append(ps, noTruth(insecure, "INSECURE", `"true" or "false"`, "stringData.INSECURE is neither true nor false"))
	}
	ps = append(ps, lintEndpoint(value("DOMAIN"), "stringData.DOMAIN")...)
	ps = append(ps, lintBasePath(value("BASE_PATH"), "stringData.BASE_PATH")...)
	ps = append(ps, lintPassword(value("PASSWORD"), "stringData.PASSWORD")...)
	ps = append(ps, lintCertificates(value("CA_CERT"), "stringData.CA_CERT")...)
	m, problems := lintPairs(value("MIRROR_REGISTRIES"), "MIRROR_REGISTRIES")
	switch ps = append(ps, problems...); {
	case len(problems) > 0:
	case swap:
		ps = append(ps, lintSwapMap(m, true, func(int) mirror.Position { return value("MIRROR_REGISTRIES").Where() })...)
	default:
		ps = append(ps, lintEndpoints(m, value("MIRROR_REGISTRIES"))...)
	}
	return ps
}

// noTruth tells of a text where true or false belongs. Its line is not quoted: beside it stands the password, and a value
// that slipped by a line is one.
func noTruth(n mirror.Node, key, want, what string) mirror.Problem {
	return mirror.Problem{Code: "RND093", Where: n.Where(), What: what, Fix: "write " + want, Snippet: key + ": ***", Caret: len(key) + 3, Width: 3}
}

const clearFix = "take it out, change it if others could read it, and let a store of secrets or an encrypted Secret bring it"

func lintPassword(n mirror.Node, key string) (ps mirror.Problems) {
	if value := strings.TrimSpace(text(n)); value != "" && !strings.HasPrefix(value, "REPLACE_WITH_") {
		ps.Add("RND094", n.Where(), clearFix, "%s holds a password in clear", key)
	}
	return ps
}

func lintEndpoint(n mirror.Node, key string) (ps mirror.Problems) {
	value := text(n)
	if strings.Contains(value, "://") || strings.HasSuffix(value, "/") || strings.ContainsAny(value, " \t@") {
		ps.Add("RND093", n.Where(), "write host[:port] alone", "%s is no host of a registry", key)
	}
	return ps
}

func lintBasePath(n mirror.Node, key string) (ps mirror.Problems) {
	if value := text(n); value != strings.Trim(value, "/ ") {
		ps.Add("RND093", n.Where(), "write it without / at its ends", "%s begins or ends with a slash or a blank", key)
	}
	return ps
}

// lintEndpoints judges targets as containerd reads them: https:// comes before, and a path is used as it is.
func lintEndpoints(m swapMap, n mirror.Node) (ps mirror.Problems) {
	for _, line := range m.lines {
		host, path, _ := strings.Cut(line.target, "/")
		_, served := apiPath(path)
		switch {
		case line.form != "" || line.key == swapDefault || line.key == swapNever || strings.Contains(line.key, "/"):
			ps.Add("RND088", n.Where(), "leave it out here: it is for a map of image-swap", "containerd makes a host named %q of this pair", line.form+line.key)
		case host == "" || strings.Contains(line.target, "://"):
			ps.Add("RND087", n.Where(), "write host[:port]/v2/path", "the target of %s is no host with a path", line.key)
		case path != "" && !served:
			ps.Add("RND088", n.Where(), "write "+host+"/v2/"+strings.Trim(path, "/"), "containerd asks https://%s, where no registry answers, and goes to the upstream then: the target of %s needs /v2 behind the host", line.target, line.key)
		}
	}
	return ps
}

// lintPairs reads a string of host::target pairs with commas between them.
func lintPairs(n mirror.Node, key string) (m swapMap, ps mirror.Problems) {
	m = readPairs(text(n))
	seen := map[string]bool{}
	for i, pair := range strings.Split(text(n), ",") {
		host, target, two := strings.Cut(pair, "::")
		switch {
		case strings.TrimSpace(text(n)) == "" || strings.HasPrefix(pair, "REPLACE_WITH_"):
			return newSwapMap(), nil
		case pair == "":
			ps.Add("RND080", n.Where(), "take out the comma too much", "%s: pair %d is empty", key, i+1)
		case strings.ContainsAny(pair, " \t\n\r"):
			ps.Add("RND080", n.Where(), "write no blanks around commas and ::", "%s: pair %d has a blank in it", key, i+1)
		case !two || host == "" || strings.Contains(target, "::"):
			ps.Add("RND080", n.Where(), "write host::registry/path", "%s: pair %d is not host::target", key, i+1)
		case seen[host]:
			ps.Add("RND084", n.Where(), "keep one of them", "%s: %q stands there twice", key, host)
		}
		seen[host] = true
	}
	return m, ps
}

// readPairs reads such a string as the map that Palette makes of it, a line for each pair.
func readPairs(pairs string) swapMap { return readSwapMap(strings.ReplaceAll(pairs, ",", "\n")) }
