package git

import "time"

// When gives when a commit was made by the clock of who made it; where one that it was built on is of later, when that
// was made. It says of a clock that shows an earlier time that it is wrong, or the one of that person.
func (r *Repo) When(commit string) (time.Time, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, c, err := r.named(commit)
	if err != nil {
		return time.Time{}, err
	}
	latest := c.Committer.When
	for _, id := range c.ParentHashes {
		if !r.holdsCommit(id.String()) {
			continue // the clone ends here
		}
		parent, err := r.commit(id)
		if err != nil {
			return time.Time{}, err
		}
		if at := parent.Committer.When; at.After(latest) {
			latest = at
		}
	}
	return latest, nil
}
