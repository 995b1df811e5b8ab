// Package practice_test checks what holds for all practices and what no linter checks: they start nothing, wait for
// nothing and remember nothing. Which packages they may import is in .golangci.yml.
package practice_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPracticesArePure(t *testing.T) {
	set := token.NewFileSet()
	packages := map[string][]*ast.File{}
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		packages[filepath.Dir(path)] = append(packages[filepath.Dir(path)], file)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(packages) == 0 {
		t.Fatal("no package found: is this test still where the practices are?")
	}
	for _, files := range packages {
		for _, problem := range impurities(set, files...) {
			t.Error(problem)
		}
	}
}

func TestImpurities(t *testing.T) {
	for name, test := range map[string]struct {
		source string
		want   []string
	}{
		"a function":         {source: "func f(x []int) int { return len(x) }"},
		"a table":            {source: "var weights = map[string]int{}"},
		"a goroutine":        {source: "func f() { go f() }", want: []string{"x.go:3:12: a decision starts no goroutine"}},
		"a channel":          {source: "type t struct{ c chan int }", want: []string{"x.go:3:18: a decision has nobody to talk to: no channels"}},
		"a select":           {source: "func f() { select {} }", want: []string{"x.go:3:12: a decision waits for nothing: no select"}},
		"a memory":           {source: "var n int\nfunc f() { n++ }", want: []string{"x.go:4:12: a decision remembers nothing: n belongs to the package"}},
		"a cache":            {source: "var m = map[string]int{}\nfunc f() { m[\"\"] = 1 }", want: []string{"x.go:4:12: a decision remembers nothing: m belongs to the package"}},
		"an initialisation":  {source: "func init() {}", want: []string{"x.go:3:1: a decision needs no init"}},
		"a variable of same": {source: "var n int\nfunc f() { n := 1; n++; _ = n }"},
	} {
		t.Run(name, func(t *testing.T) {
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, "x.go", "package x\n\n"+test.source, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, impurities(set, file)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// impurities lists what the files of a package do that a pure function does not.
func impurities(set *token.FileSet, files ...*ast.File) []string {
	var found []string
	report := func(node ast.Node, what string) {
		found = append(found, set.Position(node.Pos()).String()+": "+what)
	}
	declarations := declarationsOf(files)
	globals := packageVariables(declarations)
	for _, declaration := range declarations {
		local := map[string]bool{}
		if function, ok := declaration.(*ast.FuncDecl); ok {
			if function.Recv == nil && function.Name.Name == "init" {
				report(function, "a decision needs no init")
			}
			local = localNames(function)
		}
		written := func(target ast.Expr) {
			if name := root(target); globals[name] && !local[name] {
				report(target, "a decision remembers nothing: "+name+" belongs to the package")
			}
		}
		ast.Inspect(declaration, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.GoStmt:
				report(node, "a decision starts no goroutine")
			case *ast.SelectStmt:
				report(node, "a decision waits for nothing: no select")
			case *ast.ChanType:
				report(node, "a decision has nobody to talk to: no channels")
			case *ast.AssignStmt:
				for _, target := range node.Lhs {
					written(target)
				}
			case *ast.IncDecStmt:
				written(node.X)
			}
			return true
		})
	}
	return found
}

func declarationsOf(files []*ast.File) []ast.Decl {
	var declarations []ast.Decl
	for _, file := range files {
		declarations = append(declarations, file.Decls...)
	}
	return declarations
}

func packageVariables(declarations []ast.Decl) map[string]bool {
	names := map[string]bool{}
	for _, declaration := range declarations {
		general, ok := declaration.(*ast.GenDecl)
		if !ok || general.Tok != token.VAR {
			continue
		}
		for _, spec := range general.Specs {
			for _, name := range spec.(*ast.ValueSpec).Names {
				names[name.Name] = name.Name != "_"
			}
		}
	}
	return names
}

// localNames are those that the function declares, its parameters and results included; good enough without types.
func localNames(function *ast.FuncDecl) map[string]bool {
	names := map[string]bool{}
	ast.Inspect(function, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.Field:
			for _, name := range node.Names {
				names[name.Name] = true
			}
		case *ast.ValueSpec:
			for _, name := range node.Names {
				names[name.Name] = true
			}
		case *ast.RangeStmt:
			for _, target := range []ast.Expr{node.Key, node.Value} {
				if name, ok := target.(*ast.Ident); ok && node.Tok == token.DEFINE {
					names[name.Name] = true
				}
			}
		case *ast.AssignStmt:
			for _, target := range node.Lhs {
				if name, ok := target.(*ast.Ident); ok && node.Tok == token.DEFINE {
					names[name.Name] = true
				}
			}
		}
		return true
	})
	return names
}

// root is the name of the variable that an assignment to expression changes, if it has one.
func root(expression ast.Expr) string {
	for {
		switch e := expression.(type) {
		case *ast.Ident:
			return e.Name
		case *ast.IndexExpr:
			expression = e.X
		case *ast.SelectorExpr:
			expression = e.X
		case *ast.StarExpr:
			expression = e.X
		case *ast.ParenExpr:
			expression = e.X
		default:
			return ""
		}
	}
}
