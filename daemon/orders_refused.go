package daemon

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/git"
	"github.com/poundlock/poundlock/internal/mirror"
)

// The kinds of trouble that an exit code tells apart.
const (
	kindConfiguration = "configuration"
	kindUnauthorized  = "unauthorized"
	kindTemporary     = "temporary"
	kindLocked        = "locked"
)

// refuseOrder says why an order was not followed.
func refuseOrder(w http.ResponseWriter, problems mirror.Problems, err error) {
	refused := refusedOrder{Type: "problems", Version: 1, Problems: problems}
	var temporary interface{ Temporary() bool }
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, ErrLocked):
		status, refused.Kind = http.StatusConflict, kindLocked
	case errors.As(err, new(mirror.Problems)), errors.Is(err, config.ErrConfiguration):
		status, refused.Kind = http.StatusUnprocessableEntity, kindConfiguration
	case errors.Is(err, git.ErrUnauthorized):
		refused.Kind = kindUnauthorized
	case errors.As(err, &temporary) && temporary.Temporary(), errors.Is(err, git.ErrRejected):
		status, refused.Kind = http.StatusServiceUnavailable, kindTemporary
	}
	if deadline := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeWithin)); deadline != nil {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(refused) // a client that went away is nobody's error
}

// err gives the refusal as the error that the daemon had, as far as exit codes tell it apart.
func (r refusedOrder) err() error { return OrderError{r.Problems, r.Kind} }

// OrderError is why a daemon did not do what it was asked to.
type OrderError struct {
	Problems mirror.Problems
	kind     string
}

// Error lists the problems as the daemon told them.
func (e OrderError) Error() string {
	text := "daemon:"
	for _, p := range e.Problems {
		text += "\n" + p.Error()
	}
	return text
}

// Temporary says whether a retry may help.
func (e OrderError) Temporary() bool { return e.kind == kindTemporary }

// Unwrap gives the problems, and what the trouble is about.
func (e OrderError) Unwrap() []error {
	switch e.kind {
	case kindConfiguration:
		return []error{e.Problems}
	case kindUnauthorized:
		return []error{e.Problems[0], git.ErrUnauthorized}
	case kindLocked:
		return []error{e.Problems[0], ErrLocked}
	}
	return []error{e.Problems[0]}
}
