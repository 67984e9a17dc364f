package bmemc_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/libbmemc/bmemc"
)

// Commands are operations of the queue in Go; these methods have them.
var notCalled = map[string]string{
	"bmemc_call":           "Do",
	"bmemc_execute":        "Execute",
	"bmemc_get":            "Get",
	"bmemc_get_into":       "GetInto",
	"bmemc_gets":           "Gets",
	"bmemc_get_and_touch":  "GetAndTouch",
	"bmemc_get_many":       "GetMulti",
	"bmemc_set":            "Set",
	"bmemc_set_many":       "SetMulti",
	"bmemc_add":            "Add",
	"bmemc_replace":        "Replace",
	"bmemc_cas":            "CompareAndSwap",
	"bmemc_cas_many":       "CompareAndSwapMulti",
	"bmemc_append":         "Append",
	"bmemc_prepend":        "Prepend",
	"bmemc_delete":         "Delete",
	"bmemc_delete_many":    "DeleteMulti",
	"bmemc_touch":          "Touch",
	"bmemc_increment":      "Increment",
	"bmemc_decrement":      "Decrement",
	"bmemc_flush_all":      "FlushAll",
	"bmemc_noop":           "Ping",
	"bmemc_client_version": "Version",
	"bmemc_meta":           "Meta",
	"bmemc_metadump":       "Metadump", // by bmemc_dump_next
	"bmemc_dump_new":       "Metadump", // by bmemc_dump_of
	"bmemc_queue_fetch":    "",         // bmemc_queue_fetch_into does the same
	"bmemc_queue_fetch_to": "",         // values of one fetch share one piece of memory here
}

// Every function, opcode, flag, status and event of the header is used by the binding.
func TestTheHeaderIsCovered(t *testing.T) {
	header := withoutComments(t, "../../include/bmemc.h")
	var sources []string
	for _, pattern := range []string{"*.go", "bridge.c"} {
		files, err := filepath.Glob(pattern)
		wantOK(t, err)
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.go") {
				sources = append(sources, withoutComments(t, file))
			}
		}
	}
	used := words(strings.Join(sources, "\n"), `\b(bmemc_[a-z0-9_]+|BMEMC_[A-Z0-9_]+)\b`)
	functions := words(header, `\b(bmemc_[a-z0-9_]+)\(`)
	constants := words(header, `\b(BMEMC_[A-Z0-9_]+) = `)
	if len(functions) < 40 || len(constants) < 60 {
		t.Fatalf("%d functions, %d constants: the header is not read as it is written", len(functions), len(constants))
	}
	for _, name := range append(functions, constants...) {
		_, other := notCalled[name]
		if !slices.Contains(used, name) && !other {
			t.Errorf("the binding has no %s", name)
		}
		if slices.Contains(used, name) && other {
			t.Errorf("the binding has %s now", name)
		}
	}
	client := reflect.TypeFor[*bmemc.Client]()
	for name, method := range notCalled {
		if _, ok := client.MethodByName(method); !ok && method != "" {
			t.Errorf("there is no method %s for %s", method, name)
		}
		if !slices.Contains(functions, name) {
			t.Errorf("the header has no %s", name)
		}
	}
}

func withoutComments(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	wantOK(t, err)
	return regexp.MustCompile(`(?m)(^|\s)//.*$`).ReplaceAllString(string(text), "")
}

// words are the first groups of all matches, each once.
func words(text, pattern string) []string {
	var found []string
	for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		found = append(found, match[1])
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// Every option that there is has a field.
func TestEveryOptionHasAField(t *testing.T) {
	fields, options := map[string]bool{}, bmemc.AllOptions()
	kind := reflect.TypeFor[bmemc.Options]()
	for i := range kind.NumField() {
		if name, ok := kind.Field(i).Tag.Lookup("bmemc"); ok {
			fields[strings.TrimSuffix(name, ",s")] = true
		}
	}
	if len(options) < 9 {
		t.Fatal(options)
	}
	for _, option := range options {
		if !fields[option.Name] {
			t.Errorf("Options has no field for %s: %s (default %s; %s)", option.Name, option.About, option.Default, option.Accepts)
		}
		delete(fields, option.Name)
	}
	for name := range fields {
		t.Errorf("there is no option %s", name)
	}
}

// A library of another version than the header's is refused.
func TestVersionIsChecked(t *testing.T) {
	wantOK(t, bmemc.CheckVersionOf(bmemc.Version()))
	for _, other := range []string{"", "9.9.9", "0.10.0", "0.2.0", "1.0.0"} {
		if err := bmemc.CheckVersionOf(other); !errors.Is(err, bmemc.ErrUnsupported) || !strings.Contains(err.Error(), other) {
			t.Errorf("%q: %v", other, err)
		}
	}
}
