// Command vulncheck looks for known vulnerabilities in what this repository links. It runs
// govulncheck on the modules and judges what govulncheck finds:
//
//   - A vulnerable function of a module that our code calls is a failure, unless
//     hack/vulnerabilities.txt accepts it with a reason.
//   - A vulnerable function of Go's own library is a warning.
//   - Code that is linked and not called is ignored.
//
// Run it from the repository's root:
//
//	go run ./hack/vulncheck [-live] [-optional]
//
// The database has a pinned version, so the same commit gets the same answer every day. Start from
// judge.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

const acceptedFile = "hack/vulnerabilities.txt"

// modules are the folders of the modules to look at: what is shipped, and what builds and
// renders it.
var modules = []string{".", "hack/charttest", "hack/images"}

func main() {
	live := flag.Bool("live", false, "ask govulncheck's own database of today instead of the pinned one")
	optional := flag.Bool("optional", false, "pass with one line where the module proxy does not serve the pinned database")
	flag.Parse()

	err := run(context.Background(), os.Stdout, *live)
	if *optional && errors.Is(err, errNotServed) {
		fmt.Println("vulnerabilities: not checked,", err)
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "vulncheck:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, live bool) error {
	accepted, err := readAccepted(acceptedFile)
	if err != nil {
		return err
	}
	database, name := "", "of today"
	if !live {
		if database, err = pinnedDatabase(ctx); err != nil {
			return err
		}
		name = databaseVersion
	}
	temporary, err := os.MkdirTemp("", "vulncheck")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary)
	s, err := newScanner(ctx, temporary, "hack/tools/go.mod", database)
	if err != nil {
		return err
	}
	if err := s.proveDatabase(ctx); err != nil {
		return err
	}
	var found []finding
	for _, module := range modules {
		called, err := s.scan(ctx, module)
		if err != nil {
			return fmt.Errorf("module in %s: %w", module, err)
		}
		found = append(found, called...)
	}
	j := judge(found, accepted)
	j.print(out)
	if len(j.failures) > 0 {
		return fmt.Errorf("update the modules, or accept what does no harm in %s with a reason", acceptedFile)
	}
	fmt.Fprintf(out, "vulnerabilities: none in %d modules that is called and not accepted (database %s)\n", len(modules), name)
	return nil
}
