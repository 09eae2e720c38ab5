package server

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAFileThatIsBeingWrittenIsLeftAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pair.yaml")
	var seen []string
	w := &watched{
		names: func() []string { return []string{file} },
		changed: func() {
			content, _ := os.ReadFile(file)
			seen = append(seen, string(content))
		},
	}
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i, step := range []struct {
		do   func()
		want int // how often changed was called by then
	}{
		{func() {}, 0}, // the file does not exist
		{func() {}, 1}, // it stays so for one interval
		{func() { write("a") }, 1},
		{func() { write("ab") }, 1}, // it still grows
		{func() { write("abc") }, 1},
		{func() {}, 2},
		{func() { write("abc") }, 2}, // the same contents
		{func() {}, 2},
		{func() { write("x") }, 2},
		{func() { write("abc") }, 2}, // back before it was acted on
		{func() {}, 2},
		{func() { _ = os.Remove(file) }, 2},
		{func() {}, 3},
	} {
		step.do()
		w.look()
		if len(seen) != step.want {
			t.Fatalf("step %d: changed was called %d times with %q, want %d", i, len(seen), seen, step.want)
		}
	}
	if seen[1] != "abc" {
		t.Errorf("%q was acted on", seen[1])
	}
}
