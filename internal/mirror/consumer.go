package mirror

import (
	"path"
	"slices"
	"strings"
)

// ConsumersDir holds what clusters and groups of nodes run, one file each.
const ConsumersDir = "desired/consumers"

// Consumer is desired/consumers/<name>.yaml: a cluster or a group of nodes, what it runs and which files it wants.
type Consumer struct {
	Version int             `yaml:"version,required" jsonschema:"enum=1" jsonschema_description:"Version of this document; 1 is the only one there is."`
	Runs    []Use           `yaml:"runs,required" jsonschema:"minItems=1" jsonschema_description:"What runs there: sets, each at one stage, in the order in which a node asks where several stand for one upstream host."`
	Render  map[string]Node `yaml:"render,required" jsonschema_description:"Kinds of override files that are written to rendered/<site>/consumers/<name>/, with their options."`
	Where   Position

	doc  Node
	Name string
}

// Use is a set at a stage.
type Use struct {
	Set   string `yaml:"set,required" jsonschema:"example=ess" jsonschema_description:"Name of the set."`
	Stage Stage  `yaml:"stage,required" jsonschema:"example=production" jsonschema_description:"The stage that runs there."`
	Where Position
}

// KeyAt gives the place of a key in the file of the consumer.
func (c Consumer) KeyAt(path ...string) Position {
	last := len(path) - 1
	if n := c.doc.Find(path[:last]...); !n.IsZero() {
		return n.KeyWhere(path[last])
	}
	return c.Where
}

// parseConsumers reads all consumers. What they run must be there; of a set with mistakes of its own nothing is said.
func parseConsumers(files Files, sets []Set) ([]Consumer, Problems) {
	var all []Consumer
	var ps Problems
	for _, name := range files.Under(ConsumersDir) {
		base := strings.TrimSuffix(path.Base(name), path.Ext(name))
		switch ext := path.Ext(name); {
		case path.Dir(name) != ConsumersDir:
			continue
		case ext == ".yml" || ext == ".json": // read by nobody, its nodes would go on with what they have
			ps.Add("FLT001", Position{File: name}, "name it "+base+".yaml", "a consumer ends in .yaml")
			continue
		case ext != ".yaml":
			continue
		}
		c, problems := parseConsumer(base, name, files[name])
		ps = append(ps, problems...)
		for j, use := range c.Runs {
			if first := slices.IndexFunc(c.Runs, func(u Use) bool { return u.Set == use.Set && u.Stage == use.Stage }); first < j && use.Set != "" {
				ps.Add("FLT062", use.Where, "keep one of them", "runs: set %s at %s stands here again, first in line %d", use.Set, use.Stage, c.Runs[first].Where.Line)
				continue
			}
			i := slices.IndexFunc(sets, func(s Set) bool { return s.Name == use.Set })
			switch {
			case use.Set == "" || i >= 0 && sets[i].unsure:
			case i < 0:
				ps.Add("FLT060", use.Where, suggestSet(use.Set, Desired{Sets: sets}), "runs: there is no set %q", use.Set)
			case use.Stage != "" && !slices.Contains(sets[i].Stages, use.Stage):
				ps.Add("FLT061", use.Where, "its stages are "+strings.Join(stageNames(sets[i].Stages), ", "), "runs: set %s has no stage %q", use.Set, use.Stage)
			}
		}
		all = append(all, c)
	}
	return all, ps
}

func parseConsumer(name, file string, data []byte) (Consumer, Problems) {
	c := Consumer{Name: name, Where: Position{File: file}}
	doc, ps := ParseDocument(file, data)
	if ps.Stop() {
		return c, ps
	}
	c.doc = doc
	ps = append(ps, doc.Decode(&c)...)
	if doc.IsMapping() && !ps.Touch("version") {
		ps = append(ps, CheckVersion(c.Version, 1, doc.KeyWhere("version"))...)
		ps = append(ps, c.checkFilled(ps)...)
	}
	if _, err := ParseStage(name); err != nil {
		ps.Add("FLT002", Position{File: file}, "rename the file", "a consumer's name is part of paths: %q is not allowed", name)
	}
	return c, ps
}

// checkFilled tells of a consumer that says nothing: without sets or kinds no file is written, and nobody would notice.
func (c Consumer) checkFilled(told Problems) (ps Problems) {
	if !c.doc.Find("runs").IsZero() && len(c.Runs) == 0 && !told.Touch("runs") {
		ps.Add("FLT062", c.KeyAt("runs"), "write runs: [{set: ..., stage: ...}]", "runs names no set, so nothing is rendered")
	}
	if !c.doc.Find("render").IsZero() && len(c.Render) == 0 && !told.Touch("render") {
		ps.Add("FLT062", c.KeyAt("render"), "name a kind, as in render: {containerd: {}}; or delete the file", "render asks for no kind of file")
	}
	return ps
}
