package config

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"

	"github.com/poundlock/poundlock/internal/file"
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

// Check gives what is wrong with the text of a configuration file that does not exist yet, as Load would; name is how
// its problems call it.
func Check(name string, data []byte) error {
	r := &reader{k: koanf.New(keySeparator), settings: newSettings()}
	r.file(name, data, true)
	_, err := r.config(name)
	return err
}

// reader lays the layers over each other.
type reader struct {
	k        *koanf.Koanf
	settings *settings
	problems mirror.Problems
	broken   bool // a file cannot be read, so that what is missing may stand in it
	warnings []string
	strays   []string // variables that set nothing
	made     []string // warnings of names that only a variable or a flag has
	// check says what is wrong with the values; nil for all that a daemon needs.
	check func(Config, func(path ...string) mirror.Position) mirror.Problems
}

// files reads the configuration file and the files of its drop-in folder. The error means that there is no
// configuration file.
func (r *reader) files(name string) error {
	data, err := file.Read(name, mirror.MaxDocument)
	if err != nil && !errors.As(err, new(*file.TooLargeError)) {
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
		data, err := file.Read(name, mirror.MaxDocument)
		if err != nil && !errors.As(err, new(*file.TooLargeError)) {
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
	p := unreadable(name, err)
	if errors.Is(err, fs.ErrNotExist) {
		p.Fix = "name another with --config or POUNDLOCK_CONFIG, or write one with `poundlock init`"
	}
	return p
}

func (r *reader) unreadable(name string, err error) {
	r.problems, r.broken = append(r.problems, unreadable(name, err)), true
}

func unreadable(name string, err error) mirror.Problem {
	p := mirror.Unreadable(name, err)
	if errors.Is(err, file.ErrNotRegular) {
		p.What, p.Fix = "this is a pipe or a device, want a file", "write the configuration into a file and name that"
	}
	return p
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
		secrets: map[string]Secret{}, setBy: map[string]string{}, known: r.names([]string{"registries"})}
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
	r.made = append(r.made, o.made...)
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
	c.Warnings = slices.Concat(r.warnings, c.warn(r.strays, r.names), r.made, c.warnJitter())
	if !r.broken || len(r.problems) == 0 {
		check := r.check
		if check == nil {
			check = Config.validate
		}
		r.problems = r.problems.Plus(check(c, r.settings.place))
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

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
