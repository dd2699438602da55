package daemon

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"

	"github.com/poundlock/poundlock/internal/mirror"
)

// EnvPrefix starts the names of environment variables that override the file: POUNDLOCK_GIT__POLL=1m sets
// git.poll. Two underscores stand for the dot.
const EnvPrefix = "POUNDLOCK_"

// Load reads the configuration: defaults, then the file, then the environment, then overrides (flags, by
// key path). The error is mirror.Problems when the content is wrong: all mistakes in one pass.
func Load(file string, environ []string, overrides map[string]any) (Config, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return Config{}, fmt.Errorf("%w: %w", ErrConfiguration, err)
	}
	root, problems := mirror.ParseDocument(file, data)
	if len(problems) > 0 {
		return Config{}, problems.Err()
	}
	// The strict decoding finds unknown keys and wrong types with their places; koanf then merges the layers.
	problems = append(problems, root.Decode(&Config{})...)
	k := koanf.New(".")
	fromEnv := map[string]string{}
	var strays []string
	layers := []func() error{
		func() error { return k.Load(rawbytes.Provider(data), nodeParser{file}) },
		func() error { return k.Load(env.Provider(".", envOptions(environ, fromEnv, &strays)), nil) },
		func() error { return k.Load(confmap.Provider(overrides, "."), nil) },
	}
	for _, load := range layers {
		if err := load(); err != nil {
			return Config{}, fmt.Errorf("configuration: %w", err)
		}
	}
	config := Default()
	if len(problems) == 0 {
		problems = append(problems, unmarshal(k, &config, fromEnv)...)
	}
	config.settle(filepath.Dir(file))
	config.file, config.Warnings = file, config.warn(strays)
	if len(problems) == 0 {
		problems = append(problems, mirror.CheckVersion(config.Version, 1, root.Where())...)
		problems = append(problems, config.validate(placeIn(root, file, fromEnv))...)
	}
	return config, problems.Err()
}

// ErrConfiguration is in the chain of errors that a change of the configuration mends, besides
// mirror.Problems.
var ErrConfiguration = errors.New("configuration")

// warn tells of variables that look like ours and set nothing, except those that a secret is read from and
// those that Kubernetes makes for a service of our name.
func (c *Config) warn(strays []string) []string {
	used := map[string]bool{}
	for _, s := range c.secrets() {
		used[s.Env] = true
	}
	var warnings []string
	for _, name := range strays {
		if rest := strings.TrimPrefix(name, EnvPrefix); used[name] || strings.HasPrefix(rest, "PORT") || strings.HasPrefix(rest, "SERVICE_") {
			continue
		}
		fix := ""
		if near := mirror.Nearest(strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, EnvPrefix), "_", "")), lower(knownKeys())); near != "" {
			fix = "; did you mean " + EnvPrefix + strings.ToUpper(near) + "?"
		}
		warnings = append(warnings, "the variable "+name+" sets nothing"+fix)
	}
	slices.Sort(warnings)
	return warnings
}

func lower(words []string) []string {
	all := make([]string, len(words))
	for i, w := range words {
		all[i] = strings.ToLower(w)
	}
	return all
}

// secrets gives every secret that the configuration refers to, by its key path.
func (c *Config) secrets() map[string]Secret {
	all := map[string]Secret{"git.auth.password": c.Git.Auth.Password, "git.auth.token": c.Git.Auth.Token,
		"git.auth.sshKey": c.Git.Auth.SSHKey, "git.signing.key": c.Git.Signing.Key}
	for name, r := range c.Registries {
		all["registries."+name+".auth.password"], all["registries."+name+".auth.token"] = r.Auth.Password, r.Auth.Token
	}
	return all
}

// checkSecrets reads every secret once, so that a missing one is told at the start and by its key.
func (c *Config) checkSecrets() mirror.Problems {
	var ps mirror.Problems
	for _, key := range sortedKeys(c.secrets()) {
		if _, err := c.secrets()[key].Read(); err != nil {
			ps.Add("CFG017", mirror.Position{File: c.file}, "set it, or make it readable for this process", "%s: %v", key, err)
		}
	}
	return ps
}

// nodeParser hands a YAML document to koanf with every scalar as the text of the file.
type nodeParser struct{ file string }

func (p nodeParser) Unmarshal(data []byte) (map[string]any, error) {
	root, problems := mirror.ParseDocument(p.file, data)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	m, _ := root.Value().(map[string]any)
	return m, nil
}

func (nodeParser) Marshal(map[string]any) ([]byte, error) {
	return nil, errors.New("the configuration is never written")
}

// reservedEnv are variables that carry our prefix and are no configuration keys.
var reservedEnv = []string{EnvPrefix + "CONFIG"}

func envOptions(environ []string, seen map[string]string, strays *[]string) env.Opt {
	return env.Opt{
		Prefix:      EnvPrefix,
		EnvironFunc: func() []string { return environ },
		TransformFunc: func(name, value string) (string, any) {
			if slices.Contains(reservedEnv, name) {
				return "", nil
			}
			if !strings.Contains(name, "__") && !topLevel(name) {
				*strays = append(*strays, name)
				return "", nil
			}
			path := envPath(strings.Split(strings.TrimPrefix(name, EnvPrefix), "__"))
			seen[path] = name
			return path, value
		},
	}
}

func topLevel(name string) bool {
	return slices.ContainsFunc(knownKeys(), func(k string) bool {
		return strings.EqualFold(k, strings.TrimPrefix(name, EnvPrefix))
	})
}

func unmarshal(k *koanf.Koanf, into *Config, fromEnv map[string]string) mirror.Problems {
	var ps mirror.Problems
	var meta mapstructure.Metadata
	err := k.UnmarshalWithConf("", into, koanf.UnmarshalConf{DecoderConfig: &mapstructure.DecoderConfig{
		Result: into, TagName: "yaml", WeaklyTypedInput: true, Metadata: &meta,
		DecodeHook: mapstructure.ComposeDecodeHookFunc(mapstructure.StringToTimeDurationHookFunc(), mapstructure.StringToSliceHookFunc(","), mapstructure.TextUnmarshallerHookFunc()),
	}})
	if err != nil {
		// The file was decoded before: what fails here came from the environment or a flag.
		ps.Add("CFG020", mirror.Position{File: "environment or flags"}, "", "%v", err)
	}
	for _, key := range meta.Unused {
		name, ok := fromEnv[key]
		if !ok {
			name = key
		}
		ps.Add("CFG021", mirror.Position{File: "environment"}, "see config.example.yaml for the keys", "%s names no configuration key", name)
	}
	return ps
}

// placeIn finds where a key path was set: a line of the file, or the variable that overrides it.
func placeIn(root mirror.Node, file string, fromEnv map[string]string) func(path ...string) mirror.Position {
	return func(path ...string) mirror.Position {
		if name, ok := fromEnv[strings.Join(path, ".")]; ok {
			return mirror.Position{File: "env " + name}
		}
		node := root
		for _, key := range path {
			next := node.Key(key)
			if next.IsZero() {
				break
			}
			node = next
		}
		if node.IsZero() {
			return mirror.Position{File: file}
		}
		return node.Where()
	}
}

// settle fills what follows from other keys and makes paths relative to the file's folder absolute.
func (c *Config) settle(dir string) {
	absolute := func(p *string) {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	absolute(&c.StateDir)
	absolute(&c.Git.Auth.KnownHosts)
	for _, s := range []*Secret{&c.Git.Auth.Password, &c.Git.Auth.Token, &c.Git.Auth.SSHKey, &c.Git.Signing.Key} {
		absolute(&s.File)
	}
	tls := func(t *TLS) {
		for i := range t.CAFiles {
			absolute(&t.CAFiles[i])
		}
		absolute(&t.CertFile)
		absolute(&t.KeyFile)
	}
	tls(&c.TLS)
	tls(&c.Git.TLS)
	for name, r := range c.Registries {
		absolute(&r.Auth.Password.File)
		absolute(&r.Auth.Token.File)
		absolute(&r.Embedded.Dir)
		tls(&r.TLS)
		if r.Embedded.Listen != "" {
			r.Insecure = true // the embedded registry speaks plain HTTP, to this process over loopback
			if r.Host == "" {
				r.Host = r.Embedded.Listen
			}
		}
		c.Registries[name] = r
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
