package daemon

import (
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// What a look shows: these are the documents of `get`, `diff` and `trace`.

// Look is what a site wants and what stands there, read once: from the fleet repository, its record and what
// this state remembers of runs and events. No registry is asked.
type Look struct {
	Commit string    `json:"commit"` // of the fleet repository
	Sets   []SetLook `json:"sets"`
}

// SetLook is a set in short.
type SetLook struct {
	Set       string             `json:"set"`
	Source    string             `json:"source"` // its kind
	Layout    string             `json:"layout"`
	Atomic    bool               `json:"atomic"`             // above the first stage all entries move together
	Packages  bool               `json:"packages,omitempty"` // its entries are packages, its stages channels
	Entries   int                `json:"entries"`
	Suspended *mirror.Suspension `json:"suspended,omitempty"`
	Stages    []StageLook        `json:"stages"`
	Frozen    []FrozenLook       `json:"frozen,omitempty"` // channels of packages that never change, by name
	LastRun   *Run               `json:"lastRun,omitempty"`
	Where     mirror.Position    `json:"where"`

	Lines []EntryLook `json:"-"` // by name
}

// StageLook is one stage of a set in short.
type StageLook struct {
	Set      string       `json:"set"`
	Stage    mirror.Stage `json:"stage"`
	Atomic   bool         `json:"atomic"`
	Wanted   int          `json:"wanted"`            // entries that are asked for
	AsWanted int          `json:"asWanted"`          // of those, how many stand as asked
	Standing int          `json:"standing"`          // entries that stand at all
	Waiting  int          `json:"waiting,omitempty"` // of those that are asked for and do not stand, how many wait at a gate
	Changed  time.Time    `json:"changed,omitzero"`
	Commit   string       `json:"commit,omitempty"` // the commit of desired/ or stages/ that asked for the last change
	Frozen   mirror.Stage `json:"frozen,omitempty"` // of a frozen channel of packages, which get stages lists too: the stage that was frozen
}

// FrozenLook is a frozen channel of a set of packages.
type FrozenLook struct {
	Name     string       `json:"name"`
	From     mirror.Stage `json:"from"` // the stage that was frozen
	Packages int          `json:"packages"`

	Lines []mirror.Wanted `json:"-"` // what it holds, by entry
}

// EntryLook is one entry and where it stands.
type EntryLook struct {
	Set    string           `json:"set"`
	Entry  string           `json:"entry"`
	Image  mirror.Reference `json:"image"` // as the source names it
	Where  mirror.Position  `json:"where"`
	Stages []Stand          `json:"stages"`
}

// Stand is one entry at one stage: what is wanted there, what stands there, and what is in the way.
type Stand struct {
	Stage   mirror.Stage     `json:"stage"`
	State   StandState       `json:"state"`
	Image   mirror.Reference `json:"image,omitzero"`  // stands
	Wanted  mirror.Reference `json:"wanted,omitzero"` // asked for
	Where   mirror.Position  `json:"where,omitzero"`  // the line that asks
	Since   time.Time        `json:"since,omitzero"`
	Basis   string           `json:"basis,omitempty"`
	Vouch   string           `json:"vouch,omitempty"`  // the commit whose desired/ names the digest
	Commit  string           `json:"commit,omitempty"` // the commit that asked for what stands
	Trouble *Trouble         `json:"trouble,omitempty"`
	Waits   *Wait            `json:"waits,omitempty"`  // why what is asked for does not stand yet
	Hold    *mirror.Hold     `json:"hold,omitempty"`   // automation leaves it as it is
	Remark  *Remark          `json:"remark,omitempty"` // what policy has more to say of than yes or no
}

// StandState says in one stable word how an entry is at a stage.
type StandState string

// The states of an entry at a stage.
const (
	Stands   StandState = "stands"   // as it is wanted
	Behind   StandState = "behind"   // other content stands than is wanted
	Absent   StandState = "absent"   // wanted, and nothing stands
	Unwanted StandState = "unwanted" // stands, and no line asks for it
)

// Trouble is why something that is wanted does not come about, as the last run found it.
type Trouble struct {
	Type   EventType         `json:"type"`
	Code   mirror.ReasonCode `json:"code,omitempty"`
	Reason string            `json:"reason"`
	Image  mirror.Reference  `json:"image,omitzero"`
	At     time.Time         `json:"at"`
	Run    string            `json:"run,omitempty"`
	Fix    string            `json:"fix,omitempty"`
	Next   string            `json:"next,omitempty"` // the command to go on with
}
