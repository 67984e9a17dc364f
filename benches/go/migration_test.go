package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Whoever comes from gomemcache finds every name of it in the table of bindings/go/README.md. The test is here because this
// module has gomemcache; the core module has no dependency.
func TestEveryNameOfGomemcacheIsInTheTable(t *testing.T) {
	readme, err := os.ReadFile("../../bindings/go/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(readme), "## Coming from gomemcache")
	var named []string
	for _, row := range strings.Split(table, "\n") {
		if cells := strings.Split(row, "|"); len(cells) > 2 {
			named = append(named, regexp.MustCompile(`\w+`).FindAllString(cells[1], -1)...)
		}
	}
	names := exported(t)
	if len(names) < 40 {
		t.Fatalf("gomemcache is not read as it is written: %v", names)
	}
	for _, name := range names {
		if !slices.Contains(named, name) {
			t.Errorf("the table has no %s", name)
		}
	}
}

// exported are the names that gomemcache exports: functions, types, their fields and methods, variables and constants.
func exported(t *testing.T) []string {
	folder, err := exec.Command("go", "list", "-f", "{{.Dir}}", "github.com/bradfitz/gomemcache/memcache").Output()
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(strings.TrimSpace(string(folder)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".go") || strings.HasSuffix(entry.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), strings.TrimSpace(string(folder))+"/"+entry.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		if !ast.FileExports(file) {
			continue
		}
		for _, declaration := range file.Decls {
			names = append(names, declared(declaration)...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// declared are the names of one declaration, which has nothing but what is exported; that of an error's text needs none.
func declared(declaration ast.Decl) (names []string) {
	switch declaration := declaration.(type) {
	case *ast.FuncDecl:
		if declaration.Name.Name != "Error" && isOfExported(declaration) {
			names = append(names, declaration.Name.Name)
		}
	case *ast.GenDecl:
		for _, spec := range declaration.Specs {
			switch spec := spec.(type) {
			case *ast.ValueSpec:
				for _, name := range spec.Names {
					names = append(names, name.Name)
				}
			case *ast.TypeSpec:
				names = append(names, spec.Name.Name)
				ast.Inspect(spec.Type, func(node ast.Node) bool {
					if field, ok := node.(*ast.Field); ok {
						for _, name := range field.Names {
							if name.IsExported() {
								names = append(names, name.Name)
							}
						}
					}
					return true
				})
			}
		}
	}
	return names
}

// isOfExported says whether it is a function, or the method of a type that is exported.
func isOfExported(function *ast.FuncDecl) bool {
	if function.Recv == nil {
		return true
	}
	of := function.Recv.List[0].Type
	if pointer, ok := of.(*ast.StarExpr); ok {
		of = pointer.X
	}
	name, ok := of.(*ast.Ident)
	return ok && name.IsExported()
}
