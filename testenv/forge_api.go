package testenv

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const maxForgeBody = 4 << 20 // bytes of one request to the API

// asked is one request to the API of a Forge, under its lock.
type asked struct {
	*Forge
	w    http.ResponseWriter
	r    *http.Request
	user *forgeUser
	body map[string]any
}

// refusal is an answer that is not what was asked for.
type refusal struct {
	status  int
	message string
	errors  []any // GitHub's details
}

func (r *refusal) Error() string { return r.message }

// created is an answer with status 201.
type created struct{ body any }

// face is the API of a kind of forge.
type face struct {
	*Forge
	mux    *http.ServeMux
	prefix string
	// allowed says why a request may not be made by a user who may do what need says; nil: it may.
	allowed func(a *asked, need string) *refusal
	refuse  func(w http.ResponseWriter, r *refusal)
	token   func(r *http.Request) string
}

// on answers requests of a method and path. need is what the user has to be able to do: nothing (""), read, write or
// admin, and after a colon what with, such as write:issue.
func (c *face) on(pattern, need string, do func(*asked) (any, error)) {
	method, path, _ := strings.Cut(pattern, " ")
	c.mux.HandleFunc(method+" "+c.prefix+path, func(w http.ResponseWriter, r *http.Request) {
		body, err := readJSON(r)
		if err != nil {
			c.refuse(w, &refusal{status: http.StatusBadRequest, message: "malformed body"})
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		a := &asked{Forge: c.Forge, w: w, r: r, body: body, user: c.byToken(c.token(r))}
		if no := c.admit(a, need); no != nil {
			c.refuse(w, no)
			return
		}
		answer, err := do(a)
		if err != nil {
			c.refuse(w, refusalOf(err))
			return
		}
		status := http.StatusOK
		if m, ok := answer.(created); ok {
			status, answer = http.StatusCreated, m.body
		}
		writeJSON(w, status, answer)
	})
}

var roles = []string{"none", "read", "write", "admin"}

// admit says why a request may not be made; nil: it may.
func (c *face) admit(a *asked, need string) *refusal {
	if a.user == nil && need != "public" {
		return &refusal{status: http.StatusUnauthorized, message: "Bad credentials"}
	}
	if need == "" || need == "public" {
		return nil
	}
	if o, n := a.r.PathValue("owner"), a.r.PathValue("repo"); o != "" && n != "" && o+"/"+n != forgeRepository {
		return &refusal{status: http.StatusNotFound, message: "Not Found"}
	}
	if p := a.r.PathValue("project"); p != "" && p != forgeRepository && p != "1" {
		return &refusal{status: http.StatusNotFound, message: "404 Project Not Found"}
	}
	if slices.Index(roles, a.user.role) < 1 {
		return &refusal{status: http.StatusNotFound, message: "Not Found"}
	}
	if no := c.allowed(a, need); no != nil {
		return no
	}
	level, _, _ := strings.Cut(need, ":")
	if slices.Index(roles, a.user.role) < slices.Index(roles, level) {
		return &refusal{status: http.StatusForbidden, message: "Must have " + level + " access to the repository"}
	}
	return nil
}

func refusalOf(err error) *refusal {
	var r *refusal
	switch {
	case errors.As(err, &r):
		return r
	case errors.Is(err, ErrForgeMissing):
		return &refusal{status: http.StatusNotFound, message: "Not Found"}
	case errors.Is(err, ErrForgeThere):
		return &refusal{status: http.StatusConflict, message: err.Error()}
	case errors.Is(err, ErrForgeConflict), errors.Is(err, ErrForgeRefused):
		return &refusal{status: http.StatusMethodNotAllowed, message: err.Error()}
	}
	return &refusal{status: http.StatusUnprocessableEntity, message: err.Error()}
}

func readJSON(r *http.Request) (map[string]any, error) {
	data, err := io.ReadAll(io.LimitReader(r.Body, maxForgeBody))
	if err != nil || len(data) == 0 {
		return map[string]any{}, err
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		form, err := url.ParseQuery(string(data))
		body := map[string]any{}
		for k, v := range form {
			body[k] = v[0]
		}
		return body, err
	}
	var body any
	if err := json.Unmarshal(data, &body); err != nil {
		return nil, err
	}
	if m, ok := body.(map[string]any); ok {
		return m, nil
	}
	return map[string]any{"": body}, nil
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if body == nil {
		w.WriteHeader(status)
		return
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a client that is gone asks again
}

// text gives a field of the body; ok says whether it is there.
func (a *asked) text(field string) (value string, ok bool) {
	value, ok = a.body[field].(string)
	return value, ok
}

func (a *asked) field(field string) string {
	v, _ := a.text(field)
	return v
}

// texts gives a field of the body that is a list, or names with commas between them.
func (a *asked) texts(field string) []string {
	var all []string
	switch v := a.body[field].(type) {
	case []any:
		for _, x := range v {
			switch x := x.(type) {
			case string:
				all = append(all, x)
			case float64:
				all = append(all, a.labelName(int64(x)))
			}
		}
	case string:
		for _, x := range strings.Split(v, ",") {
			if x = strings.TrimSpace(x); x != "" {
				all = append(all, x)
			}
		}
	}
	return all
}

func (a *asked) labelName(id int64) string {
	for _, l := range a.labels {
		if l.id == id {
			return l.name
		}
	}
	return ""
}

func (a *asked) number(name string) int {
	n, _ := strconv.Atoi(a.r.PathValue(name))
	return n
}

// this gives the proposal that the path names.
func (a *asked) this() (*ForgeProposal, error) { return a.proposal(a.number("n")) }

// query gives a parameter of the address.
func (a *asked) query(name string) string { return a.r.URL.Query().Get(name) }
