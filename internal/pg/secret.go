package pg

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// errStrayAt is an @ in a URL that ends no user and password. Nearly always an unencoded password stands before it, of which a part
// would be taken, and printed, for the host or the database.
var errStrayAt = errors.New("the connection string cannot be read: it has an @ where none belongs. " +
	"In a URL's user and password write @ as %40, / as %2F, ? as %3F, # as %23, : as %3A and % as %25, or leave the password to PGPASSWORD or a password file")

// checkURL refuses a connection string that can be read, but in which a part of the password would stand elsewhere.
func checkURL(connString string) error {
	scheme, rest, isURL := strings.Cut(connString, "://")
	if !isURL || scheme != "postgres" && scheme != "postgresql" {
		if noValue.MatchString(connString) {
			return errors.New("the connection string cannot be read: in front of password= a value is missing, and the password would be taken for it")
		}
		return nil
	}
	named := false
	if i := strings.IndexAny(rest, "@/"); i >= 0 && rest[i] == '@' {
		named, rest = true, rest[i+1:]
	}
	place, query, _ := strings.Cut(rest, "?")
	if strings.Contains(place, "@") {
		return errStrayAt
	}
	for pair := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(pair, "=")
		if strings.Contains(key, "@") || strings.Contains(value, "@") && !(named && slices.Contains(mayHoldAt, key)) {
			return errStrayAt
		}
	}
	return nil
}

// noValue finds "user= password=x", which libpq and the library read as the user "password=x".
var noValue = regexp.MustCompile(`(?i)=[\s\v]+(ssl)?password[\s\v]*=`)

// mayHoldAt are the parameters of a URL in whose values an @ is nothing strange.
var mayHoldAt = []string{"application_name", "dbname", "options", "passfile", "password", "service", "servicefile", "sslcert", "sslkey", "sslpassword", "sslrootcert", "user"}

// badURL says why a connection string cannot be read. The library's message repeats the string, with what it takes for a password left out;
// in a string that cannot be read that may be too little. So only the reason is told, and only if it repeats nothing of a password.
func badURL(connString string, err error) error {
	var parse *pgconn.ParseConfigError
	if !errors.As(err, &parse) {
		return errors.New("the connection string cannot be read")
	}
	text := parse.Error()
	if i := strings.LastIndex(text, "`: "); i >= 0 {
		text = text[i+len("`: "):]
	}
	for _, secret := range mayBeSecret(connString) {
		if repeats(text, secret) {
			return errors.New("the connection string cannot be read; why is not told, since that would repeat a part of what may be its password. " +
				"In a URL, characters such as @ / ? # : % in a password are written as %40 and so on; in key=value form a password with spaces stands in single quotes")
		}
	}
	return fmt.Errorf("the connection string cannot be read: %s", text)
}

// What follows password= in a URL's query, and among key=value pairs.
var (
	passwordQuery = regexp.MustCompile(`(?is)password\s*=([^&]*)`)
	passwordPair  = regexp.MustCompile(`(?is)password[\s\v]*=[\s\v]*(.*?)(?:[\s\v][a-z_]+[\s\v]*=|$)`)
)

// mayBeSecret are the parts of a connection string that are a password, or may have been meant as one.
func mayBeSecret(connString string) []string {
	var parts []string
	param := passwordPair
	if scheme, rest, isURL := strings.Cut(connString, "://"); isURL && (scheme == "postgres" || scheme == "postgresql") {
		param = passwordQuery
		if at := strings.LastIndexByte(rest, '@'); at >= 0 {
			if _, password, ok := strings.Cut(rest[:at], ":"); ok {
				parts = append(parts, password)
			}
		}
	}
	texts := []string{connString}
	if decoded, err := url.PathUnescape(connString); err == nil {
		texts = append(texts, decoded)
	}
	for _, text := range texts {
		for _, m := range param.FindAllStringSubmatch(text, -1) {
			parts = append(parts, m[1])
		}
	}
	for _, p := range slices.Clone(parts) {
		if decoded, err := url.PathUnescape(p); err == nil && decoded != p {
			parts = append(parts, decoded)
		}
		if bare := strings.ReplaceAll(p, `\`, ""); bare != p {
			parts = append(parts, bare)
		}
	}
	return parts
}

// repeats reports whether the text holds four bytes of the secret in a row.
func repeats(text, secret string) bool {
	const some = 4
	for i := 0; i+some <= len(secret); i++ {
		if strings.Contains(text, secret[i:i+some]) {
			return true
		}
	}
	return false
}
