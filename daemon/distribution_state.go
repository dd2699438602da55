package daemon

import (
	"encoding/json"

	"github.com/poundlock/poundlock/internal/mirror"
)

// bucketDistributions holds the distribution image that we made last of each stage, by set/stage.
var bucketDistributions = []byte("distributions")

// madeDistribution is a distribution image that we made and that lay in the local registry then.
type madeDistribution struct {
	Recipe string                   `json:"recipe"` // what it was made of
	Digest mirror.Digest            `json:"digest,omitzero"`
	Layers map[string]mirror.Digest `json:"layers,omitempty"` // by their keys
}

// Distributed gives the distribution image that we made last of a stage; the zero value where none is known.
func (s *State) Distributed(set string, stage mirror.Stage) (made madeDistribution) {
	text, _ := s.get(bucketDistributions, set+"/"+string(stage))
	if json.Unmarshal([]byte(text), &made) != nil {
		return madeDistribution{}
	}
	return made
}

// SetDistributed remembers the distribution image of a stage.
func (s *State) SetDistributed(set string, stage mirror.Stage, made madeDistribution) error {
	text, err := json.Marshal(made)
	if err != nil {
		return err
	}
	return s.put(bucketDistributions, map[string]string{set + "/" + string(stage): string(text)})
}
