package render

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"text/template"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Limits of one execution of a template. They count what it does, not how long that takes: a template that passes on one
// machine passes on all.
const (
	maxTemplateOutput = 4 << 20   // bytes of the file
	maxTemplateText   = 256 << 10 // bytes of one text that a function makes
	maxTemplateWork   = 64 << 20  // bytes that go through functions
	maxTemplateSteps  = 100_000   // actions, counted for each pass of a loop and each call of a template by the length of their text
	stepsForImage     = 1_000     // and so many more for each image
)

// stepFunction is called at the beginning of every pass of a loop and of every template.
const stepFunction = "countSteps"

// budget counts what one execution does.
type budget struct {
	steps, bytes int
	images       []templateImage
}

var errTemplateTooMuch = errors.New("the template does too much: it repeats more than its images need, or its texts grow")

func (b *budget) step(weight int) (string, error) {
	if b.steps += weight; b.steps > maxTemplateSteps+stepsForImage*len(b.images) {
		return "", errTemplateTooMuch
	}
	return "", nil
}

// take counts what a function is given, and a little for the call. What it makes is a small multiple of that.
func (b *budget) take(given ...any) error {
	size := 64
	for _, one := range given {
		size += b.size(one)
	}
	if b.bytes += size; size > maxTemplateText || b.bytes > maxTemplateWork {
		return errTemplateTooMuch
	}
	return nil
}

// size gives at least the bytes that a value has as text.
func (b *budget) size(v any) int {
	switch v := v.(type) {
	case string:
		return len(v)
	case []string:
		return len(strings.Join(v, " "))
	case templateReference:
		return 2 * (len(v.Ref) + 64)
	case templateImage:
		return len(v.Entry) + b.size(v.Upstream) + b.size(v.Local)
	case []templateImage, templateData:
		size := 1 << 10
		for _, i := range b.images {
			size += b.size(i)
		}
		return size
	}
	return 64
}

// Verbs of printf with a width or precision of more than three digits, and with one of more than one. The number of an
// argument, as in %[12]s, is neither.
var (
	wideVerb       = regexp.MustCompile(`%[^a-zA-Z%]*([0-9]{4,}|\*)`)
	paddedVerb     = regexp.MustCompile(`%[^a-zA-Z%]*[0-9]{2}`)
	argumentNumber = regexp.MustCompile(`\[[0-9]+\]`)
)

func (b *budget) printf(format string, args ...any) (string, error) {
	if err := b.take(append(args, format)...); err != nil {
		return "", err
	}
	verbs := argumentNumber.ReplaceAllString(format, "")
	if wideVerb.MatchString(verbs) {
		return "", errors.New("a width of more than three digits, or *, is not for templates")
	}
	padded := paddedVerb.MatchString(verbs)
	widest := 1000 // a width of three digits pads an empty argument, too
	for _, one := range args {
		if kind := reflect.ValueOf(one).Kind(); padded && (kind == reflect.Slice || kind == reflect.Struct) {
			return "", errors.New("a width pads each part of a list: write a loop instead")
		}
		widest = max(widest, b.size(one))
	}
	// A verb may take any of the arguments, as %[1]s does.
	if strings.Count(format, "%")*widest > maxTemplateText {
		return "", errTemplateTooMuch
	}
	made := fmt.Sprintf(format, args...)
	return made, b.takeBytes(len(made))
}

func (b *budget) json(v any) (string, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	return string(data), b.takeBytes(len(data))
}

// takeBytes counts a text whose length is known only when it is made. It may be as long as a file: that of all images is.
func (b *budget) takeBytes(n int) error {
	if b.bytes += n; n > maxTemplateOutput || b.bytes > maxTemplateWork {
		return errTemplateTooMuch
	}
	return nil
}

func (b *budget) indent(spaces int, s string) (string, error) {
	if spaces < 0 || spaces > 100 {
		return "", fmt.Errorf("indent by %d: want 0 to 100 spaces", spaces)
	}
	pad := strings.Repeat(" ", spaces)
	if err := b.takeBytes(len(s) + (strings.Count(s, "\n")+1)*spaces); err != nil {
		return "", err
	}
	return pad + strings.ReplaceAll(s, "\n", "\n"+pad), nil
}

func (b *budget) replace(old, with, s string) (string, error) {
	if err := b.takeBytes(len(s) + (strings.Count(s, old)+1)*len(with)); err != nil {
		return "", err
	}
	return strings.ReplaceAll(s, old, with), nil
}

func (b *budget) split(by, s string) ([]string, error) {
	if err := b.takeBytes(16 * len(s)); err != nil {
		return nil, err
	}
	return strings.Split(s, by), nil
}

func (b *budget) join(by string, list []string) (string, error) {
	if err := b.takeBytes(b.size(list) + len(by)*len(list)); err != nil {
		return "", err
	}
	return strings.Join(list, by), nil
}

// image gives what stands for an entry. A missing one is a mistake: the file would be without it.
func (b *budget) image(entry string) (templateImage, error) {
	if err := b.takeBytes(len(b.images)); err != nil {
		return templateImage{}, err
	}
	for _, i := range b.images {
		if i.Entry == entry {
			return i, nil
		}
	}
	names := make([]string, len(b.images))
	for n, i := range b.images {
		names[n] = i.Entry
	}
	return templateImage{}, fmt.Errorf("no entry %q stands here; %s", entry, mirror.Suggest(entry, names))
}

// templateFunctions gives the functions of templates. Those of text/template that make texts are among them, so that
// they count, too.
func templateFunctions(b *budget) template.FuncMap {
	counted := func(f func(args ...any) string) func(args ...any) (string, error) {
		return func(args ...any) (string, error) {
			if err := b.take(args...); err != nil {
				return "", err
			}
			return f(args...), nil
		}
	}
	return template.FuncMap{
		stepFunction: b.step,
		"print":      counted(fmt.Sprint),
		"println":    counted(fmt.Sprintln),
		"printf":     b.printf,
		"html":       counted(template.HTMLEscaper),
		"js":         counted(template.JSEscaper),
		"urlquery":   counted(template.URLQueryEscaper),
		"quote":      func(s string) (string, error) { return strconv.Quote(s), b.take(s) },
		"toJson":     b.json,
		"indent":     b.indent,
		"lower":      func(s string) (string, error) { return strings.ToLower(s), b.take(s) },
		"upper":      func(s string) (string, error) { return strings.ToUpper(s), b.take(s) },
		"replace":    b.replace,
		"trimPrefix": func(prefix, s string) (string, error) { return strings.TrimPrefix(s, prefix), b.takeBytes(len(prefix)) },
		"trimSuffix": func(suffix, s string) (string, error) { return strings.TrimSuffix(s, suffix), b.takeBytes(len(suffix)) },
		"hasPrefix":  func(prefix, s string) (bool, error) { return strings.HasPrefix(s, prefix), b.takeBytes(len(prefix)) },
		"hasSuffix":  func(suffix, s string) (bool, error) { return strings.HasSuffix(s, suffix), b.takeBytes(len(suffix)) },
		"contains":   func(part, s string) (bool, error) { return strings.Contains(s, part), b.takeBytes(len(s)) },
		"eq":         b.eq,
		"ne":         func(x, y any) (bool, error) { same, err := b.eq(x, y); return !same, err },
		"lt":         func(x, y any) (bool, error) { order, err := b.compare(x, y); return order < 0, err },
		"le":         func(x, y any) (bool, error) { order, err := b.compare(x, y); return order <= 0, err },
		"gt":         func(x, y any) (bool, error) { order, err := b.compare(x, y); return order > 0, err },
		"ge":         func(x, y any) (bool, error) { order, err := b.compare(x, y); return order >= 0, err },
		"split":      b.split,
		"join":       b.join,
		"image":      b.image,
	}
}
