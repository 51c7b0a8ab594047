package cli

// Exit codes: the one place that names them. Users' scripts rely on them.
const (
	exitOK    = 0
	exitError = 1

	exitChanges = 2 // plan: there are changes; drift: the schemas differ
	exitHazard  = 3 // apply: refused, a hazard was not allowed
	exitStale   = 4 // apply: the plan was made for another state of the database

	// pgtender check follows the monitoring-plugin convention.
	exitWarning  = 1
	exitCritical = 2
	exitUnknown  = 3
)

// exitCode ends a command that has said all it has to say.
type exitCode int

func (exitCode) Error() string { return "" }
