package pg

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// bounded ends the process, with all stacks, when one input takes far longer than any should.
func bounded(t *testing.T) {
	timer := time.AfterFunc(30*time.Second, func() { panic("an input takes more than half a minute") })
	t.Cleanup(func() { timer.Stop() })
}

// FuzzConnString: whatever characters stand around it, encoded or not, a password is in nothing that is printed of its connection
// string: neither in what is wrong with it nor in where it leads.
func FuzzConnString(f *testing.F) {
	for _, around := range []string{"", "@", "/", "?", "#", ":", "%", "%zz", "/x@", "?x=y", "&x=y@", " ", "'", "\\", "a b", "=", "[", "]", "[::1", ",", ":1/", "12/", "\x00", "é"} {
		f.Add("u", around, "", "host:5432/db", false)
		f.Add("u", "", around, "host/db?sslmode=disable", false)
		f.Add("u", around, around, "h1:1,h2:2/db?target_session_attrs=any&options=a@b", false)
		f.Add("u", around, "", " dbname=d", true)
		f.Add("host=h user=u", "", around, "dbname=d connect_timeout=x", true)
		f.Add("user=u", "'"+around, around+"'", "port=zz", true)
	}
	f.Add("u", "", "", "h/d?connect_timeout=x", false)
	f.Add("u@h/d?x=1&pass%77ord=", "", "", "", false)
	const secret = "Hunter2Hunter2"
	f.Fuzz(func(t *testing.T, front, before, after, tail string, pairs bool) {
		bounded(t)
		connString := "postgres://" + front + ":" + before + secret + after + "@" + tail
		if pairs {
			if strings.Contains(before+after, "=") {
				return // another parameter, not a password
			}
			connString = front + " password=" + before + secret + after + " " + tail
		}
		if strings.Contains(front+tail, secret[:4]) || strings.Contains(before+after, secret[:4]) {
			return // the name of something else
		}
		if pairs && (strings.Contains(front, "'") || strings.Contains(front, `\`) || strings.Contains(front, "://")) {
			return // a quoted value, in which password= is text
		}
		printed := Redact(connString)
		if err := checkURL(connString); err != nil {
			printed += "\n" + err.Error()
		} else if cfg, err := pgconn.ParseConfig(connString); err != nil {
			printed += "\n" + badURL(connString, err).Error()
		} else {
			printed += "\n" + place(cfg)
			for _, fallback := range cfg.Fallbacks {
				printed += "\n" + printable(fallback.Host)
			}
		}
		if _, err := pgxpool.ParseConfig(connString); err != nil {
			printed += "\n" + badURL(connString, err).Error()
		}
		for i := 0; i+4 <= len(secret); i++ {
			if strings.Contains(printed, secret[i:i+4]) {
				t.Fatalf("%q prints %q", connString, printed)
			}
		}
		if utf8.ValidString(connString) && !utf8.ValidString(printed) {
			t.Errorf("%q prints %q", connString, printed)
		}
	})
}
