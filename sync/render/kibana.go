package render

import (
	"bytes"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

func init() {
	register("kibana", kind{reach: forSets, check: checkKibana, files: kibanaFiles, options: kibanaDefaults,
		proof: proveKibana, reads: readsKibana, lint: lintKibana,
		about: "Settings that make Kibana's Fleet read the channel of the stage: kibana.yml, and by option a ConfigMap and a patch for ECK; for sets of packages."})
}

const (
	kibanaFile      = "kibana.yml"
	kibanaConfigMap = "kibana-fleet.yaml"
	kibanaPatch     = "kibana.patch.yaml" // no resource: applied alone it would be half a Kibana
)

// The settings of Kibana that decide which package registry is asked.
// Source: config of the plugin fleet in elastic/kibana (x-pack/platform/plugins/shared/fleet/server/config.ts).
const (
	settingURL       = "xpack.fleet.registryUrl"
	settingProxy     = "xpack.fleet.registryProxyUrl"
	settingAirGapped = "xpack.fleet.isAirGapped"
)

// kibanaOptions are the options of kind kibana.
type kibanaOptions struct {
	URL       string                  `yaml:"url" jsonschema:"format=uri,example=https://packages.example.org" jsonschema_description:"Where Kibana reaches the channels, as epr.listen of config.yaml serves them: /epr/<set>/<stage> is put behind it."`
	URLs      map[mirror.Stage]string `yaml:"urls" jsonschema:"format=uri,example=http://package-registry.elastic.svc:8080" jsonschema_description:"The whole address for single stages: that of a port of its own, or of a package registry of Elastic."`
	ProxyURL  string                  `yaml:"proxyUrl" jsonschema:"format=uri,example=http://proxy.example.org:3128" jsonschema_description:"Proxy between Kibana and that address."`
	AirGapped bool                    `yaml:"airGapped" jsonschema_description:"Tells Fleet that the internet cannot be reached."`
	CAFile    string                  `yaml:"caFile" jsonschema:"example=/usr/share/kibana/config/site-ca.pem" jsonschema_description:"Where the certificate of the address's CA lies for Kibana, which reads it from its environment: NODE_EXTRA_CA_CERTS."`
	ConfigMap *objectOptions          `yaml:"configMap" jsonschema_description:"Writes the settings as a ConfigMap, too, under the key kibana.yml."`
	ECK       *objectOptions          `yaml:"eck" jsonschema_description:"Writes a patch of the Kibana resource of that name, too, for the operator ECK."`
	Where     mirror.Position
}

// objectOptions name an object of a cluster.
type objectOptions struct {
	Name      string `yaml:"name,required" jsonschema:"example=kibana" jsonschema_description:"Name of the object."`
	Namespace string `yaml:"namespace" jsonschema:"example=elastic" jsonschema_description:"Namespace of the object; whoever applies it decides when it is left out."`
	Where     mirror.Position
}

var kibanaDefaults = kibanaOptions{AirGapped: true}

// check finds names that Kubernetes would refuse; at names the options in messages, such as render.kibana.eck.
func (o *objectOptions) check(at string) (ps mirror.Problems) {
	if o == nil {
		return nil
	}
	ps = append(ps, checkObjectName(at+".name", o.Name, o.Where)...)
	if o.Namespace != "" && !namespaceName.MatchString(o.Namespace) {
		ps.Add("RND141", o.Where, "use lower-case letters, digits and -", "%s.namespace: %q is no namespace", at, mirror.OneLine(o.Namespace))
	}
	return ps
}

func checkObjectName(key, name string, where mirror.Position) (ps mirror.Problems) {
	if name != "" && !objectName.MatchString(name) {
		ps.Add("RND141", where, "use lower-case letters, digits, . and -", "%s: %q is no name of an object", key, mirror.OneLine(name))
	}
	return ps
}

// metadata gives the part of a manifest that names it.
func (o objectOptions) metadata() values {
	m := values{"name": o.Name}
	if o.Namespace != "" {
		m["namespace"] = o.Namespace
	}
	return m
}

func kibanaOf(options mirror.Node) (kibanaOptions, mirror.Problems) {
	o := kibanaDefaults
	ps := options.DecodeAs("render.kibana", &o)
	return o, ps
}

func checkKibana(r request) mirror.Problems {
	o, ps := kibanaOf(r.options)
	if len(ps) > 0 {
		return ps
	}
	set := r.parts[0].set
	if !set.Packages {
		ps.Add("RND140", r.where, "ask for it in a set whose source is of kind epr", "render.kibana: the set has no packages that Kibana could read")
	}
	if o.URL == "" {
		for _, stage := range set.Stages {
			if _, given := o.URLs[stage]; !given {
				ps.Add("RND140", r.where, "write url: https://..., the address of epr.listen as Kibana reaches it", "render.kibana: no address is given for the stage %s", stage)
				ps[len(ps)-1].Why = "without xpack.fleet.registryUrl Kibana asks epr.elastic.co"
				break
			}
		}
	}
	ps = append(ps, checkRegistryURL("render.kibana.url", o.URL, r.options.Key("url").Where())...)
	for _, stage := range slices.Sorted(maps.Keys(o.URLs)) {
		if !slices.Contains(set.Stages, stage) {
			ps.Add("RND140", r.options.Key("urls").KeyWhere(string(stage)), "write one of the stages of the set", "render.kibana.urls: the set has no stage %q", stage)
		}
		ps = append(ps, checkRegistryURL("render.kibana.urls."+string(stage), o.URLs[stage], r.options.Find("urls", string(stage)).Where())...)
	}
	ps = append(ps, checkRegistryURL("render.kibana.proxyUrl", o.ProxyURL, r.options.Key("proxyUrl").Where())...)
	if o.CAFile != "" && (!strings.HasPrefix(o.CAFile, "/") || mirror.OneLine(o.CAFile) != o.CAFile) {
		ps.Add("RND140", r.options.Key("caFile").Where(), "write the whole path, as Kibana sees it", "render.kibana.caFile: %q is no absolute path", mirror.OneLine(o.CAFile))
	}
	ps = append(ps, o.ConfigMap.check("render.kibana.configMap")...)
	ps = append(ps, o.ECK.check("render.kibana.eck")...)
	if other := r.beside["eck"].Key("kibana"); o.ECK != nil && !other.IsZero() {
		ps.Add("RND142", r.options.Key("eck").Where(), "keep kibana.eck for channels that Poundlock serves, or eck.kibana for a PackageRegistry of ECK", "render.kibana.eck and render.eck.kibana both tell Kibana which registry to ask")
		ps[len(ps)-1].Why = "ECK sets xpack.fleet.registryUrl itself where a Kibana names a PackageRegistry"
	}
	return ps
}

// checkRegistryURL finds what is no address of a package registry: Kibana puts paths behind it as it is.
func checkRegistryURL(key, text string, where mirror.Position) (ps mirror.Problems) {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		ps.Add("RND140", where, "write https://host[:port]", "%s is no address over http or https", key)
	case u.User != nil:
		ps.Add("RND140", where, "take user and password out, and change the password if others could read it", "%s holds a user", key)
	case u.RawQuery != "" || u.Fragment != "":
		ps.Add("RND140", where, "cut the address before ? or #", "%s holds a query", key)
	}
	return ps
}

// channelURL gives the address of the channel of a stage, without a slash at its end: Kibana puts /search behind it.
func (o kibanaOptions) channelURL(set string, stage mirror.Stage) string {
	if whole, ok := o.URLs[stage]; ok {
		return strings.TrimRight(whole, "/")
	}
	return strings.TrimRight(o.URL, "/") + "/epr/" + set + "/" + string(stage)
}

// settings gives what Kibana is told.
func (o kibanaOptions) settings(p part) values {
	all := values{settingURL: o.channelURL(p.set.Name, p.name), settingAirGapped: o.AirGapped}
	if o.ProxyURL != "" {
		all[settingProxy] = strings.TrimRight(o.ProxyURL, "/")
	}
	return all
}

func kibanaFiles(s scene, options mirror.Node) overrides {
	o, _ := kibanaOf(options)
	settings := o.settings(s.parts[0])
	var b bytes.Buffer
	if o.CAFile != "" {
		fmt.Fprintf(&b, "# The CA is no setting: start Kibana with NODE_EXTRA_CA_CERTS=%s in its environment.\n", o.CAFile)
	}
	b.Write(valuesYAML(settings))
	all := overrides{files: mirror.Files{kibanaFile: b.Bytes()}}
	if o.ConfigMap != nil {
		all.put(kibanaConfigMap, configMapYAML(*o.ConfigMap, kibanaFile, b.Bytes()))
	}
	if o.ECK != nil {
		all.files[kibanaPatch] = valuesYAML(values{"apiVersion": "kibana.k8s.elastic.co/v1", "kind": "Kibana", "metadata": o.ECK.metadata(), "spec": values{"config": settings}})
	}
	if o.CAFile == "" && strings.HasPrefix(settings[settingURL].(string), "https:") {
		all.notes = append(all.notes, "Kibana has to trust the certificate of "+hostOf(settings[settingURL].(string))+": where no public CA signed it, say where its CA lies with caFile")
	}
	return all
}

// configMapYAML writes a ConfigMap that holds one file.
func configMapYAML(object objectOptions, key string, body []byte) []byte {
	var b bytes.Buffer
	b.Write(valuesYAML(values{"apiVersion": "v1", "kind": "ConfigMap", "metadata": object.metadata()}))
	fmt.Fprintf(&b, "data:\n  %s: |\n", word(key))
	for line := range bytes.Lines(body) {
		b.WriteString("    ")
		b.Write(line)
	}
	return b.Bytes()
}

// proveKibana reads the files back: in each of them Kibana has to find the channel of this stage.
func proveKibana(s scene, options mirror.Node, files mirror.Files) (ps mirror.Problems) {
	o, _ := kibanaOf(options)
	want := o.channelURL(s.parts[0].set.Name, s.parts[0].name)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		found := kibanaSettings(name, files[name], &ps)
		if got := text(found[settingURL].node); got != want {
			ps.Add("RND149", mirror.Position{File: name}, "tell the makers of Poundlock", "%s reads %s, want %s", settingURL, strconv.Quote(mirror.OneLine(got)), want)
		}
	}
	return ps
}
