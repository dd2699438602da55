package render

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"text/template"
	"text/template/parse"

	"github.com/poundlock/poundlock/internal/mirror"
)

// maxTemplate bounds the template itself, in bytes.
const maxTemplate = 256 << 10

// hermetic is a template whose functions reach nothing outside of it.
type hermetic struct {
	file string
	tmpl *template.Template
}

// compile reads a template and refuses what would not end.
func compile(file, text string) (hermetic, mirror.Problems) {
	var ps mirror.Problems
	if len(text) > maxTemplate {
		ps.Add("RND072", mirror.Position{File: file}, "split it", "the template is larger than %d KiB", maxTemplate>>10)
		return hermetic{}, ps
	}
	functions := templateFunctions(&budget{})
	delete(functions, stepFunction) // a template that calls it itself would give itself steps
	tmpl, err := template.New(file).Option("missingkey=error").Funcs(functions).Parse(text)
	if err != nil {
		p := templateProblem("RND072", file, err)
		p.Fix = "see https://pkg.go.dev/text/template and `poundlock help overrides-clusters` for the functions"
		return hermetic{}, append(ps, p)
	}
	calls := map[string][]string{}
	for _, t := range tmpl.Templates() {
		if t.Tree != nil {
			first := stepNode(t.Tree.Root)
			calls[t.Name()] = counted(t.Tree.Root)
			t.Tree.Root.Nodes = append([]parse.Node{first}, t.Tree.Root.Nodes...)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(calls)) {
		if reaches(calls, name, name, nil) {
			ps.Add("RND072", mirror.Position{File: file}, "write a loop instead", "the template %q calls itself", mirror.OneLine(name))
			return hermetic{}, ps
		}
	}
	return hermetic{file, tmpl}, nil
}

// reaches says whether a template comes to another one by calls.
func reaches(calls map[string][]string, from, to string, seen map[string]bool) bool {
	if seen == nil {
		seen = map[string]bool{}
	}
	for _, next := range calls[from] {
		if next == to {
			return true
		}
		if !seen[next] {
			seen[next] = true
			if reaches(calls, next, to, seen) {
				return true
			}
		}
	}
	return false
}

// counted puts a step into every loop below a node and gives the templates that it calls.
func counted(n parse.Node) (called []string) {
	branch := func(b *parse.BranchNode) {
		called = append(called, counted(b.List)...)
		if b.ElseList != nil {
			called = append(called, counted(b.ElseList)...)
		}
	}
	switch n := n.(type) {
	case *parse.ListNode:
		for _, one := range n.Nodes {
			called = append(called, counted(one)...)
		}
	case *parse.RangeNode:
		first := stepNode(n.List)
		branch(&n.BranchNode)
		n.List.Nodes = append([]parse.Node{first}, n.List.Nodes...)
	case *parse.IfNode:
		branch(&n.BranchNode)
	case *parse.WithNode:
		branch(&n.BranchNode)
	case *parse.TemplateNode:
		called = append(called, n.Name)
	}
	return called
}

// stepNode is the action of a template that counts what is below a node, about one for each short word.
func stepNode(below parse.Node) parse.Node {
	weight := 1 + len(below.String())/16
	return &parse.ActionNode{NodeType: parse.NodeAction, Pipe: &parse.PipeNode{NodeType: parse.NodePipe, Cmds: []*parse.CommandNode{
		{NodeType: parse.NodeCommand, Args: []parse.Node{parse.NewIdentifier(stepFunction),
			&parse.NumberNode{NodeType: parse.NodeNumber, IsInt: true, Int64: int64(weight), Text: strconv.Itoa(weight)}}}}}}
}

// bounded takes text up to the limit of a file.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxTemplateOutput {
		return 0, fmt.Errorf("the file would be larger than %d MiB", maxTemplateOutput>>20)
	}
	return b.Buffer.Write(p)
}

// execute makes the text of a template.
func (h hermetic) execute(data templateData) ([]byte, mirror.Problems) {
	var out bounded
	b := &budget{images: data.Images}
	if err := h.tmpl.Funcs(templateFunctions(b)).Execute(&out, data); err != nil {
		p := templateProblem("RND073", h.file, err)
		p.Fix = "mend the template"
		return nil, mirror.Problems{p}
	}
	return out.Bytes(), nil
}

// templatePlace is how text/template begins a message: template: name:line:column: executing "name" at <x>: ...
var templatePlace = regexp.MustCompile(`^template: .*?:(\d+)(?::(\d+))?: (?:executing "[^"]*" )?`)

func templateProblem(code, file string, err error) mirror.Problem {
	p := mirror.Problem{Code: code, Where: mirror.Position{File: file}, What: mirror.Clean(err.Error())}
	if m := templatePlace.FindStringSubmatch(err.Error()); m != nil {
		p.Where.Line, _ = strconv.Atoi(m[1])
		if column, _ := strconv.Atoi(m[2]); column > 0 {
			p.Where.Column = column + 1 // text/template counts columns from 0
		}
		p.What = mirror.Clean("the template: " + err.Error()[len(m[0]):])
	}
	return p
}
