package pod

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// cgroups is where a container sees its own.
const cgroups = "/sys/fs/cgroup"

// cores is the CPU limit of a cgroup in cores, +Inf for none: cpu.max in version
// 2, cpu.cfs_quota_us in version 1.
func cores(dir string) (float64, error) {
	text, err := os.ReadFile(filepath.Join(dir, "cpu.max"))
	if errors.Is(err, os.ErrNotExist) {
		var quota, period []byte
		if quota, err = os.ReadFile(filepath.Join(dir, "cpu", "cpu.cfs_quota_us")); err == nil {
			period, err = os.ReadFile(filepath.Join(dir, "cpu", "cpu.cfs_period_us"))
		}
		text = fmt.Appendf(quota, " %s", period)
	}
	if err != nil {
		return 0, fmt.Errorf("CPU limit: %w", err)
	}
	f := strings.Fields(string(text))
	if len(f) == 2 && (f[0] == "max" || f[0] == "-1") {
		return math.Inf(1), nil
	}
	if len(f) == 2 {
		quota, e1 := strconv.ParseFloat(f[0], 64)
		period, e2 := strconv.ParseFloat(f[1], 64)
		if e1 == nil && e2 == nil && quota > 0 && period > 0 {
			return quota / period, nil
		}
	}
	return 0, fmt.Errorf("CPU limit: the cgroup has %q; accepted: a quota, or max, and a period", f)
}

// looks is the time between two looks at the cgroup.
const looks = 100 * time.Millisecond

// FollowCores calls set with the share of so many cores that this container has,
// now and whenever its limit is changed, until ctx ends. One without a limit has
// all of them.
func FollowCores(ctx context.Context, unit float64, set func(float64)) error {
	last, err := cores(cgroups)
	if err != nil {
		return err
	}
	share := func(c float64) {
		if math.IsInf(c, 1) {
			c = unit
		}
		set(c / unit)
		slog.Info("cores", "limit", c)
	}
	share(last)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(looks):
			}
			if now, err := cores(cgroups); err == nil && now != last {
				last = now
				share(now)
			}
		}
	}()
	return nil
}
