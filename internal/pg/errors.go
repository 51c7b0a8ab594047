package pg

import (
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
)

// SQLSTATEs that pgtender decides on. Source: PostgreSQL 18, appendix A.
const (
	LockNotAvailable      = "55P03"
	DeadlockDetected      = "40P01"
	SerializationFailure  = "40001"
	QueryCanceled         = "57014"
	InsufficientPrivilege = "42501"
	UndefinedTable        = "42P01"
	UndefinedFunction     = "42883"
	UndefinedObject       = "42704"
	UndefinedColumn       = "42703"
	InvalidSchemaName     = "3F000"
	DuplicateDatabase     = "42P04"
	ObjectInUse           = "55006"
	NotInPrerequisite     = "55000"
	FeatureNotSupported   = "0A000"
	ReadOnlyTransaction   = "25006"
	InvalidPassword       = "28P01"
	InvalidAuthorization  = "28000"
	InvalidCatalog        = "3D000"
	TooManyConnections    = "53300"
	CannotConnectNow      = "57P03"
	AdminShutdown         = "57P01"
	CrashShutdown         = "57P02"
)

// Code returns the SQLSTATE of the first server error in err's chain, or "".
func Code(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Code
	}
	return ""
}

// Is reports whether err carries one of the SQLSTATEs.
func Is(err error, codes ...string) bool {
	code := Code(err)
	for _, c := range codes {
		if code != "" && code == c {
			return true
		}
	}
	return false
}

// Retryable reports whether trying again later can help: a lock timeout, a deadlock, a serialization failure.
func Retryable(err error) bool {
	return Is(err, LockNotAvailable, DeadlockDetected, SerializationFailure)
}
