package daemon

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"

	"github.com/poundlock/poundlock/internal/mirror"
)

// EnvPrefix starts the names of environment variables that override the files: POUNDLOCK_GIT__POLL=1m sets
// git.poll. Two underscores stand for the dot.
const EnvPrefix = "POUNDLOCK_"

// ErrConfiguration is in the chain of errors that a change of the configuration mends, besides
// mirror.Problems.
var ErrConfiguration = errors.New("configuration")

// Load reads the configuration in layers, each over those before: the defaults, the file, the files of its
// drop-in folder, the environment, and overrides (flags, by key path). The error is mirror.Problems, with all
// mistakes of all layers in one pass.
//
// The drop-in folder of config.yaml is config.d beside it; of what lies in it every *.yaml counts, in the order of
// the names, except hidden files. Mappings are merged key by key. A list is replaced as a whole, and so is a
// reference to a secret.
//
// The case of letters in a variable's name does not matter, and an underscore also fits a dash or a dot:
// POUNDLOCK_REGISTRIES__DOCKER_HUB__HOST means the docker-hub of the files. A list is written with commas, both
// in a variable and in a flag.
//
// A relative path counts from the folder of the file that sets it; that of a variable or a flag from the
// working directory, that of a default from the folder of the configuration file.
func Load(file string, environ []string, overrides map[string]any) (Config, error) {
	r := &reader{k: koanf.New(keySeparator), settings: newSettings()}
	if err := r.files(file); err != nil {
		return Config{}, err
	}
	r.environment(environ)
	r.flags(overrides)
	return r.config(file)
}

// reader lays the layers over each other.
type reader struct {
	k        *koanf.Koanf
	settings *settings
	problems mirror.Problems
	broken   bool // a file cannot be read, so that what is missing may stand in it
	warnings []string
	strays   []string // variables that set nothing
}

// files reads the configuration file and the files of its drop-in folder. The error means that there is no
// configuration file.
func (r *reader) files(name string) error {
	data, err := readAtMost(name, mirror.MaxDocument)
	if err != nil && !errors.As(err, new(*tooLargeError)) {
		return mirror.Problems{noConfiguration(name, err)}
	}
	r.file(name, data, true)
	names, ignored, err := dropIns(name)
	if err != nil {
		r.unreadable(dropInFolder(name), err)
	}
	for _, name := range ignored {
		r.warnings = append(r.warnings, mirror.Clean(name+" is not read: its name must end with .yaml"))
	}
	for _, name := range names {
		data, err := readAtMost(name, mirror.MaxDocument)
		if err != nil && !errors.As(err, new(*tooLargeError)) {
			r.unreadable(name, err)
			continue
		}
		r.file(name, data, false)
	}
	return nil
}

// dropInFolder is where the files lie that are laid over a configuration file: config.d beside config.yaml.
func dropInFolder(file string) string {
	return strings.TrimSuffix(file, filepath.Ext(file)) + ".d"
}

// dropIns lists the files of the drop-in folder in their order, and those that are not read though somebody may
// have meant them to be.
func dropIns(file string) (files, ignored []string, err error) {
	folder := dropInFolder(file)
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	for _, e := range entries {
		name := e.Name()
		switch ext := filepath.Ext(name); {
		case strings.HasPrefix(name, "."), strings.HasPrefix(name, "#"), strings.HasSuffix(name, "~"): // of an editor, or of Kubernetes
		case ext == ".yaml":
			files = append(files, filepath.Join(folder, name))
		case strings.EqualFold(ext, ".yml"), strings.EqualFold(ext, ".yaml"):
			ignored = append(ignored, filepath.Join(folder, name))
		}
	}
	return files, ignored, err
}

func noConfiguration(name string, err error) mirror.Problem {
	p := mirror.Unreadable(name, err)
	if errors.Is(err, fs.ErrNotExist) {
		p.Fix = "name another with --config or POUNDLOCK_CONFIG, or write one with `poundlock init`"
	}
	return p
}

func (r *reader) unreadable(name string, err error) {
	r.problems, r.broken = append(r.problems, mirror.Unreadable(name, err)), true
}

func (r *reader) file(name string, data []byte, main bool) {
	dir, err := filepath.Abs(filepath.Dir(name))
	if err != nil {
		dir = filepath.Dir(name) // the working directory is gone; then nothing relative can be found
	}
	f := &fileLayer{layer: newLayer(dir), name: name, main: main}
	r.settings.files[name], r.settings.read = data, append(r.settings.read, name)
	r.load(f.layer, rawbytes.Provider(data), f)
	r.broken = r.broken || f.broken
}

// load lays a layer over the others.
func (r *reader) load(l *layer, p koanf.Provider, parser koanf.Parser) {
	if err := r.k.Load(p, parser); err != nil {
		// Neither the parser nor the providers fail: what is wrong is in the layer's problems.
		r.problems.Add("CFG020", mirror.Position{}, "", "the layers of the configuration cannot be merged")
	}
	r.settings.take(l)
	r.problems = append(r.problems, l.problems...)
}

// names gives the names that the layers so far have below a map.
func (r *reader) names(path []string) []string {
	var at any = r.k.Raw()
	for _, key := range path {
		m, _ := at.(map[string]any)
		at = m[key]
	}
	m, _ := at.(map[string]any)
	return sortedKeys(m)
}

func (r *reader) outside(s spelling, place func(string) string, instead string) *textLayer {
	here, err := os.Getwd()
	if err != nil {
		here = "." // gone; see file
	}
	return &textLayer{layer: newLayer(here), spelling: s, names: r.names, place: place, instead: instead,
		secrets: map[string]Secret{}, setBy: map[string]string{}}
}

// reservedEnv are variables that carry our prefix and are no configuration keys.
var reservedEnv = []string{EnvPrefix + "CONFIG"}

func (r *reader) environment(environ []string) {
	o := r.outside(envSpelling, func(name string) string { return "env " + name },
		"if others could read this environment, change the secret")
	top, _ := keysOf(configType)
	sorted := slices.Sorted(slices.Values(environ))
	r.load(o.layer, env.Provider(keySeparator, env.Opt{
		Prefix:      EnvPrefix,
		EnvironFunc: func() []string { return sorted },
		TransformFunc: func(name, value string) (string, any) {
			key := strings.TrimPrefix(name, EnvPrefix)
			switch {
			case slices.Contains(reservedEnv, name):
				return "", nil
			case !strings.Contains(key, "__") && !slices.ContainsFunc(top, func(k string) bool { return k != "version" && strings.EqualFold(k, key) }):
				r.strays = append(r.strays, name)
				return "", nil
			}
			return o.take(name, key, value)
		},
	}), nil)
}

func (r *reader) flags(overrides map[string]any) {
	o := r.outside(flagSpelling, func(name string) string { return "flag --set " + name },
		"everybody on this host can read flags, so change the secret")
	values := map[string]any{}
	for _, name := range sortedKeys(overrides) {
		if key, value := o.take(name, name, overrides[name]); key != "" {
			values[key] = value
		}
	}
	r.load(o.layer, confmap.Provider(values, keySeparator), nil)
}

// config makes the configuration of the merged layers and checks it.
func (r *reader) config(file string) (Config, error) {
	c := Default()
	if dir, err := filepath.Abs(filepath.Dir(file)); err == nil {
		c.StateDir = filepath.Join(dir, c.StateDir)
	}
	err := r.k.UnmarshalWithConf("", &c, koanf.UnmarshalConf{DecoderConfig: &mapstructure.DecoderConfig{
		Result: &c, TagName: "yaml", ErrorUnused: true, MatchName: func(key, field string) bool { return key == field },
		DecodeHook: mapstructure.TextUnmarshallerHookFunc(),
	}})
	if err != nil {
		// Every value has its type already. The error itself would print values.
		r.problems.Add("CFG020", mirror.Position{File: file}, "", "the merged configuration cannot be read")
	}
	c.settle()
	c.file, c.settings = file, r.settings
	c.Warnings = slices.Concat(r.warnings, c.warn(r.strays, r.names), c.warnJitter())
	if !r.broken || len(r.problems) == 0 {
		r.problems = r.problems.Plus(c.validate(r.settings.place))
	}
	r.problems.Quote(r.settings.files, Config{})
	return c, r.problems.Err()
}

// settle fills what follows from other keys.
func (c *Config) settle() {
	for name, r := range c.Registries {
		if r.Embedded.Listen != "" {
			r.Insecure = true // the embedded registry speaks plain HTTP, to this process over loopback
			if r.Host == "" {
				r.Host = r.Embedded.Listen
			}
		}
		c.Registries[name] = r
	}
}

// ofKubernetes are the variables that Kubernetes makes for services whose names begin as our prefix does.
var ofKubernetes = regexp.MustCompile(`^` + EnvPrefix + `(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT(?:_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)$`)

// warn tells of variables that look like ours and set nothing, except those that a secret is read from and
// those that Kubernetes makes.
func (c *Config) warn(strays []string, names func([]string) []string) []string {
	used := map[string]bool{}
	for _, s := range c.secrets() {
		used[s.Env] = true
	}
	bare := func(name string) string { return strings.ReplaceAll(strings.TrimPrefix(name, EnvPrefix), "_", "") }
	variables := map[string]string{} // by what is left without underscores, which are what people get wrong
	for _, path := range allKeys(configType, nil, names) {
		if path[0] == "version" {
			continue // belongs to the file
		}
		variables[bare(envSpelling.of(path...))] = envSpelling.of(path...)
	}
	var warnings []string
	for _, name := range strays {
		if used[name] || ofKubernetes.MatchString(name) {
			continue
		}
		fix := "; the keys are in `poundlock explain config`"
		if near := mirror.Nearest(strings.ToUpper(bare(name)), sortedKeys(variables)); near != "" {
			fix = "; did you mean " + variables[near] + "?"
		}
		warnings = append(warnings, mirror.Clean("the variable "+name+" sets nothing"+fix))
	}
	return warnings
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

// checkSecrets reads every secret once, so that a missing one is told at the start, at the line that refers to it.
func (c *Config) checkSecrets() mirror.Problems {
	var ps mirror.Problems
	for _, key := range sortedKeys(c.secrets()) {
		s := c.secrets()[key]
		_, err := s.Read()
		if err == nil {
			continue
		}
		fix, at := "", key
		if e, ok := errors.AsType[*secretError](err); ok {
			fix = e.fix
		}
		for _, way := range sortedKeys(s.keys()) {
			at = key + "." + way
		}
		text := err.Error()
		if where := c.placeOf(at); s.File != "" && sameFolder(s.File, where.File) {
			// A bare word may be the secret itself. Who looks at the place sees it.
			text = strings.ReplaceAll(text, s.File, filepath.Join(filepath.Dir(s.File), "***"))
		}
		ps.AddAt(key, "CFG017", c.placeOf(at), fix, "%s: %s", key, text)
	}
	if c.settings != nil {
		ps.Quote(c.settings.files, Config{})
	}
	return ps
}

// sameFolder says whether a file lies in the folder of the configuration file that names it: then it may have been
// named by a bare word.
func sameFolder(file, config string) bool {
	dir, err := filepath.Abs(filepath.Dir(config))
	return err != nil || dir == filepath.Dir(file)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
