package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/hmarr/codeowners"

	"github.com/poundlock/poundlock/internal/forge"
	"github.com/poundlock/poundlock/internal/mirror"
)

// codeownersFiles are the places of CODEOWNERS in a repository, of which the first that is there counts.
var codeownersFiles = []string{".github/CODEOWNERS", ".gitlab/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS"}

// owners says of a login whether CODEOWNERS of all of some commits names them for all of some files, which are relative
// to git.path. Where there is no such file nobody owns anything. Teams are asked of the forge; an address of mail is
// nobody's login.
func (l *Line) owners(ctx context.Context, commits, files []string) (func(login string) (bool, error), error) {
	var named [][]codeowners.Owner // of each file at each commit
	for _, commit := range commits {
		rules, err := l.codeowners(commit)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			rule, err := rules.Match(strings.Trim(l.config.Git.Path+"/"+file, "/"))
			if err != nil {
				return nil, fmt.Errorf("CODEOWNERS: %s: %w", file, err)
			}
			var owners []codeowners.Owner
			if rule != nil {
				owners = rule.Owners
			}
			named = append(named, owners)
		}
	}
	teams := map[string][]string{}
	return func(login string) (bool, error) {
		for _, owners := range named {
			owns, err := l.isOneOf(ctx, owners, login, teams)
			if err != nil || !owns {
				return false, err
			}
		}
		return len(named) > 0, nil
	}, nil
}

func (l *Line) isOneOf(ctx context.Context, owners []codeowners.Owner, login string, teams map[string][]string) (bool, error) {
	for _, o := range owners {
		switch o.Type {
		case codeowners.UsernameOwner:
			if strings.EqualFold(o.Value, login) {
				return true, nil
			}
		case codeowners.TeamOwner:
			members, known := teams[o.Value]
			if !known {
				var err error
				if members, err = l.forge.Members(ctx, o.Value); err != nil && !errors.Is(err, forge.ErrNotFound) {
					return false, fmt.Errorf("ask who is in team %s: %w", o.Value, err)
				}
				teams[o.Value] = members
			}
			for _, m := range members {
				if strings.EqualFold(m, login) {
					return true, nil
				}
			}
		}
	}
	return false, nil
}

// codeowners reads the rules of a commit. A file that cannot be parsed is an error: nobody knows whom it means.
func (l *Line) codeowners(commit string) (codeowners.Ruleset, error) {
	for _, name := range codeownersFiles {
		data, err := l.git.RootFile(commit, name)
		if err != nil {
			return nil, fmt.Errorf("CODEOWNERS: %w", err)
		}
		if data == nil {
			continue
		}
		rules, err := codeowners.ParseFile(bytes.NewReader(data), codeowners.WithOwnerMatchers(ownerForms))
		if err != nil {
			return nil, fmt.Errorf("%s: %s", name, mirror.OneLine(err.Error()))
		}
		return rules, nil
	}
	return nil, nil
}

// Logins and teams of all forges; a team may lie in a group of groups.
var (
	loginForm = regexp.MustCompile(`^@([A-Za-z0-9][A-Za-z0-9._-]*)$`)
	teamForm  = regexp.MustCompile(`^@([A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)+)$`)
)

// ownerForms are how an owner may be written. What is none of them, such as a role, is nobody.
var ownerForms = []codeowners.OwnerMatcher{
	codeowners.OwnerMatchFunc(codeowners.MatchEmailOwner),
	codeowners.OwnerMatchFunc(func(s string) (codeowners.Owner, error) { return ownerOf(teamForm, codeowners.TeamOwner, s) }),
	codeowners.OwnerMatchFunc(func(s string) (codeowners.Owner, error) { return ownerOf(loginForm, codeowners.UsernameOwner, s) }),
	codeowners.OwnerMatchFunc(func(s string) (codeowners.Owner, error) { return codeowners.Owner{Value: s}, nil }),
}

func ownerOf(form *regexp.Regexp, kind, text string) (codeowners.Owner, error) {
	m := form.FindStringSubmatch(text)
	if m == nil {
		return codeowners.Owner{}, codeowners.ErrNoMatch
	}
	return codeowners.Owner{Value: m[1], Type: kind}, nil
}
