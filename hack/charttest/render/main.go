// Command render prints the objects of the chart in charts/streampair as Helm would install them.
// It leaves out the hooks; with -hooks it prints the hooks alone. The test cluster uses it.
//
//	render [-chart FOLDER] [-namespace NAME] [-hooks] [VALUES FILE…]
//
// Later files of values win.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"sigs.k8s.io/yaml"
)

func main() {
	folder := flag.String("chart", "charts/streampair", "the chart's `FOLDER`")
	namespace := flag.String("namespace", "streampair-system", "`NAMESPACE` of the release")
	hooks := flag.Bool("hooks", false, "print the hooks, such as the pod of helm test, and nothing else")
	flag.Parse()
	if err := run(os.Stdout, *folder, *namespace, *hooks, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "render:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, folder, namespace string, hooks bool, valueFiles []string) error {
	values := map[string]any{}
	for _, file := range valueFiles {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var given map[string]any
		if err := yaml.UnmarshalStrict(content, &given); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		values = util.CoalesceTables(given, values)
	}
	c, err := loader.LoadDir(folder)
	if err != nil {
		return err
	}
	options := common.ReleaseOptions{Name: "streampair", Namespace: namespace, Revision: 1, IsInstall: true}
	all, err := util.ToRenderValues(c, values, options, common.DefaultCapabilities.Copy())
	if err != nil {
		return err
	}
	files, err := engine.Render(c, all)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return errors.New("the chart renders to nothing")
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if base := path.Base(name); base == "NOTES.txt" || base[0] == '_' || strings.Contains(files[name], "helm.sh/hook") != hooks {
			continue
		}
		if _, err := fmt.Fprintf(out, "---\n%s\n", files[name]); err != nil {
			return err
		}
	}
	return nil
}
