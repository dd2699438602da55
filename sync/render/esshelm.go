package render

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/charts"
	"github.com/poundlock/poundlock/internal/mirror"
)

func init() {
	register("esshelm", kind{reach: forSets, check: checkESSHelm, files: esshelmFiles, options: esshelmOptions{},
		proof: proveESSHelm, reads: readsESSHelm, lint: lintESSHelm,
		about: "Values for the ESS Community Helm chart (matrix-stack), with every image of the set in the local registry; for sets of kind esshelm."})
}

// esshelmFile holds the values, for helm upgrade --values.
const esshelmFile = "ess-values.yaml"

// esshelmOptions are the options of kind esshelm.
type esshelmOptions struct {
	Namespace  string             `yaml:"namespace" jsonschema:"example=ess" jsonschema_description:"Namespace of the release, for the pull secret; whoever applies it decides when it is left out."`
	PullSecret *pullSecretOptions `yaml:"pullSecret" jsonschema_description:"The pull secret of the consumers; every image block names it in pullSecrets."`
	Chart      string             `yaml:"chart" jsonschema:"example=ess/matrix-stack-26.8.1.tgz" jsonschema_description:"The chart that the values are checked with, relative to desired/: a folder, a .tgz, or its values.yaml with values.schema.json beside; what the source of the set names when it is left out."`
	Where      mirror.Position
}

var esshelmEntry = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)*$`)

func esshelmOf(options mirror.Node) (esshelmOptions, mirror.Problems) {
	var o esshelmOptions
	ps := options.DecodeAs("render.esshelm", &o)
	if len(ps) == 0 && o.Namespace != "" && !namespaceName.MatchString(o.Namespace) {
		ps.Add("RND010", options.Key("namespace").Where(), "use lower-case letters, digits and -", "render.esshelm.namespace: %q is no namespace", o.Namespace)
	}
	return o, ps
}

// chartOf names the chart of a set: what the options say, else what its source is read from.
func (o esshelmOptions) chartOf(set mirror.Set) string {
	source := set.Source.Node
	if set.Source.Kind != "esshelm" {
		return o.Chart
	}
	return cmp.Or(o.Chart, text(source.Key("chart")), text(source.Key("file")))
}

func checkESSHelm(r request) mirror.Problems {
	o, ps := esshelmOf(r.options)
	ps = append(ps, o.PullSecret.check("render.esshelm.pullSecret", r)...)
	set := r.parts[0].set
	for _, e := range set.Entries {
		if !esshelmEntry.MatchString(e.Name) {
			ps.Add("RND030", r.where, "render esshelm from a set whose source is of kind esshelm", "render.esshelm: entry %q is no path of the chart's values", e.Name)
			break
		}
	}
	if set.Source.Kind != "esshelm" && o.Chart == "" && len(ps) == 0 {
		ps.Add("RND030", r.where, "render esshelm from a set whose source is of kind esshelm, or name the chart that has values of these names with chart:",
			"render.esshelm: entries of kind %s are no values of the chart", set.Source.Kind)
		ps[len(ps)-1].Why = "the chart would read none of them, and its images would come from the upstream"
		return ps
	}
	name := o.chartOf(set)
	if name == "" || len(ps) > 0 {
		return ps
	}
	if _, err := chartAt(r.files, name); err != nil {
		where := r.where
		if o.Chart != "" {
			where = r.options.Key("chart").Where()
		}
		ps.Add("RND031", where, "name the chart, or its values.yaml, relative to desired/", "render.esshelm: the chart %s cannot be read: %v", path.Join("desired", name), err)
	}
	return ps
}

// esshelmFiles writes registry, repository, tag and digest of every image block: there is no value that moves them all, and
// the chart takes the tag for a label even where it pulls by digest.
func esshelmFiles(s scene, options mirror.Node) overrides {
	o, _ := esshelmOf(options)
	tree := values{}
	for _, i := range s.images() {
		block := values{"registry": i.local.Host, "repository": i.local.Repository, "tag": i.local.Tag, "digest": i.local.Digest.String()}
		if o.PullSecret != nil {
			block["pullSecrets"] = []any{values{"name": o.PullSecret.Name}}
		}
		put(tree, append(strings.Split(i.entry, "/"), "image"), block)
	}
	all := overrides{files: mirror.Files{esshelmFile: valuesYAML(tree)}}
	o.PullSecret.addTo(&all, s, o.Namespace)
	if o.PullSecret == nil && s.local.Login {
		all.notes = append(all.notes, "the local registry wants a login and no pullSecret is given: the chart adds no pull secret to its pods")
	}
	left, _ := keptUpstream(s, o, tree)
	for _, entry := range slices.Sorted(maps.Keys(left)) {
		all.notes = append(all.notes, fmt.Sprintf("%s.image stays at %s, since the set leaves the entry out: switch off what uses it", strings.ReplaceAll(entry, "/", "."), left[entry]))
	}
	return all
}

// keptUpstream gives the images of the chart that given values leave upstream: those whose entry the set leaves out, and
// others. It knows nothing of a stage where another release stands than the one in desired/.
func keptUpstream(s scene, o esshelmOptions, given values) (left, missed map[string]string) {
	one := s.parts[0]
	left, missed = map[string]string{}, map[string]string{}
	if !one.isCurrent() {
		return left, missed
	}
	c, err := chartAt(s.files, o.chartOf(one.set))
	if err != nil {
		return left, missed // without a chart, or checked before
	}
	for block, image := range upstreamImages(charts.Merged(c.defaults, given), s.local.Host) {
		if entry := strings.TrimSuffix(block, "/image"); one.set.Selects(entry) {
			missed[entry] = image
		} else {
			left[entry] = image
		}
	}
	return left, missed
}

// isCurrent says whether what stands is what desired/ asks for, whatever the digests are.
func (p part) isCurrent() bool {
	for _, e := range p.set.Entries {
		if p.standing[e.Name].Image.WithDigest(mirror.Digest{}) != e.Image.WithDigest(mirror.Digest{}) {
			return false
		}
	}
	return len(p.standing) == len(p.set.Entries)
}

// proveESSHelm reads the values back as Helm does. Every block has to be its content in the local registry, the chart's
// schema has to take them, and none of its images may stay upstream.
func proveESSHelm(s scene, options mirror.Node, files mirror.Files) (ps mirror.Problems) {
	const fix = "tell the makers of Poundlock"
	at := mirror.Position{File: esshelmFile}
	given, err := charts.ReadValues(files[esshelmFile])
	if err != nil {
		ps.Add("RND038", at, fix, "the values cannot be read: %v", err)
		return ps
	}
	for _, i := range s.images() {
		for _, f := range [][2]string{{"registry", i.local.Host}, {"repository", i.local.Repository}, {"tag", i.local.Tag}, {"digest", i.local.Digest.String()}} {
			if got := lookup(given, append(strings.Split(i.entry, "/"), "image", f[0])); got != f[1] {
				ps.Add("RND038", at, fix, "%s.image.%s reads %v, want %q", strings.ReplaceAll(i.entry, "/", "."), f[0], got, f[1])
			}
		}
	}
	o, _ := esshelmOf(options)
	one := s.parts[0]
	if name := o.chartOf(one.set); name != "" && one.isCurrent() && len(ps) == 0 {
		ps = append(ps, schemaProblems(s.files, name, files[esshelmFile])...)
	}
	_, missed := keptUpstream(s, o, given)
	for _, entry := range slices.Sorted(maps.Keys(missed)) {
		ps.Add("RND033", at, "see that the set's source is this chart", "%s.image stays at %s", strings.ReplaceAll(entry, "/", "."), missed[entry])
	}
	return ps
}

// schemaProblems tells what the schema of a chart in desired/ refuses of values.
func schemaProblems(files mirror.Files, name string, given []byte) (ps mirror.Problems) {
	c, err := chartAt(files, name)
	if err != nil {
		ps.Add("RND031", mirror.Position{File: path.Join("desired", name)}, "see that it is a chart", "the chart %s cannot be read: %v", path.Join("desired", name), err)
		return ps
	}
	for _, line := range refusedBy(c, given) {
		ps.Add("RND032", mirror.Position{File: path.Join("desired", name)}, "see that values and chart are of one release", "the chart's schema refuses the values: %s", mirror.OneLine(line))
	}
	return ps
}
