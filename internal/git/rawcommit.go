package git

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/poundlock/poundlock/internal/mirror"
)

// errCommit is a commit that Git itself would not have written.
var errCommit = errors.New("malformed commit")

// rawCommit is a commit as its bytes say, with what its signature is over. Signatures are never verified over a
// commit that was decoded and encoded again: what such a round trip drops would be signed by nobody.
type rawCommit struct {
	tree      plumbing.Hash
	parents   []plumbing.Hash
	author    string // name and address, as they stand
	subject   string // first line of the message
	message   string
	at        time.Time // of the committer; zero where it cannot be read
	payload   []byte    // what the signature is over
	signature string    // "" for none
}

// parseCommit reads a commit strictly: tree, parents, author, committer in this order and only there. The payload is
// the commit without its gpgsig headers, which is how Git makes it (parse_buffer_signed_by_header in its commit.c):
// the header gpgsig-sha256 is left out too, and everything else stays byte for byte, mergetag and encoding included.
// More than one gpgsig is refused, and any other header of that prefix: tools differ in which of them they show.
func parseCommit(body []byte) (rawCommit, error) {
	var c rawCommit
	head, message, ok := bytes.Cut(body, []byte("\n\n"))
	if !ok {
		if head, ok = bytes.CutSuffix(body, []byte("\n")); !ok {
			return c, fmt.Errorf("%w: cut off", errCommit)
		}
	}
	if bytes.IndexByte(head, 0) >= 0 {
		return c, fmt.Errorf("%w: NUL in its header", errCommit)
	}
	subject, _, _ := strings.Cut(strings.TrimLeft(string(message), "\n"), "\n")
	c.subject, c.message = subject, string(message)
	var payload, signature bytes.Buffer
	var seen []string // the headers so far
	for line := range bytes.Lines(append(slices.Clone(head), '\n')) {
		name, value, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), " ")
		if line[0] == ' ' {
			if len(seen) == 0 {
				return c, fmt.Errorf("%w: it begins with a blank", errCommit)
			}
			name = seen[len(seen)-1]
		} else {
			if name == "gpgsig" && slices.Contains(seen, name) {
				return c, fmt.Errorf("%w: more than one gpgsig header", errCommit)
			}
			if strings.HasPrefix(name, "gpgsig") && name != "gpgsig" && name != "gpgsig-sha256" {
				return c, fmt.Errorf("%w: a header %s, which is no signature", errCommit, mirror.Shorten(mirror.OneLine(name), 40))
			}
			if err := c.take(name, value, seen); err != nil {
				return c, err
			}
			seen = append(seen, name)
		}
		switch {
		case name == "gpgsig":
			signature.WriteString(value + "\n")
		case !strings.HasPrefix(name, "gpgsig"):
			payload.Write(line)
		}
	}
	if !slices.Contains(seen, "committer") {
		return c, fmt.Errorf("%w: it has no committer", errCommit)
	}
	payload.Write(body[min(len(body), len(head)+1):])
	c.payload, c.signature = payload.Bytes(), signature.String()
	return c, nil
}

// take reads one header that follows those in seen.
func (c *rawCommit) take(name, value string, seen []string) error {
	last := ""
	if len(seen) > 0 {
		last = seen[len(seen)-1]
	}
	before := map[string][]string{"tree": {""}, "parent": {"tree", "parent"}, "author": {"tree", "parent"}, "committer": {"author"}}
	if after, known := before[name]; known && !slices.Contains(after, last) || !known && !slices.Contains(seen, "committer") {
		return fmt.Errorf("%w: its headers are out of order", errCommit)
	}
	switch name {
	case "tree", "parent":
		id := plumbing.NewHash(value)
		if id.String() != value {
			return fmt.Errorf("%w: %s is no id", errCommit, name)
		}
		if name == "tree" {
			c.tree = id
		} else {
			c.parents = append(c.parents, id)
		}
	case "author":
		c.author = value[:strings.LastIndexByte(value, '>')+1]
	case "committer":
		c.at = committedAt(value)
	}
	return nil
}

// committedAt reads the seconds since 1970 that stand after the address.
func committedAt(value string) time.Time {
	fields := strings.Fields(value[strings.LastIndexByte(value, '>')+1:])
	if len(fields) == 0 {
		return time.Time{}
	}
	seconds, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil || seconds <= 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}

// raw reads a commit for its signature. The error is errCommit where its bytes could be read in two ways: then the
// files that are read at it might not be those that were signed.
func (r *Repo) raw(id plumbing.Hash) (rawCommit, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	body, err := r.object(plumbing.CommitObject, id, maxTree)
	var size *sizeError
	if errors.As(err, &size) {
		return rawCommit{}, fmt.Errorf("%w: it has %d bytes", errCommit, size.size)
	}
	if err != nil {
		return rawCommit{}, err
	}
	c, err := parseCommit(body)
	if err != nil {
		return c, err
	}
	o := &plumbing.MemoryObject{}
	o.SetType(plumbing.CommitObject)
	_, _ = o.Write(body) // memory
	var read object.Commit
	if err := read.Decode(o); err != nil || read.TreeHash != c.tree || !slices.Equal(read.ParentHashes, c.parents) {
		return c, fmt.Errorf("%w: it can be read in two ways", errCommit)
	}
	return c, nil
}
