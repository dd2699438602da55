package cli

import (
	"reflect"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/schema"
	"github.com/poundlock/poundlock/policy"
	"github.com/poundlock/poundlock/sources"
	"github.com/poundlock/poundlock/sync/publish"
	"github.com/poundlock/poundlock/sync/render"
)

// types gives the schema of types in the documents of people that are one word for them.
var types = map[reflect.Type]schema.Schema{
	reflect.TypeFor[mirror.Reference]():   {Type: "string", Title: "image reference"},
	reflect.TypeFor[mirror.Digest]():      {Type: "string", Title: "digest", Pattern: "^sha256:[0-9a-f]{64}$"},
	reflect.TypeFor[mirror.Stage]():       {Type: "string", Title: "stage", Pattern: "^[a-z0-9]+([._-][a-z0-9]+)*$", MaxLength: new(uint64(40))},
	reflect.TypeFor[mirror.TagTemplate](): {Type: "string", Title: "template"},
	reflect.TypeFor[publish.Message]():    {Type: "string", Title: "template"},
	reflect.TypeFor[mirror.Node]():        {Type: "string"}, // kept with its place until its meaning is known; mappings are replaced below
}

// documents gives the documents that people write, in the order in which one meets them.
func documents() []schema.Document {
	return []schema.Document{
		{Name: "config", File: "config.yaml", Short: "how the daemon reaches Git and registries", Schema: configSchema(), Env: config.EnvPrefix},
		{Name: "set", File: "desired/<set>.yaml", Short: "what a set wants from upstream, and where it stands", Schema: setSchema()},
		{Name: "consumer", File: "desired/consumers/<name>.yaml", Short: "what a cluster or a group of nodes runs, and the files it wants", Schema: consumerSchema()},
		{Name: "policy", File: "desired/policy.yaml", Short: "who must vouch for what", Schema: policySchema()},
		{Name: "tests", File: policy.TestsFile, Short: "what policy must say of which images", Schema: testsSchema()},
		{Name: "stage", File: "stages/<set>/<stage>.yaml", Short: "what a stage above the first should carry", Schema: stageSchema()},
	}
}

func written(title, description string) schema.Options {
	return schema.Options{Title: title, Description: description, Tag: "yaml", Types: types}
}

func configSchema() *schema.Schema {
	s := schema.Of(config.Default(), written("config.yaml", "How the daemon reaches Git and registries, where it keeps its state and when it looks. What is wanted lies in the fleet repository."))
	registries, _ := s.Properties.Get("registries")
	registries.Required = []string{config.LocalRegistry}
	return s
}

func setSchema() *schema.Schema {
	// A set that says nothing more has every default.
	desired, _ := mirror.ParseDesired("", mirror.Files{"desired/set.yaml": []byte("version: 1\nsource: {kind: list}\n")})
	defaults := desired.Sets[0]
	defaults.Version = 0
	s := schema.Of(defaults, written("desired/<set>.yaml", "A set: a named group of entries that belong together. The name of the file is the name of the set."))
	part := func(value any) *schema.Schema { return schema.Part(value, written("", "")) }
	kinds := map[string]*schema.Schema{}
	for kind, options := range sources.Options() {
		kinds[kind] = part(options)
	}
	describe(s, "source", schema.Kinds(kinds))
	describe(s, "render", renderers(false))
	return s
}

func consumerSchema() *schema.Schema {
	s := schema.Of(mirror.Consumer{}, written("desired/consumers/<name>.yaml", "A cluster or a group of nodes: what it runs, and which files it wants. The name of the file is the name of the consumer."))
	describe(s, "render", renderers(true))
	return s
}

// renderers gives the schema of render: in a set or in a consumer.
func renderers(consumer bool) *schema.Schema {
	all := schema.Part(struct{}{}, written("", ""))
	for _, kind := range render.KindsFor(consumer) {
		all.Properties.Set(kind, schema.OrNothing(schema.Part(render.Options()[kind], written("", render.About(kind)))))
	}
	return all
}

// describe puts the schema that only a registry of kinds knows in the place of a key, under its description.
func describe(s *schema.Schema, key string, full *schema.Schema) {
	old, _ := s.Properties.Get(key)
	full.Description = old.Description
	s.Properties.Set(key, full)
}

func policySchema() *schema.Schema {
	s := schema.Of(policy.Document(), written("desired/policy.yaml", "What must be true of an image before it is copied, tagged or named in an override. What no rule matches is not admitted."))
	rules, _ := s.Properties.Get("rules")
	reference, _ := rules.Items.Properties.Get("reference")
	rules.Items.Properties.Set("reference", schema.Or(reference, schema.Part(policy.Reference(), written("", ""))))
	mode, _ := s.Properties.Get("mode")
	s.Properties.Set("mode", schema.Or(mode, schema.Words(mode)))
	return s
}

// floorSchema is that of a policy which leaves to the fleet what none of its rules matches.
func floorSchema() *schema.Schema {
	s := policySchema()
	s.Title = "floor.yaml"
	fallback, _ := s.Properties.Get("default")
	fallback.Enum = append(fallback.Enum, "fleet")
	return s
}

func testsSchema() *schema.Schema {
	return schema.Of(policy.TestsDocument(), written(policy.TestsFile, "What people expect of their policy: `poundlock policy test` asks it for each line. It changes nothing by itself."))
}

func stageSchema() *schema.Schema {
	s := schema.Of(mirror.StageDocument{}, written("stages/<set>/<stage>.yaml", "What one stage above the first should carry: one line for each entry. rendered/ has files of the same form, so that a promotion is a copy of lines."))
	entries, _ := s.Properties.Get("entries")
	entries.AdditionalProperties = &schema.Schema{Type: "string", Title: "image reference with digest", Pattern: "@sha256:[0-9a-f]{64}$"}
	return s
}
