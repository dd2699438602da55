package epr

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// generator makes packages of all kinds, the same ones for the same seed.
type generator struct{ *rand.Rand }

func newGenerator(seed uint64) generator { return generator{rand.New(rand.NewPCG(seed, 7))} }

func (g generator) one(of ...string) string { return of[g.IntN(len(of))] }

func (g generator) maybe(percent int, text string) string {
	if g.IntN(100) < percent {
		return text
	}
	return ""
}

// some gives a list in YAML of a few of the words.
func (g generator) some(of ...string) string {
	var l []string
	for range 1 + g.IntN(3) {
		if w := g.one(of...); !strings.Contains(strings.Join(l, ","), w) {
			l = append(l, w)
		}
	}
	return "[" + strings.Join(l, ", ") + "]"
}

// packages gives zips by name-version.
func (g generator) packages(t *testing.T, names int) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for n := range names {
		name := fmt.Sprintf("%s_%d", g.one("alpha", "beta", "gamma"), n)
		for range 1 + g.IntN(7) {
			version := fmt.Sprintf("%d.%d.%d", g.IntN(3), g.IntN(12), g.IntN(3)) + g.maybe(25, g.one("-rc1", "-beta.2", "-SNAPSHOT", "-preview-1708411360"))
			id := name + "-" + version
			all[id] = packZip(t, id, g.files(name, version), g.order()...)
		}
	}
	return all
}

// order makes zips that are not sorted, and ones with entries of their own for folders.
func (g generator) order() []string {
	order := []string{"docs/README.md", "img/icon.svg", "manifest.yml"}
	g.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	if g.IntN(3) == 0 {
		order = append([]string{"docs/", "img/", "data_stream/", "deep/", "deep/er/"}, order...)
	}
	return order
}

func (g generator) files(name, version string) map[string]string {
	files := map[string]string{
		"manifest.yml":   g.manifest(name, version),
		"docs/README.md": "# " + name + "\n",
		"img/icon.svg":   "<svg/>\n",
		"img/shot.png":   strings.Repeat("\x89PNG\r\n", 200),
	}
	for _, s := range []string{"access", "error", "stubstatus"} {
		if g.IntN(3) == 0 {
			g.dataStream(files, "data_stream/"+s+"/", s)
		}
	}
	if g.IntN(3) == 0 {
		files["docs/first.md"] = "# first\n"
		files["kibana/dashboard/"+name+"-1.json"] = "{}\n"
	}
	if g.IntN(5) == 0 {
		files["deep/er/than/most/file.txt"] = "text\n"
		files["img/.DS_Store"] = "x"
	}
	return files
}

func (g generator) manifest(name, version string) string {
	title := g.one("Title of <b> & more", `"8"`, "80", "1.5", "yes", "Tést \\u2028 x", `"\u2028"`)
	lines := []string{
		"format_version: " + g.one("1.0.0", "2.3.0", "2.10.1", "3.0.0", "3.1.4", "3.2.0-rc1"),
		"name: " + name, "version: " + version, "title: " + title,
		"description: " + g.one("Plain", `"two\nlines\n"`, "|\n  Text of\n  <some> lines.\n"),
		g.maybe(70, "type: "+g.one("integration", "input", "content", "solution")),
		g.maybe(20, "release: "+g.one("ga", "beta", "experimental")),
		g.maybe(20, "license: "+g.one("basic", "platinum")),
		g.maybe(30, "source:\n  license: "+g.one("Elastic-2.0", "Apache-2.0")),
		g.maybe(30, "source.license: Elastic-2.0"),
		g.maybe(60, "categories: "+g.some("web", "security", "custom", "network", "unheard_of", "aws", "edr_xdr", "datastore")),
		g.conditions(),
		g.maybe(40, "owner.github: elastic/"+name),
		g.maybe(30, "icons:\n  - src: /img/icon.svg\n    title: Icon\n    size: 32x32\n    type: image/svg+xml\n"),
		g.maybe(20, "screenshots:\n  - {src: /img/shot.png, title: Shot, size: 800x600, type: image/png}\n"),
		g.maybe(20, "discovery:\n  fields:\n    - name: "+g.one("process.pid", "http.url")+"\n"+g.maybe(50, "    - name: host.name\n")),
		g.maybe(20, "discovery.datasets:\n  - name: "+g.one("good_content.errors", "nginx.access")+"\n"),
		g.maybe(6, "deprecated:\n  since: 1.0.0\n  description: Use another.\n"+g.maybe(50, "  replaced_by:\n    package: other\n")),
		g.maybe(15, "requires:\n  input:\n    - {package: sql, version: ^1.0.0}\n"),
		g.maybe(15, "elasticsearch.privileges.cluster: ["+g.one("monitor", "all")+"]"),
		g.maybe(15, "agent:\n  privileges:\n    root: "+g.one("true", "yes", "false")),
		g.maybe(10, "policy_templates_behavior: combined_policy"),
		g.maybe(10, "something: {new: [1, 2]}"),
		g.maybe(40, g.vars("")),
		g.policyTemplates(),
	}
	text := ""
	doubled := strings.Contains(strings.Join(lines, "\n"), "source:\n") && strings.Contains(strings.Join(lines, "\n"), "source.license")
	for _, l := range lines {
		if l != "" && !(doubled && strings.HasPrefix(l, "source.license")) {
			text += strings.TrimSuffix(l, "\n") + "\n"
		}
	}
	return text
}

func (g generator) conditions() string {
	kibana := g.one("^7.16.0 || ^8.0.0", ">=8.12.0", "~7.x.x", ">6.7.0  <7.6.0", "^8.8.0 || ^9.0.0", "8.1.0", "^8.0.0-SNAPSHOT")
	switch g.IntN(8) {
	case 0, 1, 2:
		return "conditions:\n  kibana.version: \"" + kibana + "\"\n" + g.maybe(30, "  elastic.subscription: "+g.one("basic", "gold")+"\n")
	case 3, 4:
		return "conditions:\n  kibana:\n    version: \"" + kibana + "\"\n  elastic:\n    subscription: basic\n    capabilities: " + g.some("security", "observability", "uptime") + "\n"
	case 5:
		return "conditions:\n  agent:\n    version: \"" + g.one("^9.2.0", ">=8.0.0") + "\"\n"
	case 6:
		return "conditions.kibana.version: \"" + kibana + "\""
	}
	return g.maybe(30, "conditions: {}")
}

func (g generator) vars(indent string) string {
	lines := []string{"vars:"}
	for i := range 1 + g.IntN(4) {
		lines = append(lines, fmt.Sprintf("  - name: v%d", i),
			"    type: "+g.one("text", "bool", "yaml", "integer", "url"),
			"    title: "+g.one("A title", "\"<1>\"", "5"),
			g.maybe(40, "    multi: "+g.one("true", "false", "yes", `"true"`)),
			g.maybe(40, "    required: true"),
			g.maybe(40, "    show_user: on"),
			g.maybe(30, "    description: \"Text & more\""),
			g.maybe(10, "    deprecated: {since: 2.0.0, description: old}"),
			g.maybe(70, "    default: "+g.one("text", "yes", "off", "5", "-7", "1.5", "1e3", "0777", "0x1f", "1_000", "2026-01-02", "null", "~", `""`, "[]", "{}", "[a, 5, null, yes]", "{a.b: 1, c: {}}", "10s", "{x: [1, {}]}", "12345678901234567", "y", "!!str 5", "'no'", "1:30", "=", ".5", "+3")),
		)
	}
	text := ""
	for _, l := range lines {
		if l != "" {
			text += indent + l + "\n"
		}
	}
	return text
}

func (g generator) policyTemplates() string {
	if g.IntN(3) == 0 {
		return ""
	}
	text := "policy_templates:\n"
	for i := range 1 + g.IntN(3) {
		text += "  - name: " + []string{"first", "second", "third"}[i] + "\n    title: T\n    description: D\n"
		text += g.maybe(40, "    categories: "+g.some("web", "security", "edr_xdr", "unheard_of", "siem", "datastore")+"\n")
		text += g.maybe(30, "    multiple: "+g.one("true", "false")+"\n")
		text += g.maybe(30, "    icons:\n      - src: /img/icon.svg\n        title: <i>\n")
		text += g.maybe(30, "    screenshots:\n      - src: /img/shot.png\n        title: s\n")
		text += g.maybe(30, "    data_streams: [access, error]\n")
		text += g.maybe(30, "    deployment_modes:\n      default:\n        enabled: true\n      agentless:\n        enabled: true\n        is_default: false\n"+g.maybe(50, "        release: beta\n"))
		text += g.maybe(20, "    type: logs\n    input: "+g.one("cel", "filestream", "unknown")+"\n    template_path: input.yml.hbs\n"+g.vars("    "))
		text += g.maybe(10, "    deprecated:\n      since: \"1.0\"\n      description: x\n")
		if g.IntN(2) == 0 {
			text += "    inputs:\n      - type: " + g.one("logfile", "nginx/metrics") + "\n        title: I\n        description: d\n" +
				g.maybe(30, "        input_group: logs\n        template_path: x.hbs\n        deployment_modes: [default]\n") +
				g.maybe(50, g.vars("        "))
		}
	}
	return text
}

// dataStream adds a data stream that Elastic's registry loads.
func (g generator) dataStream(files map[string]string, dir, name string) {
	files[dir+"fields/base-fields.yml"] = "- {name: data_stream.type, type: constant_keyword}\n- {name: data_stream.dataset, type: constant_keyword}\n- {name: data_stream.namespace, type: constant_keyword}\n- {name: '@timestamp', type: date}\n"
	manifest := "title: " + g.one("Logs <x>", "5", "Metrics") + "\ntype: " + g.one("logs", "metrics", "traces", "synthetics") + "\n" +
		g.maybe(20, "dataset: other."+name+"\n") + g.maybe(20, "release: experimental\n") + g.maybe(20, "hidden: true\n") +
		g.maybe(20, "ilm_policy: logs-x\n") + g.maybe(20, "dataset_is_prefix: true\n") + g.maybe(10, "deprecated: {since: 1.0.0, description: old}\n") +
		g.maybe(20, "agent.privileges.root: true\n")
	switch g.IntN(4) {
	case 0:
		manifest += "elasticsearch:\n  index_template:\n    settings:\n      index.number_of_shards: 3\n      empty: {}\n      nothing: null\n      list: [1, two, {a.b: yes}]\n    mappings:\n      dynamic: false\n"
	case 1:
		manifest += "elasticsearch.index_template.mappings:\n  properties: {x.y: {type: keyword}}\nelasticsearch.privileges.indices: [auto_configure]\n"
	case 2:
		manifest += g.one("elasticsearch: {}\n", "elasticsearch:\n")
	}
	if g.IntN(2) == 0 {
		files[dir+"elasticsearch/ingest_pipeline/default."+g.one("yml", "json")] = "{}\n"
	}
	if g.IntN(4) > 0 {
		files[dir+"agent/stream/stream.yml.hbs"] = "paths:\n"
		manifest += "streams:\n  - input: " + g.one("logfile", "cel", "aws-s3", "unknown/metrics") + "\n    title: S\n    description: d\n" +
			g.maybe(30, "    enabled: false\n") + g.maybe(30, "    template_path: other.yml.hbs\n") + g.maybe(50, g.vars("    "))
	}
	files[dir+"manifest.yml"] = manifest
}
