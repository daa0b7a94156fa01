package rules

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// module is how our own packages are imported. In what follows they are named
// by their directory, without it.
const module = "github.com/assent-gateway/assent"

// A pkg is a directory with Go files, tests aside.
type pkg struct {
	dir   string // below the module's root, with slashes
	files []file
}

type file struct {
	name    string
	imports []string
	// calls holds "pkg.Name" of every use of a name of another package,
	// whatever that is called in the file, "init" for each func init, and the
	// names of functions that are called without a package.
	calls []string
}

var readTree = sync.OnceValues(func() ([]*pkg, error) { return readDir(os.DirFS(filepath.Join("..", ".."))) })

// tree is every package of the module.
func tree(t *testing.T) []*pkg {
	t.Helper()
	pkgs, err := readTree()
	if err != nil {
		t.Fatal(err)
	}
	if len(pkgs) < 5 {
		t.Fatalf("only %d packages found", len(pkgs))
	}
	return pkgs
}

func readDir(root fs.FS) ([]*pkg, error) {
	var pkgs []*pkg
	byDir := map[string]*pkg{}
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := d.Name()
		if d.IsDir() {
			if name != "." && (strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(base, ".go") || strings.HasSuffix(base, "_test.go") {
			return nil
		}
		source, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		f, err := readFile(name, source)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(name))
		if byDir[dir] == nil {
			byDir[dir] = &pkg{dir: dir}
			pkgs = append(pkgs, byDir[dir])
		}
		byDir[dir].files = append(byDir[dir].files, f)
		return nil
	})
	return pkgs, err
}

// readFile reads a file whatever its build constraints say.
func readFile(name string, source []byte) (file, error) {
	f := file{name: name}
	parsed, err := parser.ParseFile(token.NewFileSet(), name, source, 0)
	if err != nil {
		return f, err
	}
	names := map[string]string{} // in this file → the last element of the import
	for _, spec := range parsed.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return f, err
		}
		path = strings.TrimPrefix(path, module+"/")
		f.imports = append(f.imports, path)
		last := path[strings.LastIndex(path, "/")+1:]
		if spec.Name != nil {
			names[spec.Name.Name] = last
		} else {
			names[last] = last
		}
	}
	for _, d := range parsed.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			f.calls = append(f.calls, "init")
		}
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && names[x.Name] != "" {
				f.calls = append(f.calls, names[x.Name]+"."+n.Sel.Name)
			}
		case *ast.CallExpr:
			if fun, ok := n.Fun.(*ast.Ident); ok {
				f.calls = append(f.calls, fun.Name)
			}
		}
		return true
	})
	return f, nil
}
