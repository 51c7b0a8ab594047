package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

const scheduleExample = `write for example "*/5 * * * *", "30 3 * * *" or "@hourly"`

// ParseSchedule reads a cron expression of five fields, a descriptor such as @hourly, or @every with a
// duration of whole seconds; its times are those of a clock on the wall in loc. A schedule that can
// never fire is an error. The error says what is wrong with the text; it does not repeat the text.
func ParseSchedule(text string, loc *time.Location) (Schedule, error) {
	text = strings.TrimSpace(text)
	fields := strings.Fields(text)
	switch {
	case len(fields) == 0:
		return Schedule{}, errors.New("is empty: " + scheduleExample)
	case strings.Contains(text, "TZ="):
		// The library reads TZ=, and panics or falls back to UTC when what follows is missing.
		return Schedule{}, errors.New("names a time zone: set time_zone in the daemon block, for all schedules")
	case fields[0] == "@every":
		return parseEvery(text, fields)
	case strings.HasPrefix(text, "@"):
		known := []string{"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"}
		if !slices.Contains(known, text) {
			return Schedule{}, fmt.Errorf("is not known%s", suggest(text, append(known, "@every 10m")...))
		}
	case len(fields) != 5:
		return Schedule{}, fmt.Errorf("has %s, not five (minute, hour, day of month, month, day of week): %s", count(len(fields), "field"), scheduleExample)
	}
	parsed, err := cron.ParseStandard(text)
	if err != nil {
		return Schedule{}, fmt.Errorf("is not a cron expression (%w): %s", err, scheduleExample)
	}
	if spec, ok := parsed.(*cron.SpecSchedule); ok {
		spec.Location = loc
	}
	// 2024 has every date there is, so a schedule that finds none from there has none.
	if parsed.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, loc)).IsZero() {
		return Schedule{}, errors.New("never fires: its months do not have that day")
	}
	return Schedule{Text: text, Schedule: parsed}, nil
}

// parseEvery checks what the library does not: it turns zero and negative durations into a second.
func parseEvery(text string, fields []string) (Schedule, error) {
	const example = `write for example "@every 10m"`
	if len(fields) != 2 {
		return Schedule{}, errors.New("needs one duration after @every: " + example)
	}
	d, err := time.ParseDuration(fields[1])
	switch {
	case err != nil:
		return Schedule{}, fmt.Errorf("has no duration after @every but %q: %s", fields[1], example)
	case d < time.Second:
		return Schedule{}, errors.New("is shorter than a second: " + example)
	case d%time.Second != 0:
		return Schedule{}, errors.New("is not a whole number of seconds: " + example)
	}
	return Schedule{Text: text, Schedule: cron.Every(d)}, nil
}
