package hook

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// distributionEvent is one event of an envelope (distribution.github.io, "Work with notifications").
type distributionEvent struct {
	Time   time.Time `json:"timestamp"`
	Action string    `json:"action"`
	Target struct {
		Repository string `json:"repository"`
		Tag        string `json:"tag"`
	} `json:"target"`
	Request struct {
		Host      string `json:"host"`
		UserAgent string `json:"useragent"`
	} `json:"request"`
}

// Ourselves is how we call ourselves to registries: what we pushed is no news to us.
const Ourselves = "poundlock"

func readDistribution(text []byte) (News, error) {
	var body struct {
		Events few[distributionEvent] `json:"events"`
	}
	if err := json.Unmarshal(text, &body); err != nil {
		return News{}, err
	}
	n := News{Event: "events", Vague: body.Events.more}
	for _, e := range body.Events.items {
		if e.Action != "push" && e.Action != "delete" || e.Request.UserAgent == Ourselves {
			continue
		}
		n.Images = append(n.Images, Image{Host: e.Request.Host, Repository: e.Target.Repository, Tag: e.Target.Tag})
		if e.Time.After(n.At) {
			n.At = e.Time
		}
	}
	n.Idle = len(n.Images) == 0 && !n.Vague
	return n, nil
}

// cloudEvent is the envelope of a CloudEvent in JSON (cloudevents.io, version 1.0).
type cloudEvent struct {
	ID   string          `json:"id"`
	Type string          `json:"type"`
	Time time.Time       `json:"time"`
	Data json.RawMessage `json:"data"`
}

// readZot reads an event of zot (zotregistry.dev, "Event Support"): a CloudEvent whose attributes are headers, or all
// of it in the body. A site may have zot write another prefix before the type.
func readZot(h http.Header, text []byte) (News, error) {
	e := cloudEvent{ID: first(h, "Ce-Id"), Type: first(h, "Ce-Type"), Data: text}
	e.Time, _ = time.Parse(time.RFC3339Nano, first(h, "Ce-Time"))
	if e.Type == "" {
		if err := json.Unmarshal(text, &e); err != nil {
			return News{}, err
		}
	}
	n := News{ID: e.ID, Event: e.Type, At: e.Time}
	if !strings.HasSuffix(e.Type, "image.updated") && !strings.HasSuffix(e.Type, "image.deleted") {
		n.Idle = true
		return n, nil
	}
	var body struct {
		Name      string `json:"name"`
		Reference string `json:"reference"`
	}
	if err := json.Unmarshal(e.Data, &body); err != nil {
		return n, err
	}
	n.Images = []Image{{Repository: body.Name, Tag: tagIn(body.Reference)}}
	return n, nil
}

// tagIn gives a reference that is a tag and no digest.
func tagIn(reference string) string {
	if strings.Contains(reference, ":") {
		return ""
	}
	return reference
}

// harborData is what Harbor says of an event (goharbor.io, "Configure Webhook Notifications").
type harborData struct {
	Resources few[struct {
		Tag string `json:"tag"`
		URL string `json:"resource_url"`
	}] `json:"resources"`
	Repository struct {
		FullName string `json:"repo_full_name"`
	} `json:"repository"`
}

// readHarbor reads an event of Harbor, in its own form or as a CloudEvent.
func readHarbor(text []byte) (News, error) {
	var body struct {
		cloudEvent
		OccurAt int64      `json:"occur_at"` // seconds
		Data    harborData `json:"event_data"`
	}
	if err := json.Unmarshal(text, &body); err != nil {
		return News{}, err
	}
	n, data := News{ID: body.ID, Event: body.Type, At: body.Time}, body.Data
	if body.OccurAt > 0 {
		n.At = time.Unix(body.OccurAt, 0)
	}
	if len(body.cloudEvent.Data) > 0 {
		if err := json.Unmarshal(body.cloudEvent.Data, &data); err != nil {
			return n, err
		}
	}
	switch strings.ToUpper(n.Event) {
	case "PUSH_ARTIFACT", "DELETE_ARTIFACT", "HARBOR.ARTIFACT.PUSHED", "HARBOR.ARTIFACT.DELETED":
	case "REPLICATION", "TAG_RETENTION", "HARBOR.REPLICATION.STATUS.CHANGED", "HARBOR.TAG_RETENTION.FINISHED":
		n.Vague = true // many images, which it names in other ways
		return n, nil
	default:
		n.Idle = true
		return n, nil
	}
	n.Vague = data.Resources.more || data.Repository.FullName == ""
	for _, r := range data.Resources.items {
		host, _, _ := strings.Cut(r.URL, "/")
		n.Images = append(n.Images, Image{Host: host, Repository: data.Repository.FullName, Tag: tagIn(r.Tag)})
	}
	return n, nil
}
