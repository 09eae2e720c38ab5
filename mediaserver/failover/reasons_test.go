package failover

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestReasonsHaveOneSpelling reads the reasons of a switch where they are written down: here, in
// the API, which this package must not import, and in the words of the player.
func TestReasonsHaveOneSpelling(t *testing.T) {
	own := constants(t, "decide.go", "Reason")
	inAPI := constants(t, "../../api/v1alpha1/conditions.go", "Switch")
	if len(own) < 10 {
		t.Fatalf("only %d reasons are found: %v", len(own), own)
	}
	// Without a live stream there is no switch.
	switches := slices.DeleteFunc(slices.Clone(own), func(r string) bool { return r == string(ReasonNoLiveStream) })
	if diff := cmp.Diff(switches, inAPI); diff != "" {
		t.Errorf("the reasons here (-) and in the API (+) differ:\n%s", diff)
	}
	words, err := os.ReadFile("../player/src/words.ts")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(words), "const reasons")
	table, _, _ = strings.Cut(table, "};")
	var inPlayer []string
	for _, m := range regexp.MustCompile(`(?m)^  ([A-Z]\w+): "`).FindAllStringSubmatch(table, -1) {
		inPlayer = append(inPlayer, m[1])
	}
	slices.Sort(inPlayer)
	if diff := cmp.Diff(own, inPlayer); diff != "" {
		t.Errorf("the reasons here (-) and those that the player has words for (+) differ:\n%s", diff)
	}
}

// constants returns the values of a file's string constants whose names begin with prefix, sorted.
func constants(t *testing.T, file, prefix string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, prefix) || len(spec.Values) != 1 {
			return true
		}
		if literal, ok := spec.Values[0].(*ast.BasicLit); ok && literal.Kind == token.STRING {
			value, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, value)
		}
		return true
	})
	slices.Sort(values)
	return values
}
