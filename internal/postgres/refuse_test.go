package postgres

import (
	"errors"
	"path"
	"strings"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/testpg"
)

// nameOf is the database's name in a test's URL.
func nameOf(url string) string {
	name, _, _ := strings.Cut(path.Base(url), "?")
	return name
}

func TestUnfitServersAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		set  []string
		want error
	}{
		"every statement is logged":       {[]string{"log_statement = 'all'"}, ErrLogsParameters},
		"writing statements are logged":   {[]string{"log_statement = 'mod'"}, ErrLogsParameters},
		"slow statements are logged":      {[]string{"log_min_duration_statement = 250"}, ErrLogsParameters},
		"slow statements are sampled":     {[]string{"log_min_duration_sample = 0"}, ErrLogsParameters},
		"transactions are sampled":        {[]string{"log_transaction_sample_rate = 0.01"}, ErrLogsParameters},
		"errors are logged with all":      {[]string{"log_parameter_max_length_on_error = -1"}, ErrLogsParameters},
		"plans are printed":               {[]string{"debug_print_plan = on"}, ErrLogsParameters},
		"slow plans are explained":        {[]string{"auto_explain.log_min_duration = 0"}, ErrLogsParameters},
		"an audit logs parameters":        {[]string{"pgaudit.log_parameter = on"}, ErrLogsParameters},
		"schema changes only are logged":  {[]string{"log_statement = 'ddl'"}, nil},
		"statements but no parameters":    {[]string{"log_statement = 'all'", "log_parameter_max_length = 0"}, nil},
		"acknowledged before it is safe":  {[]string{"synchronous_commit = off"}, ErrNotDurable},
		"acknowledged when the disk has":  {[]string{"synchronous_commit = local"}, nil},
		"nothing can be written":          {[]string{"default_transaction_read_only = on"}, ErrNotPrimary},
		"another isolation is the normal": {[]string{"default_transaction_isolation = 'serializable'"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			url := database(t)
			for _, set := range c.set {
				shared.Exec(t, "postgres", "ALTER DATABASE "+nameOf(url)+" SET "+set)
			}
			db, err := Open(t.Context(), url, Options{})
			if !errors.Is(err, c.want) {
				t.Errorf("error is %v, want %v", err, c.want)
			}
			if db != nil {
				db.Close()
			}
			if c.want == ErrLogsParameters {
				open(t, url, Options{AllowParameterLogging: true})
			}
		})
	}
}

func TestADatabaseThatIsNotUTF8IsRefused(t *testing.T) {
	url := database(t)
	name := nameOf(url) + "ascii"
	shared.Exec(t, "postgres", "CREATE DATABASE "+name+" ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
	if _, err := Open(t.Context(), shared.URL(name), Options{}); !errors.Is(err, ErrEncoding) {
		t.Errorf("error is %v, want ErrEncoding", err)
	}
}

func TestAServerThatSyncsNothingIsRefused(t *testing.T) {
	for _, set := range []string{"fsync=off", "full_page_writes=off"} {
		s := testpg.Start(t, set)
		if _, err := Open(t.Context(), s.URL("postgres"), Options{}); !errors.Is(err, ErrNotDurable) {
			t.Errorf("%s: error is %v, want ErrNotDurable", set, err)
		}
	}
}

func TestWhatCannotBeOpenedIsTold(t *testing.T) {
	url := database(t)
	for _, c := range []struct {
		url  string
		want error
	}{
		{"postgres://ada:secret@[", ErrURL},
		{"postgres://ada:secret@127.0.0.1:1/x", ErrUnreachable},
		{strings.Replace(url, nameOf(url), "absent_secret", 1), ErrRefused},
		{strings.Replace(url, "postgres@", "secret@", 1), ErrRefused},
	} {
		_, err := Open(t.Context(), c.url, Options{})
		if !errors.Is(err, c.want) {
			t.Errorf("error is %v, want %v", err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error quotes the URL: %v", err)
		}
	}
}

// The server's log is searched for a parameter; that it is found there under
// settings that are refused shows that the search finds.
func TestTheServersLogHoldsNoParameters(t *testing.T) {
	for _, logged := range []bool{false, true} {
		url := database(t)
		o, needle := Options{}, "needle_of_nothing"
		if logged {
			o.AllowParameterLogging, needle = true, "needle_of_everything"
			shared.Exec(t, "postgres", "ALTER DATABASE "+nameOf(url)+" SET log_statement = 'all'")
		}
		db := open(t, url, o)
		prepare(t, db)
		for _, position := range []consent.Position{2, 3, 9} { // the last is refused
			_ = appendBatch(db, func(h consent.Head) consent.Batch {
				return consent.Batch{Rows: []consent.Row{{Position: position, Type: consent.Type{Purpose: needle}, Sealed: []byte(needle)}}}
			})
		}
		_ = appendBatch(db, func(h consent.Head) consent.Batch { // the server refuses it
			return consent.Batch{Rows: []consent.Row{{Position: h.Position + 1, Type: consent.Type{Purpose: needle + "\x00"}}}}
		})
		if found := strings.Contains(shared.Log(), needle); found != logged {
			t.Errorf("logging of statements %v: found %v", logged, found)
		}
	}
}
