// Package docs_test compares what the documentation lists with what the sources have.
package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/mediaserver/failover"
)

// table returns the rows of the tables below a heading of encoders.md, without their heads.
func table(t *testing.T, heading string) (rows [][]string) {
	t.Helper()
	text, err := os.ReadFile("encoders.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("encoders.md has no heading %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	head := ""
	for line := range strings.Lines(section) {
		line = strings.TrimSpace(line)
		switch {
		case !strings.HasPrefix(line, "|"):
			head = ""
			continue
		case head == "", strings.HasPrefix(line, "|---"):
			head = line
			continue
		}
		var cells []string
		for cell := range strings.SplitSeq(strings.Trim(line, "|"), " | ") {
			cells = append(cells, strings.TrimSpace(cell))
		}
		if columns := strings.Count(head, "|") - 1; len(cells) != columns || slices.Contains(cells, "") {
			t.Errorf("%s: %d cells of %d, or an empty one: %s", heading, len(cells), columns, line)
		}
		rows = append(rows, cells)
	}
	return rows
}

// firsts returns the first cells of rows that are a word in backquotes.
func firsts(rows [][]string) (words []string) {
	for _, row := range rows {
		if word := strings.Trim(row[0], "`"); "`"+word+"`" == row[0] {
			words = append(words, word)
		}
	}
	return words
}

// inspect calls see for each node of the media server's sources, tests left out, in the
// folders named; all, if none is.
func inspect(t *testing.T, see func(n ast.Node, at token.Position), folders ...string) {
	t.Helper()
	files := token.NewFileSet()
	root := filepath.Join("..", "mediaserver")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch folder := filepath.Base(filepath.Dir(path)); {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata" || d.Name() == "mediatest"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"),
			len(folders) > 0 && !slices.Contains(folders, folder):
			return nil
		}
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if n != nil {
				see(n, files.Position(n.Pos()))
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// text is the value of a string literal; "" for all else.
func text(e ast.Expr) string {
	if literal, ok := e.(*ast.BasicLit); ok && literal.Kind == token.STRING {
		s, _ := strconv.Unquote(literal.Value)
		return s
	}
	return ""
}

var (
	codeText = regexp.MustCompile(`^[A-Z][A-Za-z]+$`)
	// codeName is what a constant or variable with a code is called.
	codeName = regexp.MustCompile(`^([wW]arning[A-Za-z]+|code|Code)$`)
)

// name is the last identifier of an expression.
func name(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.ArrayType:
		return name(e.Elt)
	}
	return ""
}

// warningCodes returns the codes of all warnings and faults that the sources name.
func warningCodes(t *testing.T) []string {
	var codes []string
	add := func(code string) {
		if codeText.MatchString(code) && !slices.Contains(codes, code) {
			codes = append(codes, code)
		}
	}
	inspect(t, func(n ast.Node, at token.Position) {
		switch n := n.(type) {
		case *ast.ValueSpec: // const warningX = "X"
			for i, id := range n.Names {
				if i < len(n.Values) && codeName.MatchString(id.Name) {
					add(text(n.Values[i]))
				}
			}
		case *ast.CompositeLit: // Fault{Code: "X"}, Warning{"X", …}, []Warning{{"X", …}}
			kind := name(n.Type)
			if kind != "Fault" && kind != "Warning" {
				return
			}
			for _, element := range n.Elts {
				switch element := element.(type) {
				case *ast.KeyValueExpr:
					if name(element.Key) == "Code" {
						add(text(element.Value))
					}
				case *ast.CompositeLit:
					if len(element.Elts) > 0 {
						add(text(element.Elts[0]))
					}
				}
			}
			if len(n.Elts) > 0 {
				add(text(n.Elts[0]))
			}
		case *ast.CallExpr: // Warn("X", …)
			called := name(n.Fun)
			if len(n.Args) != 2 || called != "warn" && called != "Warn" {
				return
			}
			if code := text(n.Args[0]); code != "" {
				add(code)
			} else if !codeName.MatchString(name(n.Args[0])) {
				t.Errorf("%s: the code of a warning must be a literal, or have a name like warningBFrames, to be found here", at)
			}
		}
	})
	slices.Sort(codes)
	return codes
}

func TestEveryWarningIsInTheDocs(t *testing.T) {
	codes := warningCodes(t)
	for _, known := range []string{"BFrames", "NoEntryPoint", "PublisherExpelled", "NoVideoPackets", "SharedStreamID", "BurstyInput"} {
		if !slices.Contains(codes, known) {
			t.Errorf("%s is not found in the sources: the search is wrong", known)
		}
	}
	if diff := cmp.Diff(codes, firsts(table(t, "Warnings"))); diff != "" {
		t.Errorf("codes of encoders.md, section Warnings (-in the sources +in the docs):\n%s", diff)
	}
}

func TestEveryRankIsInTheDocs(t *testing.T) {
	var ranks []string
	for r := failover.RankFull; r >= failover.RankNone; r-- {
		ranks = append(ranks, r.String())
	}
	documented := firsts(table(t, "Ranks"))
	if diff := cmp.Diff(ranks, documented); diff != "" {
		t.Errorf("ranks of encoders.md (-in the sources +in the docs):\n%s", diff)
	}
	quoted := regexp.MustCompile("`([A-Z][A-Za-z]+)`")
	for _, row := range table(t, "Warnings") {
		for _, match := range quoted.FindAllStringSubmatch(row[len(row)-1], -1) {
			if !slices.Contains(documented, match[1]) {
				t.Errorf("%s: there is no rank %s", row[0], match[1])
			}
		}
	}
}

func TestEveryRefusalIsInTheDocs(t *testing.T) {
	rows := table(t, "What is refused")
	t.Run("by RTMP", func(t *testing.T) {
		documented, found := firsts(rows), 0
		inspect(t, func(n ast.Node, at token.Position) {
			group, ok := n.(*ast.GenDecl)
			if !ok || group.Tok != token.CONST || filepath.Base(at.Filename) != "refusal.go" {
				return
			}
			var reasons []string
			for _, spec := range group.Specs {
				if spec := spec.(*ast.ValueSpec); len(spec.Values) == 1 {
					reasons = append(reasons, text(spec.Values[0]))
				}
			}
			if !slices.Contains(reasons, "Unauthorized") {
				return // reasons of other kinds
			}
			for _, reason := range reasons {
				found++
				if !slices.Contains(documented, reason) {
					t.Errorf("%s is not in the table", reason)
				}
			}
		}, "rtmp")
		if found == 0 {
			t.Error("no reasons are found in the sources: the search is wrong")
		}
	})
	t.Run("by WHIP and WHEP", func(t *testing.T) {
		documented := make(map[string]bool)
		for _, row := range rows {
			for status := range strings.SplitSeq(row[0], ", ") {
				documented[status] = true
			}
		}
		statuses := make(map[string]int) // by the name of the constant
		for status := 400; status < 600; status++ {
			if text := http.StatusText(status); text != "" {
				statuses["Status"+strings.NewReplacer(" ", "", "-", "").Replace(text)] = status
			}
		}
		found := 0
		inspect(t, func(n ast.Node, _ token.Position) {
			selector, ok := n.(*ast.SelectorExpr)
			if !ok || name(selector.X) != "http" {
				return
			}
			if status := statuses[selector.Sel.Name]; status != 0 {
				found++
				if !documented[strconv.Itoa(status)] {
					t.Errorf("%d is not in the table", status)
				}
			}
		}, "whip", "whep", "signalling")
		if found == 0 {
			t.Error("no statuses are found in the sources: the search is wrong")
		}
	})
}
