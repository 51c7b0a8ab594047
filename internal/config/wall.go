package config

import "time"

// OnWall is the instant at which a clock on the wall in loc shows what wall shows (wall's own zone is not looked at). As in
// PostgreSQL, a time that a transition skips is read with the offset before it, and one that occurs
// twice with the offset after it.
func OnWall(wall time.Time, loc *time.Location) time.Time {
	y, m, d := wall.Date()
	return onWall(y, m, d, wall, loc)
}
