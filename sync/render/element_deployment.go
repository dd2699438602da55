package render

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// deploymentFile is a patch of the ElementDeployment. It is no resource: applied alone it would be half a deployment.
const deploymentFile = "element-deployment.yaml"

// elementPatch names the ConfigMap and, with a pull secret, the registry that it is for. The operator adds the secret to
// a pod only where url and image_repository_server are the same text, and warns of nothing otherwise.
// Source: the CustomResourceDefinition ElementDeployment, matrix.element.io/v1alpha2.
func elementPatch(s scene, o elementOptions) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "apiVersion: matrix.element.io/v1alpha2\nkind: ElementDeployment\nmetadata:\n  name: %s\n", strconv.Quote(o.Deployment))
	if o.Namespace != "" {
		fmt.Fprintf(&b, "  namespace: %s\n", strconv.Quote(o.Namespace))
	}
	fmt.Fprintf(&b, "spec:\n  global:\n    config:\n      imagesDigestsConfigMap: %s\n", strconv.Quote(o.Name))
	if o.PullSecret != nil {
		fmt.Fprintf(&b, "    k8s:\n      workloads:\n        dockerSecrets:\n          - name: %s\n            url: %s\n", strconv.Quote(o.PullSecret.Name), strconv.Quote(s.local.Host))
	}
	return b.Bytes()
}

// configMapPath is where an ElementDeployment names its ConfigMap.
const configMapPath = "spec.global.config.imagesDigestsConfigMap"

// lintDeployment finds what the API server drops in silence and secrets that never get to a pod. servers are the
// registries of the ConfigMap in the same file, if there is one.
func lintDeployment(root mirror.Node, servers []string) (ps mirror.Problems) {
	walk(root, "", func(path string, n mirror.Node) {
		switch key := path[strings.LastIndexByte(path, '.')+1:]; {
		case key == "imagesDigestsConfigMap" && path != configMapPath:
			ps.Add("RND017", n.Where(), "move it to "+configMapPath, "%s is read by nobody", path)
			ps[len(ps)-1].Why = "the API server drops an unknown field in silence, and every image comes from upstream"
		case key == "imagesDigestsConfigMap" && !objectName.MatchString(text(n)):
			ps.Add("RND017", n.Where(), "write the name of a ConfigMap in the same namespace, without the namespace", "%s: %q is no name of a ConfigMap", path, text(n))
		case key == "dockerSecrets":
			ps = append(ps, lintDockerSecrets(n, servers)...)
		}
	})
	return ps
}

func lintDockerSecrets(list mirror.Node, servers []string) (ps mirror.Problems) {
	const why = "the operator adds the secret only where url and image_repository_server are the same text, and warns of nothing otherwise"
	for _, one := range list.Items() {
		url, at := text(one.Key("url")), one.Key("url").Where()
		switch {
		case text(one.Key("name")) == "" || url == "":
			ps.Add("RND016", one.Where(), "write - {name: <secret>, url: <registry host>}", "dockerSecrets: want a name and a url")
		case strings.Contains(url, "://"), strings.Contains(url, "/"):
			ps.Add("RND016", at, fmt.Sprintf("write %q", hostOf(url)), "dockerSecrets: url %q is no registry host", url)
		case len(servers) > 0 && !slices.Contains(servers, url) && slices.ContainsFunc(servers, func(s string) bool { return bareHost(s) == bareHost(url) }):
			i := slices.IndexFunc(servers, func(s string) bool { return bareHost(s) == bareHost(url) })
			ps.Add("RND016", at, fmt.Sprintf("write %q", servers[i]), "dockerSecrets: url %q is not image_repository_server %q", url, servers[i])
		case len(servers) > 0 && !slices.Contains(servers, url):
			ps.Add("RND016", at, "write one of "+strings.Join(servers, ", "), "dockerSecrets: url %q is the image_repository_server of no entry", url)
		default:
			continue
		}
		ps[len(ps)-1].Why = why
	}
	return ps
}

// hostOf gives the host[:port] of an address.
func hostOf(url string) string {
	if _, rest, found := strings.Cut(url, "://"); found {
		url = rest
	}
	host, _, _ := strings.Cut(url, "/")
	return host
}

// bareHost is what stays of a host when port and case are left aside.
func bareHost(host string) string {
	name, _, _ := strings.Cut(host, ":")
	return strings.ToLower(name)
}

// walk visits every part below a mapping, with its path: keys joined by dots, items of a list under [].
func walk(n mirror.Node, path string, visit func(path string, n mirror.Node)) {
	for _, key := range n.Keys() {
		at := strings.TrimPrefix(path+"."+key, ".")
		visit(at, n.Key(key))
		walk(n.Key(key), at, visit)
	}
	if !n.IsMapping() {
		for _, item := range n.Items() {
			walk(item, path+"[]", visit)
		}
	}
}
