package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/assent-gateway/assent/internal/verify/testlog"
)

// One walk of the binary over a mirror of a million entries: its time, and the
// most memory that the kernel saw it hold.
func BenchmarkLogOfAMillion(b *testing.B) {
	const entries = 1_000_000
	if runtime.GOOS != "linux" {
		b.Skip("peak memory is read from /proc")
	}
	dir := b.TempDir()
	log := testlog.New(origin, 1)
	log.Generate(dir, entries)
	key := log.Key
	log = nil
	binary := filepath.Join(b.TempDir(), "assent-verify")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		b.Fatalf("go build: %v\n%s", err, out)
	}
	peak := 0
	var cpu time.Duration
	for b.Loop() {
		c := exec.Command(binary, "log", dir, "--key", key)
		c.Stdout, c.Stderr = io.Discard, os.Stderr
		if err := c.Start(); err != nil {
			b.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- c.Wait() }()
		if err := watch(ended, c.Process.Pid, &peak); err != nil {
			b.Fatal(err)
		}
		cpu += c.ProcessState.UserTime() + c.ProcessState.SystemTime()
	}
	b.ReportMetric(float64(entries)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
	b.ReportMetric(cpu.Seconds()/float64(b.N), "cpu-s/op")
	b.ReportMetric(float64(peak)/1024, "MiB-peak")
}

// watch waits for a process and notes the most resident memory it was seen to
// hold, in KiB. Not Maxrss of its rusage: that begins with what the process
// held that started it.
func watch(ended <-chan error, pid int, peak *int) error {
	for {
		select {
		case err := <-ended:
			return err
		case <-time.After(5 * time.Millisecond):
		}
		status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
		if err != nil {
			continue // it ends just now
		}
		_, rest, _ := strings.Cut(string(status), "VmHWM:")
		if fields := strings.Fields(rest); len(fields) > 0 {
			if n, err := strconv.Atoi(fields[0]); err == nil {
				*peak = max(*peak, n)
			}
		}
	}
}
