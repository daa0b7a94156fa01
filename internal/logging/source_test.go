package logging

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// first says which argument of a logging method is the message.
var first = map[string]int{
	"Debug": 0, "Info": 0, "Warn": 0, "Error": 0,
	"DebugContext": 1, "InfoContext": 1, "WarnContext": 1, "ErrorContext": 1,
	"Log": 2, "LogAttrs": 2,
}

// TestTheTreeLogsConstantsUnderListedKeys reads every file that is not a test:
// what would be dropped, or could hold data, is found before it runs.
func TestTheTreeLogsConstantsUnderListedKeys(t *testing.T) {
	t.Parallel()
	calls := 0
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil // somebody is writing it; the compiler will say more
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if i, ok := logs(call); ok {
					calls++
					for _, fault := range faults(call.Args[i:]) {
						t.Errorf("%s: %s", fset.Position(call.Pos()), fault)
					}
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if calls < 5 {
		t.Fatalf("found %d calls of a logger: the test looks in the wrong place", calls)
	}
}

// logs reports whether a call is one of a logger, by the receiver's name.
func logs(call *ast.CallExpr) (message int, ok bool) {
	sel, isSel := call.Fun.(*ast.SelectorExpr)
	if !isSel {
		return 0, false
	}
	i, known := first[sel.Sel.Name]
	var receiver string
	switch x := sel.X.(type) {
	case *ast.Ident:
		receiver = x.Name
	case *ast.SelectorExpr:
		receiver = x.Sel.Name
	}
	switch strings.ToLower(receiver) {
	case "log", "logger", "slog":
		return i, known && len(call.Args) > i
	}
	return 0, false
}

func faults(args []ast.Expr) (out []string) {
	if lit, ok := args[0].(*ast.BasicLit); !ok || !message.MatchString(unquote(lit)) {
		out = append(out, "the message is not a literal that may be written")
	}
	for i := 1; i < len(args); i += 2 {
		lit, ok := args[i].(*ast.BasicLit)
		if !ok {
			i-- // an slog.Attr; its key is checked when it is written
			continue
		}
		if _, ok := allowed[unquote(lit)]; !ok {
			out = append(out, "the key "+lit.Value+" is not on the list")
		}
	}
	return out
}

func unquote(lit *ast.BasicLit) string {
	s, _ := strconv.Unquote(lit.Value)
	return s
}
