package transcode

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/stream"
	"github.com/streampair/streampair/mediaserver/testunits"
)

// asServer turns the test binary into a server with one child, to be killed.
const asServer = "STREAMPAIR_TEST_AS_SERVER"

func TestChildDiesWithTheServer(t *testing.T) {
	if os.Getenv(asServer) != "" {
		c, err := startChild(mediatest.RequireFFmpeg(t), testunits.Of(stream.Video, withBFrames(t))[:1], 500_000, nil)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("pid %d\n", c.pid)
		time.Sleep(time.Minute)
		return
	}
	withBFrames(t) // creates the file
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), asServer+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()
	pid := 0
	for lines := bufio.NewScanner(out); pid == 0 && lines.Scan(); {
		if number, ok := strings.CutPrefix(lines.Text(), "pid "); ok {
			pid, _ = strconv.Atoi(number)
		}
	}
	if pid == 0 {
		t.Fatal("the server said no pid")
	}
	// A stopped process can't notice that its standard input has ended.
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "ffmpeg dies", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || strings.Contains(string(stat), ") Z ") // a zombie: its new parent may be slow to reap it
	})
}
