package bmemc_test

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// Every name that a package exports has a comment: packages, constants, variables, functions, types, methods and fields.
func TestEveryExportedNameHasAComment(t *testing.T) {
	for folder, least := range map[string]int{".": 300, "bmemctest": 2, "otel": 8} {
		count := 0
		check := func(comment, name string) {
			count++
			if strings.TrimSpace(comment) == "" {
				t.Errorf("%s: %s has no comment", folder, name)
			}
		}
		p := documented(t, folder)
		check(p.Doc, "the package")
		values(append(p.Consts, p.Vars...), check)
		functions(p.Funcs, check)
		for _, kind := range p.Types {
			check(kind.Doc, kind.Name)
			values(append(kind.Consts, kind.Vars...), check)
			functions(append(kind.Funcs, kind.Methods...), check)
			fields(kind, check)
		}
		if count < least {
			t.Errorf("%s: %d names, fewer than %d: it is not read as it is written", folder, count, least)
		}
	}
}

func values(all []*doc.Value, check func(comment, name string)) {
	for _, value := range all {
		for _, spec := range value.Decl.Specs {
			spec := spec.(*ast.ValueSpec)
			comment := spec.Doc.Text() + spec.Comment.Text()
			if len(value.Decl.Specs) == 1 {
				comment += value.Doc
			}
			for _, name := range spec.Names {
				if name.IsExported() {
					check(comment, name.Name)
				}
			}
		}
	}
}

func functions(all []*doc.Func, check func(comment, name string)) {
	for _, function := range all {
		check(function.Doc, function.Recv+"."+function.Name)
	}
}

func fields(kind *doc.Type, check func(comment, name string)) {
	ast.Inspect(kind.Decl, func(node ast.Node) bool {
		field, ok := node.(*ast.Field)
		if !ok {
			return true
		}
		for _, name := range field.Names {
			if name.IsExported() {
				check(field.Doc.Text()+field.Comment.Text(), kind.Name+"."+name.Name)
			}
		}
		return false
	})
}

// What most programs need has an example, which is run and whose output is compared.
func TestWhatMostNeedHasAnExample(t *testing.T) {
	p := documented(t, ".")
	has := map[string]bool{}
	for _, example := range p.Examples {
		has[example.Name+example.Suffix] = example.Output != ""
	}
	for _, function := range p.Funcs {
		for _, example := range function.Examples {
			has[function.Name+example.Suffix] = example.Output != ""
		}
	}
	for _, kind := range p.Types {
		for _, function := range append(kind.Funcs, kind.Methods...) {
			for _, example := range function.Examples {
				has[function.Name+example.Suffix] = example.Output != ""
			}
		}
	}
	for _, name := range []string{"New", "Newhashed", "Get", "Set", "GetMulti", "CompareAndSwap"} {
		if !has[name] {
			t.Errorf("%s has no example with output", name)
		}
	}
}

// documented is a package as go doc reads it.
func documented(t *testing.T, folder string) *doc.Package {
	t.Helper()
	set := token.NewFileSet()
	var files []*ast.File
	paths, err := filepath.Glob(folder + "/*.go")
	wantOK(t, err)
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") && filepath.Base(path) != "example_test.go" {
			continue
		}
		file, err := parser.ParseFile(set, path, nil, parser.ParseComments)
		wantOK(t, err)
		files = append(files, file)
	}
	p, err := doc.NewFromFiles(set, files, "github.com/libbmemc/bmemc")
	wantOK(t, err)
	return p
}
