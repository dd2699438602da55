package mirror

// Trailer begins the line of a commit message by which a daemon marks its own commits; its value is the id of the cycle.
const Trailer = "Poundlock-Cycle"
