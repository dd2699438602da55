package trust

// Root is where certificates, transparency logs and timestamps are trusted from.
type Root struct{}
