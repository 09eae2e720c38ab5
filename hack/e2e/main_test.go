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

	"github.com/streampair/streampair/hack/e2e/measure"
)

// options are the values of the flags.
var options struct {
	runs      int
	times     int
	table     string
	soak      time.Duration
	seed      uint64
	keep      bool
	element   bool
	namespace string
	output    string
	binaries  string
}

// theCluster is set up by the first test that needs it, because setting it up takes a minute.
var theCluster testCluster

func TestMain(m *testing.M) {
	flag.IntVar(&options.runs, "runs", 1, "do each fault `N` times")
	flag.IntVar(&options.times, "times", measure.Strictly, "figures may be `N` times their goal; a run with a longer one is repeated once")
	flag.StringVar(&options.table, "table", "", "write the figures as a table into a `FILE`")
	flag.DurationVar(&options.soak, "soak", 0, "random faults for that long (TestSoak); 0: none")
	flag.Uint64Var(&options.seed, "seed", 0, "of the random faults; 0: another one each time")
	flag.BoolVar(&options.keep, "keep", false, "leave the pair there at the end, for the next time")
	flag.BoolVar(&options.element, "element", false, "see every fault, not every second one, through a <stream-pair> element in a page of another site")
	flag.StringVar(&options.namespace, "namespace", "streampair-e2e", "of the pairs; it is made, and deleted")
	flag.StringVar(&options.output, "output", filepath.Join(os.TempDir(), "streampair-e2e"), "a `FOLDER` for timelines, and for what pods said when a test failed")
	flag.StringVar(&options.binaries, "binaries", "", "the `FOLDER` of kubectl-streampair; default: bin of the repository")
	flag.Parse()
	theCluster.times = options.times
	ctrl.SetLogger(logr.Discard())
	if os.Getenv("STREAMPAIR_CLUSTER") == "" && os.Getenv("E2E_KUBECONFIG") == "" {
		fmt.Println("hack/e2e: no cluster, so nothing is tested here; make e2e starts one")
		return
	}
	code := m.Run()
	theCluster.close()
	if text := theCluster.table.String(); text != "" {
		fmt.Printf("\n%s\n", text)
		if options.table != "" {
			if err := theCluster.table.Write(options.table); err != nil {
				fmt.Fprintln(os.Stderr, err)
				code = max(code, 1)
			}
		}
	}
	os.Exit(code)
}
