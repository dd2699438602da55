package daemon

// Keys of log attributes, so that one fact has one name everywhere.
const (
	keyAddress = "address"
	keyBytes   = "bytes"
	keyCommit  = "commit"
	keyEntry   = "entry"
	keyDigest  = "digest"
	keyError   = "error"
	keyReason  = "reason"
	keyRef     = "ref"
	keySet     = "set"
	keySets    = "sets"
	keyStage   = "stage"
	keyWhere   = "where"
	keyWhy     = "why"
	keyCycle   = "cycle"
)
