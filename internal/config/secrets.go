package config

import (
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// hidden stands in the place of a secret.
const hidden = "(hidden)"

// secrets remembers what must not be printed. Messages of library functions may quote their arguments
// (a URL that cannot be parsed, a string that is no number), so every message passes through hide.
type secrets struct {
	values []string
}

// learn is given each value that comes from outside the file, with the name it came under.
func (s *secrets) learn(name, value string) {
	if value == "" {
		return
	}
	name = strings.ToLower(name)
	for _, word := range []string{"pass", "pwd", "secret", "token", "key", "credential", "auth"} {
		if strings.Contains(name, word) {
			s.keep(value)
			break
		}
	}
	if _, rest, isURL := strings.Cut(value, "://"); isURL {
		if u, err := url.Parse(value); err == nil {
			password, _ := u.User.Password()
			s.keep(password)
			s.keep(u.Query().Get("password"))
		}
		if at := strings.LastIndex(rest, "@"); at >= 0 { // also of a URL that cannot be parsed
			_, password, _ := strings.Cut(rest[:at], ":")
			s.keep(password)
		}
	}
}

func (s *secrets) keep(value string) {
	if len(value) < 3 { // replacing so little would spoil every message and reveal it all the same
		return
	}
	s.values = append(s.values, value)
	quoted := strconv.Quote(value)
	if inner := quoted[1 : len(quoted)-1]; inner != value {
		s.values = append(s.values, inner)
	}
}

// hide takes secrets out of a message.
func (s *secrets) hide(text string) string {
	for _, value := range s.values {
		text = strings.ReplaceAll(text, value, hidden)
	}
	// A connection string with a password that was written in the file, or put together there.
	text = regexp.MustCompile(`://[^@:]*:.*@`).ReplaceAllString(text, "://"+hidden+"@")
	return regexp.MustCompile(`(?i)(password\s*=\s*)('[^']*'|[^\s&"'\\]+)`).ReplaceAllString(text, "${1}"+hidden)
}
