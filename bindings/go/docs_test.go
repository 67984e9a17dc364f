package bmemc_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	goBlock  = regexp.MustCompile("(?ms)^```go\n(.*?)^```$")
	declared = regexp.MustCompile(`(?m)^(\w+(?:, \w+)*) :=`)
)

// What the documents show of Go compiles, each block in a function of its own, and vet has nothing to say of it. Whole
// programs stand in README.md, and suite examples runs those.
func TestTheGoInTheDocumentsCompiles(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatal(pages, err)
	}
	var source strings.Builder
	source.WriteString("package docs\n\nimport \"github.com/libbmemc/bmemc\"\n")
	count := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		path, err := filepath.Abs(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range goBlock.FindAllSubmatchIndex(text, -1) {
			block, line := string(text[at[2]:at[3]]), 1+strings.Count(string(text[:at[2]]), "\n")
			fmt.Fprintf(&source, "\nfunc block%d() {\n//line %s:%d\n%s", count, path, line, block)
			for _, names := range declared.FindAllStringSubmatch(block, -1) {
				for _, name := range strings.Split(names[1], ", ") {
					fmt.Fprintf(&source, "_ = %s\n", name)
				}
			}
			source.WriteString("}\n")
			count++
		}
	}
	if count == 0 {
		t.Fatal("no block of Go in docs")
	}
	file := filepath.Join(t.TempDir(), "docs.go")
	if err := os.WriteFile(file, []byte(source.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if said, err := exec.Command("go", "vet", file).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
}
