package registry

import (
	"context"
	"net/http"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Delete takes away the tag of r or, without a tag, its manifest. What is not there is mirror.ErrNotFound; a
// registry that does not delete answers 405, and some delete manifests but no tags.
func (c *Client) Delete(ctx context.Context, r mirror.Reference) (err error) {
	defer func() { err = c.discreet(err) }()
	q, err := c.manifestRequest("delete", http.MethodDelete, r)
	if err != nil {
		return err
	}
	q.success = []int{http.StatusAccepted, http.StatusOK, http.StatusNoContent}
	_, _, err = c.send(ctx, q)
	return err
}
