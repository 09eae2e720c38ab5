// Command images writes the container images of Streampair as tarballs, without a Docker
// daemon and without downloading a base image: each is a static binary, CA certificates and
// licences. One has ffmpeg too, from Debian's packages. The command compiles nothing; make images
// does, and says where the binaries are.
//
// Start from Image, which says what goes into one, and build.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("images", flag.ContinueOnError)
	binaries := flags.String("binaries", "", "`FOLDER` with linux-amd64/ and linux-arm64/")
	out := flags.String("out", "", "`FOLDER` for the tarballs")
	root := flags.String("root", ".", "`FOLDER` of the sources, for the licences")
	version := flags.String("version", "devel", "tag of the images")
	revision := flags.String("revision", "", "git commit of the sources")
	set := flags.String("set", "product", "`SET` of images: product; ffmpeg: the media server with ffmpeg; or cluster: what the test cluster needs beside the product")
	only := flags.String("only", "", "`BINARY` of the one image to write; default: all of the set")
	platforms := flags.String("platforms", "amd64,arm64", "comma-separated `ARCHITECTURES`")
	certificates := flags.String("ca-certificates", "", "PEM `FILE` with the CA certificates; default: this machine's")
	packages := flags.String("packages", ".cache/debian", "`FOLDER` for Debian's packages, which stay from build to build")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *binaries == "" || *out == "" {
		return errors.New("-binaries and -out are required")
	}
	created, err := sourceDate(os.Getenv("SOURCE_DATE_EPOCH"))
	if err != nil {
		return err
	}
	common, err := commonFiles(*root, *certificates)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(*out, 0o755); err != nil {
		return err
	}
	chosen := map[string][]Image{"product": images(), "ffmpeg": {ffmpegImage()}, "cluster": clusterImages()}[*set]
	if chosen == nil {
		return fmt.Errorf("-set %s: no such set", *set)
	}
	for _, image := range chosen {
		if *only != "" && image.Binary != *only {
			continue
		}
		image.Version, image.Revision, image.Created = imageTag(*version), *revision, created
		image.Files = common
		path := filepath.Join(*out, image.Tarball())
		built, err := buildAll(image, strings.Split(*platforms, ","), *binaries, *packages)
		if errors.Is(err, errNoPackages) {
			fmt.Fprintf(stdout, "%s is left out: %v\n", image.Reference(), err)
			// The one of another version would be taken for this one.
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("%s %w", image.Reference(), err)
		}
		if err := writeTarball(path, image.Reference(), built); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
		written, err := os.Stat(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(stdout, "%s: %s (%s), %d MiB\n", path, image.Reference(), *platforms, written.Size()>>20)
	}
	return nil
}

// buildAll returns the image for each architecture.
func buildAll(image Image, platforms []string, binaries, packages string) ([]platformImage, error) {
	var built []platformImage
	for _, arch := range platforms {
		var programs []file
		var err error
		if image.FFmpeg {
			if programs, err = ffmpegFiles(packages, arch); err != nil {
				return nil, fmt.Errorf("for %s: %w", arch, err)
			}
		}
		one, err := build(image, arch, filepath.Join(binaries, "linux-"+arch, image.Binary), programs)
		if err != nil {
			return nil, fmt.Errorf("for %s: %w", arch, err)
		}
		built = append(built, platformImage{arch, one})
	}
	return built, nil
}

// images are what make images builds.
func images() []Image {
	return []Image{{
		Repository:  "ghcr.io/streampair/operator",
		Title:       "Streampair operator",
		Description: "Makes the media pods of StreamPairs and reports what they say",
		Licenses:    "Apache-2.0",
		Binary:      "streampair-operator",
		Ports:       []string{"8081/tcp", "8443/tcp"},
	}, {
		Repository:  "ghcr.io/streampair/mediaserver",
		Title:       "Streampair media server",
		Description: "Takes two encoders' streams and plays them as one; without ffmpeg",
		Licenses:    "Apache-2.0 AND LGPL-2.1-or-later", // the AAC decoder: see NOTICE
		Binary:      "streampair-mediaserver",
		Ports:       []string{"1935/tcp", "1936/tcp", "5080/tcp", "5443/tcp", "8189/tcp", "8189/udp", "8890/udp", "9090/tcp", "9091/tcp"},
	}}
}

// ffmpegImage is the media server's image with ffmpeg.
func ffmpegImage() Image {
	image := images()[1]
	image.FFmpeg = true
	image.Description = "Takes two encoders' streams and plays them as one; with ffmpeg"
	image.Licenses += " AND GPL-2.0-or-later" // ffmpeg: see /usr/share/doc
	return image
}

// clusterImages are those of the test cluster, which stay on the machine that made them.
func clusterImages() []Image {
	return []Image{{
		Repository:  "streampair.test/pause",
		Title:       "pause",
		Description: "Holds the namespaces of a pod of Streampair's test cluster",
		Licenses:    "Apache-2.0",
		Binary:      "pause",
	}, {
		Repository:  "streampair.test/coredns",
		Title:       "CoreDNS",
		Description: "The name server of Streampair's test cluster",
		Licenses:    "Apache-2.0",
		Binary:      "coredns",
		Ports:       []string{"53/tcp", "53/udp"},
	}}
}

// sourceDate is the time that all files and images carry, so that the same sources make the
// same bytes: https://reproducible-builds.org/specs/source-date-epoch/
func sourceDate(epoch string) (time.Time, error) {
	if epoch == "" {
		return time.Unix(0, 0).UTC(), nil
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// imageTag is a version as a tag: v1.2.3 is 1.2.3, as the chart's appVersion has it, and a
// + is not allowed in tags.
func imageTag(version string) string {
	if len(version) > 1 && version[0] == 'v' && version[1] >= '0' && version[1] <= '9' {
		version = version[1:]
	}
	return strings.ReplaceAll(version, "+", "-")
}
