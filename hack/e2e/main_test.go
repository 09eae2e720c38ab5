package e2e_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
)

// options are the flags.
var options struct {
	runs      int
	table     string
	soak      time.Duration
	seed      uint64
	keep      bool
	namespace string
	output    string
	binaries  string
}

// theStage is set up by the first test that needs it: that takes a minute.
var theStage stage

func TestMain(m *testing.M) {
	flag.IntVar(&options.runs, "runs", 1, "do each fault `N` times")
	flag.StringVar(&options.table, "table", "", "write the figures as a table into a `FILE`")
	flag.DurationVar(&options.soak, "soak", 0, "random faults for that long (TestSoak); 0: none")
	flag.Uint64Var(&options.seed, "seed", 0, "of the random faults; 0: another one each time")
	flag.BoolVar(&options.keep, "keep", false, "leave the pair there at the end, for the next time")
	flag.StringVar(&options.namespace, "namespace", "streampair-e2e", "of the pairs; it is made, and deleted")
	flag.StringVar(&options.output, "output", filepath.Join(os.TempDir(), "streampair-e2e"), "a `FOLDER` for timelines, and for what pods said when a test failed")
	flag.StringVar(&options.binaries, "binaries", "", "the `FOLDER` of kubectl-streampair; default: bin of the repository")
	flag.Parse()
	ctrl.SetLogger(logr.Discard())
	if os.Getenv("STREAMPAIR_CLUSTER") == "" && os.Getenv("E2E_KUBECONFIG") == "" {
		fmt.Println("hack/e2e: no cluster, so nothing is tested here; make e2e starts one")
		return
	}
	code := m.Run()
	theStage.close()
	if text := theStage.table.String(); text != "" {
		fmt.Printf("\n%s\n", text)
		if options.table != "" {
			if err := theStage.table.Write(options.table); err != nil {
				fmt.Fprintln(os.Stderr, err)
				code = max(code, 1)
			}
		}
	}
	os.Exit(code)
}
