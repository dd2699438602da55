package render

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

func init() {
	register("template", kind{reach: forSets, check: checkTemplate, files: templateFiles, options: templateOptions{}, proof: proveTemplate,
		about: "The last resort: files of any other form, made by Go text/templates of the fleet repository from what stands."})
}

// templateOptions are the options of kind template.
type templateOptions struct {
	Files []templateFile `yaml:"files,required" jsonschema:"minItems=1" jsonschema_description:"The files that are written, each from a template."`
	Where mirror.Position
}

// templateFile is one file that a template makes.
type templateFile struct {
	Name  string `yaml:"name,required" jsonschema:"example=values.yaml" jsonschema_description:"Name of the file in the folder of the stage; .yaml, .yml and .json must be readable as such."`
	From  string `yaml:"from,required" jsonschema:"example=templates/values.tmpl" jsonschema_description:"The template (Go text/template), relative to desired/."`
	Where mirror.Position
}

var plainFile = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

func checkTemplate(r request) mirror.Problems {
	var o templateOptions
	ps := r.options.DecodeAs("render.template", &o)
	if len(ps) > 0 {
		return ps
	}
	names := map[string]bool{}
	for i, f := range o.Files {
		where := r.options.Find("files", fmt.Sprint(i), "name").Where()
		switch {
		case !plainFile.MatchString(f.Name):
			ps.Add("RND071", where, "use letters, digits, . _ and -", "render.template: %q is no name of a file in one folder", f.Name)
		case strings.EqualFold(f.Name, kustomizationFile), strings.EqualFold(f.Name, "kustomization.yml"), strings.EqualFold(f.Name, "kustomization"):
			ps.Add("RND071", where, "use another name", "render.template: %s is what makes the folder applyable, and written by others", f.Name)
		case names[f.Name]:
			ps.Add("RND071", where, "use another name", "render.template: two templates write %s", f.Name)
		}
		names[f.Name] = true
		_, problems := readTemplate(r.files, f, r.options.Find("files", fmt.Sprint(i), "from").Where())
		ps = append(ps, problems...)
	}
	return ps
}

// readTemplate finds and compiles the template of a file.
func readTemplate(files mirror.Files, f templateFile, where mirror.Position) (t hermetic, ps mirror.Problems) {
	name := path.Join("desired", f.From)
	data, there := files[name]
	if !there || path.IsAbs(f.From) || !strings.HasPrefix(name, "desired/") {
		var known []string
		for _, file := range files.Under("desired") {
			known = append(known, strings.TrimPrefix(file, "desired/"))
		}
		fix := "add the file, and name it relative to desired/"
		if near := mirror.Nearest(f.From, known); near != "" {
			fix = fmt.Sprintf("did you mean %q?", near)
		}
		ps.Add("RND071", where, fix, "render.template: there is no file %s", mirror.OneLine(name))
		return t, ps
	}
	if ps = mirror.CheckText(name, data); len(ps) > 0 {
		return t, ps
	}
	return compile(name, string(data))
}

// templateData is what a template sees.
type templateData struct {
	Site, Set, Stage string
	Registry         string // the local one, host[:port]
	Images           []templateImage
}

// templateImage is one entry that stands, in the order of the names.
type templateImage struct {
	Entry    string            `json:"entry"`
	Upstream templateReference `json:"upstream"`
	Local    templateReference `json:"local"`
}

// templateReference is a reference in parts. Ref is all of it: host/repository:tag@digest.
type templateReference struct {
	Ref        string `json:"ref"`
	Name       string `json:"name"`
	Host       string `json:"host"`
	Repository string `json:"repository"`
	Tag        string `json:"tag"`
	Digest     string `json:"digest"`
}

func templateReferenceOf(r mirror.Reference) templateReference {
	return templateReference{r.String(), r.Name(), r.Host, r.Repository, r.Tag, r.Digest.String()}
}

func templateDataOf(s scene) templateData {
	one := s.parts[0]
	d := templateData{Site: s.local.Site, Set: one.set.Name, Stage: string(one.name), Registry: s.local.Host}
	for _, i := range s.images() {
		d.Images = append(d.Images, templateImage{i.entry, templateReferenceOf(i.upstream), templateReferenceOf(i.local)})
	}
	slices.SortFunc(d.Images, func(a, b templateImage) int { return strings.Compare(a.Entry, b.Entry) })
	return d
}

// templateFiles leaves out a file whose template fails; proveTemplate tells why, and nothing of the folder is written.
func templateFiles(s scene, options mirror.Node) overrides {
	files, _ := executeAll(s, options)
	return overrides{files: files}
}

func proveTemplate(s scene, options mirror.Node, _ mirror.Files) mirror.Problems {
	files, ps := executeAll(s, options)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		data := files[name]
		var wrong mirror.Problems
		switch path.Ext(name) {
		case ".json":
			if !json.Valid(data) {
				wrong.Add("", mirror.Position{File: name}, "", "it is no JSON")
			}
		case ".yaml", ".yml":
			_, wrong = mirror.ParseDocuments(name, data)
		}
		for _, p := range wrong {
			ps.Add("RND074", p.Where, "mend the template", "the template makes a file that cannot be read: %s", p.What)
		}
	}
	return ps
}

func executeAll(s scene, options mirror.Node) (mirror.Files, mirror.Problems) {
	var o templateOptions
	_ = options.DecodeAs("", &o) // checked before
	files, data := mirror.Files{}, templateDataOf(s)
	var ps mirror.Problems
	for i, f := range o.Files {
		t, problems := readTemplate(s.files, f, options.Find("files", fmt.Sprint(i), "from").Where())
		if ps = append(ps, problems...); len(problems) > 0 {
			continue
		}
		text, problems := t.execute(data)
		if ps = append(ps, problems...); len(problems) == 0 {
			files[f.Name] = text
		}
	}
	return files, ps
}
