// Command pack writes the chart as the archive that `helm install` takes. The given version is the
// version of the chart and of the images.
//
//	pack [-chart FOLDER] [-out FOLDER] -version VERSION
package main

import (
	"flag"
	"fmt"
	"os"

	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/chart/v2/util"
)

func main() {
	folder := flag.String("chart", "charts/streampair", "the chart's `FOLDER`")
	out := flag.String("out", ".", "the `FOLDER` for the archive")
	version := flag.String("version", "", "the `VERSION` of the release, as in 1.2.3")
	flag.Parse()
	if err := run(*folder, *out, *version); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

func run(folder, out, version string) error {
	chart, err := loader.LoadDir(folder)
	if err != nil {
		return err
	}
	chart.Metadata.Version, chart.Metadata.AppVersion = version, version
	if err := chart.Validate(); err != nil {
		return err
	}
	name, err := util.Save(chart, out)
	if err != nil {
		return err
	}
	fmt.Println(name)
	return nil
}
